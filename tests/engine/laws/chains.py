"""Rows of the law suite: chains."""

from __future__ import annotations

from typing import Any

from teleporter_lab.engine.graph import flow
from tests.engine.laws.case import INPUT, Case


async def echo(x: Any) -> Any:
    return x


CASES = [
    Case("via", lambda f: f.via(flow().map(str)), [str(x) for x in INPUT]),
    Case(
        "map, in a long chain",
        lambda f: f.map(str).grouped(2).map_concat(list).map_async(2, echo).map(int),
        INPUT,
        reads_exactly=False,
    ),
]
