"""Rows of the law suite: restarting."""

from __future__ import annotations

import asyncio

from teleporter_lab.engine.backoff import Backoff
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.restarting import restart_flow
from teleporter_lab.engine.stages.sinks import ignore
from tests.engine.laws.case import INPUT, Case

BACKOFF = Backoff(1.0, 2.0)


async def later(x: int) -> int:
    for _ in range(x % 3):
        await asyncio.sleep(0)
    return x


CASES = [
    Case(
        "restart_flow",
        lambda f: f.via(restart_flow(BACKOFF, lambda: flow(int).map(lambda x: x + 1))),
        list(range(1, 11)),
    ),
    Case(
        "restart_flow, waiting",
        lambda f: f.via(restart_flow(BACKOFF, lambda: flow(int).map_async(3, later).grouped(3), "end")),
        [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]],
    ),
    Case(
        "restart_flow, cut off",
        lambda f: f.via(restart_flow(BACKOFF, lambda: flow(int).take(3))),
        [0, 1, 2],
        early=True,
    ),
    Case(
        "restart_flow, with a side sink",
        lambda f: f.via(restart_flow(BACKOFF, lambda: flow(int).also_to(ignore()))),
        INPUT,
    ),
]
