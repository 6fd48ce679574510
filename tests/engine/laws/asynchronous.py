"""Rows of the law suite: asynchronous."""

from __future__ import annotations

import asyncio

from tests.engine.laws.case import INPUT, Case


async def later(x: int) -> int:
    for _ in range(x % 3):
        await asyncio.sleep(0)
    return x * 10


def twice(xs: list[int]) -> list[int]:
    return [x for x in xs for _ in "ab"]


CASES = [
    Case("map_async", lambda f: f.map_async(3, later), [x * 10 for x in INPUT]),
    Case("map_async, alone", lambda f: f.map_async(1, later), [x * 10 for x in INPUT]),
    Case("map_async_unordered", lambda f: f.map_async_unordered(3, later), [x * 10 for x in INPUT], ordered=False),
    Case("map_blocking", lambda f: f.map_blocking(lambda xs: [x + 1 for x in xs]), list(range(1, 11))),
    Case(
        "map_blocking, more",
        lambda f: f.map_blocking(twice),
        [x for x in INPUT for _ in "ab"],
    ),
]
