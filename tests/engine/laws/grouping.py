"""Rows of the law suite: grouping."""

from __future__ import annotations

from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("grouped", lambda f: f.grouped(4), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]),
    Case("sliding", lambda f: f.sliding(3), [[x, x + 1, x + 2] for x in range(8)]),
    Case("sliding, alone", lambda f: f.sliding(1), [[x] for x in INPUT]),
    Case("sliding, larger than all", lambda f: f.sliding(20, 3), [INPUT], late=True),
    Case("sliding, half over", lambda f: f.sliding(4, 3), [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]),
    Case("sliding, with a rest", lambda f: f.sliding(4, 2), [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]]),
    Case("sliding, with a short rest", lambda f: f.sliding(5, 4), [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9]]),
    Case("sliding, side by side", lambda f: f.sliding(4, 4), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]),
    Case("sliding, with gaps", lambda f: f.sliding(2, 3), [[0, 1], [3, 4], [6, 7], [9]]),
    Case("sliding, with wide gaps", lambda f: f.sliding(1, 6), [[0], [6]]),
    Case("grouped_weighted", lambda f: f.grouped_weighted(10, lambda x: x), [[0, 1, 2, 3, 4], [5, 6], [7, 8], [9]]),
    Case("grouped_adjacent_by", lambda f: f.grouped_adjacent_by(lambda x: x // 4), [INPUT[:4], INPUT[4:8], [8, 9]]),
    Case(
        "grouped_adjacent_by, each alone",
        lambda f: f.grouped_adjacent_by(lambda x: x),
        [[x] for x in INPUT],
        reads_exactly=False,
    ),
    Case(
        "grouped_adjacent_by_weighted",
        lambda f: f.grouped_adjacent_by_weighted(lambda x: x // 5, 6, lambda x: x),
        [[0, 1, 2, 3], [4], [5], [6], [7], [8], [9]],
    ),
]
