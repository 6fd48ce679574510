"""Rows of the law suite: asynchronous."""

from __future__ import annotations

import asyncio

from teleporter_lab.engine.graph import flow
from tests.engine.laws.case import INPUT, Case


async def later(x: int) -> int:
    for _ in range(x % 3):
        await asyncio.sleep(0)
    return x * 10


async def plus(total: int, x: int) -> int:
    for _ in range(x % 2):
        await asyncio.sleep(0)
    return total + x


def twice(xs: list[int]) -> list[int]:
    return [x for x in xs for _ in "ab"]


TENFOLD = [x * 10 for x in INPUT]
SUMS = [0, 1, 3, 6, 10, 15, 21, 28, 36, 45]

CASES = [
    Case("map_async", lambda f: f.map_async(3, later), TENFOLD),
    Case("map_async, alone", lambda f: f.map_async(1, later), TENFOLD),
    Case("map_async_unordered", lambda f: f.map_async_unordered(3, later), TENFOLD, ordered=False),
    Case("map_async_partitioned", lambda f: f.map_async_partitioned(3, lambda x: x % 2, later), TENFOLD),
    Case("map_async_partitioned, two", lambda f: f.map_async_partitioned(4, lambda x: x % 2, later, 2), TENFOLD),
    Case("map_blocking", lambda f: f.map_blocking(lambda xs: [x + 1 for x in xs]), list(range(1, 11))),
    Case("map_blocking, more", lambda f: f.map_blocking(twice), [x for x in INPUT for _ in "ab"]),
    Case("scan_async", lambda f: f.scan_async(0, plus), SUMS),
    Case("fold_async", lambda f: f.fold_async(0, plus), [45], own=(3, 45), late=True),
    Case("lazy_flow", lambda f: f.lazy_flow(lambda: flow().map(lambda x: x * 10)), TENFOLD),
    Case("lazy_flow, grouped", lambda f: f.lazy_flow(lambda: flow().grouped(5)), [INPUT[:5], INPUT[5:]]),
]
