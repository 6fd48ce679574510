"""Rows of the law suite: transform."""

from __future__ import annotations

from tests.engine.laws.case import INPUT, Case


def odd(x: int) -> int:
    return x % 2


def repeated(x: int) -> list[int]:
    return [x] * (x % 3)


def optional(x: int) -> int | None:
    return x * 10 if x % 2 else None


CASES = [
    Case("map", lambda f: f.map(lambda x: x + 1), list(range(1, 11))),
    Case("map, blocking", lambda f: f.map(lambda x: x + 1, blocking=True), list(range(1, 11))),
    Case("filter", lambda f: f.filter(odd), [1, 3, 5, 7, 9]),
    Case("filter, nothing left", lambda f: f.filter(lambda _: False), [], unsettled=True),
    Case("filter, blocking", lambda f: f.filter(odd, blocking=True), [1, 3, 5, 7, 9]),
    Case("filter_not", lambda f: f.filter_not(odd), [0, 2, 4, 6, 8]),
    Case("filter_not, blocking", lambda f: f.filter_not(odd, blocking=True), [0, 2, 4, 6, 8]),
    Case("map_concat", lambda f: f.map_concat(repeated), [1, 2, 2, 4, 5, 5, 7, 8, 8], unsettled=True),
    Case("map_concat, many", lambda f: f.map_concat(lambda x: [x] * 30), [x for x in INPUT for _ in range(30)]),
    Case(
        "map_concat, blocking",
        lambda f: f.map_concat(repeated, blocking=True),
        [1, 2, 2, 4, 5, 5, 7, 8, 8],
        unsettled=True,
    ),
    Case("collect", lambda f: f.collect(optional), [10, 30, 50, 70, 90]),
    Case("collect, all", lambda f: f.collect(lambda x: x + 1), list(range(1, 11))),
    Case("flatten_optional", lambda f: f.map(optional).flatten_optional(), [10, 30, 50, 70, 90]),
]
