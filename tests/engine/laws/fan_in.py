"""Rows of the law suite: fan_in."""

from __future__ import annotations

from typing import Any

from teleporter_lab.engine.stages.sources import empty, iterate
from tests.engine.laws.case import INPUT, Case

TWO: Any = iterate([100, 101])
OWN = (100, 101)
EVERYTHING = [*INPUT, *OWN]

CASES = [
    Case("merge", lambda f: f.merge(TWO), EVERYTHING, ordered=False, own=OWN),
    Case("merge_preferred", lambda f: f.merge_preferred(TWO), EVERYTHING, ordered=False, own=OWN),
    Case("merge_prioritized", lambda f: f.merge_prioritized((TWO, 3)), EVERYTHING, ordered=False, own=OWN),
    Case("interleave", lambda f: f.interleave(TWO), [0, 100, 1, 101, *INPUT[2:]], own=OWN),
    Case("interleave, by three", lambda f: f.interleave(TWO, 3), [0, 1, 2, 100, 101, *INPUT[3:]], own=OWN),
    Case("interleave, alone", lambda f: f.interleave(empty()), INPUT),
    Case(
        "interleave, eager",
        lambda f: f.interleave(TWO, eager=True),
        [0, 100, 1, 101, 2],
        own=OWN,
        counts=False,
        early=True,
    ),
    Case("concat", lambda f: f.concat(TWO), EVERYTHING, own=OWN),
    Case("prepend", lambda f: f.prepend(TWO), [*OWN, *INPUT], own=OWN),
    Case("or_else", lambda f: f.or_else(TWO), INPUT),
    Case("or_else, nothing", lambda f: f.take(0).or_else(TWO), list(OWN), own=OWN, early=True, unsettled=True),
]
