"""Reading ahead by hand: what is read when, what a cancelled pull leaves behind, both ends of what is held."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.reservoir import Pieces, Reservoir
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe, pulled


class Sum(Reservoir[int, int]):
    """Adds up what came; reads two elements at a time while it holds fewer than `most`."""

    def __init__(self, upstream: Any, m: Any) -> None:
        super().__init__(upstream, m)
        self.most = 4
        self.count = self.total = 0

    def room(self) -> int:
        return 2 if self.count < self.most else 0

    def keep(self, chunk: Chunk[int]) -> None:
        self.count += len(chunk)
        self.total += sum(chunk.data)

    async def give(self, n: int) -> Chunk[int] | None:
        while not self.count:
            if self.over:
                return self.end()
            await self.more()
        await self.pace.turn()
        chunk = Chunk([self.total])
        self.count = self.total = 0
        return chunk


def summed(source: SourceProbe) -> Any:
    return source.as_source().via(flow().then("sum", lambda m, up: Sum(up, m)))


async def passes(n: int = 20) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def test_it_reads_as_long_as_there_is_room_and_again_after_a_pull() -> None:
    source = SourceProbe([list(range(1, 21))])
    async with pulled(summed(source)) as stage:
        assert (await stage.pull(1)).data == [10]  # type: ignore[union-attr]
        await passes()
        assert source.demands == [2, 2, 2, 2]
        assert (await stage.pull(1)).data == [26]  # type: ignore[union-attr]


async def test_a_pull_that_is_cancelled_leaves_the_task_reading() -> None:
    source = SourceProbe(wait=True)
    async with pulled(summed(source)) as stage:
        pull = asyncio.ensure_future(stage.pull(1))
        await passes()
        pull.cancel()
        await asyncio.wait((pull,))
        source.give([1, 2], [3])
        await passes()
        assert source.given == 3
        assert (await stage.pull(1)).data == [6]  # type: ignore[union-attr]


async def test_a_source_that_is_cancelled_by_somebody_else_fails_it() -> None:
    class Cancelled(SourceProbe):
        async def pull(self, n: int) -> Chunk[Any] | None:
            raise asyncio.CancelledError

    async with pulled(summed(Cancelled())) as stage:
        with pytest.raises(RuntimeError, match="cancelled by somebody else"):
            await stage.pull(1)


def pieces(window: Witness, *sizes: int) -> Pieces[int]:
    held: Pieces[int] = Pieces()
    begin = 0
    for size in sizes:
        numbers = list(range(begin, begin + size))
        begin += size
        held.add(Chunk(numbers, (window.open(size, begin, 0.0),)))
    return held


@pytest.mark.parametrize("sizes", [(6,), (1, 2, 3), (3, 2, 1), (1, 1, 1, 1, 1, 1)], ids=str)
@pytest.mark.parametrize(("first", "last"), [(0, 0), (2, 1), (1, 4), (3, 3), (6, 0), (0, 6)])
def test_both_ends_can_be_left_out(sizes: tuple[int, ...], first: int, last: int) -> None:
    window = Witness()
    held = pieces(window, *sizes)
    held.drop_first(first)
    held.drop_last(last)
    assert held.count == 6 - first - last
    kept: list[int] = []
    while held.count:
        chunk = held.give(4)
        kept += chunk.data
        chunk.written()
    assert kept == list(range(6))[first : 6 - last]
    assert window.ledger().filtered == first + last
    window.check_all_settled()
