"""Rows of the law suite: merging."""

from __future__ import annotations

from teleporter_lab.engine.stages.sources import empty, iterate
from tests.engine.laws.case import INPUT, Case
from tests.engine.laws.zipping import one

CASES = [
    Case(
        "merge_sorted", lambda f: f.merge_sorted(iterate([3.5, 20])), [0, 1, 2, 3, 3.5, *INPUT[4:], 20], own=(3.5, 20)
    ),
    Case(
        "merge_sorted, by key",
        lambda f: f.map(lambda x: -x).merge_sorted(iterate([-0.5, -5.5]), key=lambda x: -x),
        [0, -0.5, -1, -2, -3, -4, -5, -5.5, -6, -7, -8, -9],
        own=(-0.5, -5.5),
    ),
    Case("merge_latest", lambda f: one().merge_latest(f, eager=True), [("x", x) for x in INPUT]),
    Case("merge_sequence", lambda f: f.merge_sequence(sequence=lambda x: x), INPUT),
    Case("merge_sequence, of two", lambda f: f.merge_sequence(empty(), sequence=lambda x: x), INPUT),
]
