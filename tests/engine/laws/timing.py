"""Rows of the law suite: timing."""

from __future__ import annotations

from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("grouped_within", lambda f: f.grouped_within(4, 60.0), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]),
    Case("throttle", lambda f: f.throttle(1000, 1.0), INPUT),
    Case("idle_timeout", lambda f: f.idle_timeout(60.0), INPUT),
]
