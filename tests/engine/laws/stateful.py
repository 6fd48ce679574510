"""Rows of the law suite: stateful."""

from __future__ import annotations

from tests.engine.laws.case import INPUT, Case


def counted(n: int, x: int) -> tuple[int, int]:
    return n + 1, n * x


CASES = [
    Case("scan", lambda f: f.scan(0, lambda a, x: a + x), [0, 1, 3, 6, 10, 15, 21, 28, 36, 45]),
    Case("stateful_map", lambda f: f.stateful_map(lambda: 0, counted), [x * x for x in INPUT]),
    Case(
        "stateful_map, with a last element",
        lambda f: f.stateful_map(lambda: 0, counted, lambda n: -n),
        [*(x * x for x in INPUT), -10],
        own=(-10, -3),
    ),
    Case(
        "map_with_resource",
        lambda f: f.map_with_resource(lambda: 10, lambda ten, x: ten * x, lambda _: None),
        [x * 10 for x in INPUT],
    ),
    Case("zip_with_index", lambda f: f.map(str).zip_with_index(), [(str(x), x) for x in INPUT]),
    Case("drop_repeated", lambda f: f.map(lambda x: x // 3).drop_repeated(), [0, 1, 2, 3]),
    Case("drop_repeated, by key", lambda f: f.drop_repeated(lambda x: x // 3), [0, 3, 6, 9]),
    Case("drop_repeated, none is", lambda f: f.drop_repeated(), INPUT),
    Case(
        "intersperse",
        lambda f: f.intersperse(-1),
        [0, *(y for x in INPUT[1:] for y in (-1, x))],
        own=(-1,),
    ),
    Case(
        "intersperse, framed",
        lambda f: f.intersperse(-1, -2, -3),
        [-2, 0, *(y for x in INPUT[1:] for y in (-1, x)), -3],
        own=(-1, -2, -3),
    ),
]
