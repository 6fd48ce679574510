"""Rows of the law suite: flattening."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.stages.sinks import ignore
from teleporter_lab.engine.stages.sources import empty, iterate, single
from tests.engine.laws.case import INPUT, Case

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Source


def copies(x: int) -> Source[int]:
    """As many as x says, modulo 3: some give nothing."""
    return iterate([x] * (x % 3))


def only(last: int) -> Any:
    """A source of its own for `last`, none for the others, so that it does not matter when they are left."""
    return lambda x: iterate([x, x + 1, x + 2]) if x == last else empty()


async def echo(x: Any) -> Any:
    return x


COPIES = [1, 2, 2, 4, 5, 5, 7, 8, 8]

CASES = [
    Case("flat_map_concat", lambda f: f.flat_map_concat(copies), COPIES, unsettled=True),
    Case("flat_map_concat, one for one", lambda f: f.flat_map_concat(single), INPUT),
    Case("flat_map_concat, many", lambda f: f.flat_map_concat(lambda x: iterate([x] * 30)), sorted(INPUT * 30)),
    Case(
        "flat_map_concat, nested",
        lambda f: f.flat_map_concat(lambda x: single(x).flat_map_concat(single).map_async(2, echo)),
        INPUT,
    ),
    Case("flat_map_concat, with side sinks", lambda f: f.flat_map_concat(lambda x: single(x).also_to(ignore())), INPUT),
    Case("flat_map_merge", lambda f: f.flat_map_merge(3, copies), COPIES, ordered=False, unsettled=True),
    Case("flat_map_merge, alone", lambda f: f.flat_map_merge(1, single), INPUT),
    Case(
        "flat_map_merge, one for one",
        lambda f: f.flat_map_merge(4, single),
        INPUT,
        ordered=False,
        reads_exactly=False,  # it opens four sources as soon as it is asked for anything
    ),
    Case(
        "flat_map_merge, many",
        lambda f: f.flat_map_merge(4, lambda x: iterate([x] * 30)),
        INPUT * 30,
        ordered=False,
    ),
    Case("switch_map", lambda f: f.switch_map(only(9)), [9, 10, 11], unsettled=True),
    Case("switch_map, nothing", lambda f: f.switch_map(lambda _: empty()), [], unsettled=True),
]
