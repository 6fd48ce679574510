"""Rows of the law suite: timing."""

from __future__ import annotations

from tests.engine.laws.case import INPUT, Case

SOON = 1e-6
LISTS = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]

CASES = [
    Case("grouped_within", lambda f: f.grouped_within(4, 60.0), LISTS),
    Case("grouped_within, weighted", lambda f: f.grouped_within(4, 60.0, lambda _: 1), LISTS),
    Case(
        "grouped_within, by number",
        lambda f: f.grouped_within(8, 60.0, lambda x: x),
        [[0, 1, 2, 3], [4], [5], [6], [7], [8], [9]],
    ),
    Case("throttle", lambda f: f.throttle(1000, 1.0), INPUT),
    Case("throttle, cost", lambda f: f.throttle(1000, 1.0, lambda x: x), INPUT),
    Case("delay", lambda f: f.delay(SOON), INPUT, reads_exactly=False),
    Case("delay, few", lambda f: f.delay(SOON, 2), INPUT, reads_exactly=False),
    Case("delay_with", lambda f: f.delay_with(lambda x: SOON * (x % 3)), INPUT, reads_exactly=False),
    Case("initial_delay", lambda f: f.initial_delay(SOON), INPUT),
    Case("take_within", lambda f: f.take_within(60.0), INPUT),
    Case("take_within, none", lambda f: f.take_within(0), [], early=True, unsettled=True),
    Case("drop_within", lambda f: f.drop_within(60.0), [], unsettled=True),
    Case("drop_within, none", lambda f: f.drop_within(0), INPUT),
]
