"""Rows of the law suite: fan_in."""

from __future__ import annotations

from teleporter_lab.engine.stages.sources import iterate
from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("merge", lambda f: f.merge(iterate([100, 101])), [*INPUT, 100, 101], ordered=False, own=(100, 101)),
    Case("concat", lambda f: f.concat(iterate([100, 101])), [*INPUT, 100, 101], own=(100, 101)),
    Case("zip", lambda f: f.zip(iterate("abcdefghij")), list(zip(INPUT, "abcdefghij", strict=True))),
    Case("zip, shorter", lambda f: f.zip(iterate("ab")), [(0, "a"), (1, "b")], counts=False, early=True),
]
