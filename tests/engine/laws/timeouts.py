"""Rows of the law suite: timeouts."""

from __future__ import annotations

from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("idle_timeout", lambda f: f.idle_timeout(60.0), INPUT),
    Case("initial_timeout", lambda f: f.initial_timeout(60.0), INPUT),
    Case("completion_timeout", lambda f: f.completion_timeout(60.0), INPUT),
    Case("backpressure_timeout", lambda f: f.backpressure_timeout(60.0), INPUT),
    Case("keep_alive", lambda f: f.keep_alive(60.0, lambda: -1), INPUT),
]
