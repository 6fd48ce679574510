"""Rows of the law suite: fan_out."""

from __future__ import annotations

from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.sinks import ignore
from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("also_to", lambda f: f.also_to(ignore()), INPUT, side=True),
    Case("also_to, one that leaves", lambda f: f.also_to(flow().take(2).to(ignore())), INPUT, side=True),
    Case("also_to, no one", lambda f: f.also_to(), INPUT),
    Case("divert_to", lambda f: f.divert_to(ignore(), when=lambda x: x > 6), list(range(7)), side=True),
    Case(
        "divert_to, one that leaves",
        lambda f: f.divert_to(flow().take(1).to(ignore()), when=lambda x: x % 2),
        [0, 2, 4, 6, 8],
        side=True,
    ),
    Case("wire_tap", lambda f: f.wire_tap(ignore()), INPUT),
    Case("wire_tap, one that leaves", lambda f: f.wire_tap(flow().take(2).to(ignore())), INPUT),
]
