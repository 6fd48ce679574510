"""Rows of the law suite: splitting."""

from __future__ import annotations

from teleporter_lab.engine.graph import flow
from tests.engine.laws.asynchronous import later
from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("balanced", lambda f: f.balanced(3, flow().map(lambda x: x + 1)), list(range(1, 11)), ordered=False),
    Case("balanced, alone", lambda f: f.balanced(1, flow()), INPUT),
    Case(
        "balanced, waiting",
        lambda f: f.balanced(2, flow().map_async(2, later)),
        [x * 10 for x in INPUT],
        ordered=False,
    ),
]
