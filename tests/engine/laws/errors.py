"""Rows of the law suite: errors."""

from __future__ import annotations

from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("recover", lambda f: f.recover(lambda _: -1), INPUT, recovers=(-1,)),
    Case("map_error", lambda f: f.map_error(lambda e: e), INPUT),
]
