"""Rows of the law suite: errors."""

from __future__ import annotations

import asyncio

from teleporter_lab.engine.backoff import Backoff
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.sources import iterate, single
from tests.engine.laws.case import INPUT, Case

BACKOFF = Backoff(1.0, 2.0)


async def later(x: int) -> int:
    for _ in range(x % 3):
        await asyncio.sleep(0)
    return x


CASES = [
    Case("recover", lambda f: f.recover(lambda _: -1), INPUT, recovers=(-1,)),
    Case("recover_with", lambda f: f.recover_with(1, lambda _: iterate([-1, -2])), INPUT, recovers=(-1, -2)),
    Case("recover_with, nothing", lambda f: f.recover_with(-1, lambda _: None), INPUT),
    Case("map_error", lambda f: f.map_error(lambda e: e), INPUT),
    Case("on_error_complete", lambda f: f.on_error_complete(), INPUT, recovers=()),
    Case("on_error_complete, others", lambda f: f.on_error_complete(KeyError), INPUT),
    Case("on_error_continue", lambda f: f.map(lambda x: x + 1).on_error_continue(print), list(range(1, 11))),
    Case(
        "retry_flow",
        lambda f: f.retry_flow(flow(int).map(lambda x: x + 1), lambda *_: None, BACKOFF),
        list(range(1, 11)),
    ),
    Case(
        "retry_flow, waiting",
        lambda f: f.retry_flow(flow(int).map_async(4, later).flat_map_concat(single), lambda *_: None, BACKOFF),
        INPUT,
    ),
]
