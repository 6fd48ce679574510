"""Rows of the law suite: transform."""

from __future__ import annotations

from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("map", lambda f: f.map(lambda x: x + 1), list(range(1, 11))),
    Case("filter", lambda f: f.filter(lambda x: x % 2), [1, 3, 5, 7, 9]),
    Case("filter, nothing left", lambda f: f.filter(lambda _: False), [], unsettled=True),
    Case("filter_not", lambda f: f.filter_not(lambda x: x % 2), [0, 2, 4, 6, 8]),
    Case("map_concat", lambda f: f.map_concat(lambda x: [x] * (x % 3)), [1, 2, 2, 4, 5, 5, 7, 8, 8], unsettled=True),
    Case("map_concat, many", lambda f: f.map_concat(lambda x: [x] * 30), [x for x in INPUT for _ in range(30)]),
    Case("scan", lambda f: f.scan(0, lambda a, x: a + x), [0, 1, 3, 6, 10, 15, 21, 28, 36, 45]),
    Case("take", lambda f: f.take(3), [0, 1, 2], early=True),
    Case("take, none", lambda f: f.take(0), [], early=True, unsettled=True),
    Case("take_while", lambda f: f.take_while(lambda x: x < 4), [0, 1, 2, 3]),
    Case("drop", lambda f: f.drop(4), [4, 5, 6, 7, 8, 9], unsettled=True),
    Case("drop_while", lambda f: f.drop_while(lambda x: x < 8), [8, 9], unsettled=True),
    Case("grouped", lambda f: f.grouped(4), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]),
]
