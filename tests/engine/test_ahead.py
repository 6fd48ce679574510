"""An outstanding pull: handed over once, kept when nobody takes it, ended with its stream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.testing.probes import END, SourceProbe


def ahead(*script: Any, **options: Any) -> tuple[Ahead[Any], SourceProbe]:
    source = SourceProbe(script, **options)
    return Ahead(source, asyncio.ensure_future), source  # type: ignore[arg-type]


async def test_one_pull_is_outstanding_and_what_it_brought_is_taken_in_pieces() -> None:
    it, source = ahead([1, 2, 3], [4])
    task = it.start(10)
    assert it.start(99) is task
    await task
    assert [(await it.next(2)).data, (await it.next(2)).data, (await it.next(2)).data] == [[1, 2], [3], [4]]  # type: ignore[union-attr]
    assert source.demands == [10, 2]
    await it.close()


async def test_the_end_and_an_error_stay() -> None:
    it, source = ahead([1], END)
    assert await it.next(5) is not None
    assert [await it.next(5) for _ in range(3)] == [None, None, None]
    assert it.ended
    assert source.demands == [5, 5], "nobody pulls after the end"
    it, source = ahead(OSError("lost"))
    for _ in range(3):
        with pytest.raises(OSError, match="lost"):
            await it.next(5)
    assert source.demands == [5]


async def test_whoever_waits_may_be_cancelled() -> None:
    it, source = ahead(wait=True)
    waiting = asyncio.ensure_future(it.next(3))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    source.give([1])
    chunk = await it.next(3)
    assert isinstance(chunk, Chunk)
    assert chunk.data == [1]
    assert source.demands == [3]
    await it.close()


async def test_closing_stops_the_pull_first() -> None:
    it, source = ahead(wait=True)
    task = it.start(3)
    await asyncio.sleep(0)
    await it.close()
    assert task.cancelled()
    assert source.closes == 1


async def test_a_cancellation_that_came_from_nowhere_is_an_error() -> None:
    """What is above awaited something that somebody else cancelled; nobody cancelled the pull."""
    it, source = ahead(wait=True)
    other: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def pull(_: int) -> Any:
        await other

    source.pull = pull  # type: ignore[method-assign]
    it.start(1)
    asyncio.get_running_loop().call_soon(other.cancel)
    with pytest.raises(RuntimeError, match="cancelled by somebody else"):
        await it.next(1)
