"""Elements that are held back for a time, or left out of one, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SourceProbe, pulled
from tests.engine.stages.test_timing import heavy, passed_at


async def test_each_element_is_given_so_long_after_it_came() -> None:
    clock, window = FakeClock(), Witness()
    source = SourceProbe(window=window, wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().delay(5.0), runtime) as stage:
        pull = asyncio.ensure_future(stage.pull(9))
        await clock.advance(1.0)
        source.give([1, 2])
        await clock.advance(3.0)
        source.give([3], END)
        await clock.advance(1.9)
        assert not pull.done()
        await clock.advance(0.2)
        first = await pull
        assert first is not None
        assert first.data == [1], "a pace begins with one"
        first.written()
        second = await stage.pull(9)
        assert second is not None
        assert second.data == [2]
        second.written()
        last = asyncio.ensure_future(stage.pull(9))
        await clock.advance(2.8)
        assert not last.done()
        await clock.advance(0.2)
        third = await last
        assert third is not None
        assert third.data == [3]
        third.written()
        assert await stage.pull(9) is None
    window.check_all_settled()


async def test_no_more_are_held_than_it_says() -> None:
    clock = FakeClock()
    source = SourceProbe([list(range(100))])
    async with Runtime(clock) as runtime, pulled(source.as_source().delay(5.0, 8), runtime) as stage:
        pull = asyncio.ensure_future(stage.pull(100))
        await clock.advance(4.9)
        assert source.given == 8
        await clock.advance(0.2)
        first = await pull
        assert first is not None
        assert len(first) == 1, "a pace begins with one"
        await clock.settle()
        assert source.given == 9


async def test_delays_of_their_own_keep_the_order() -> None:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        source = SourceProbe([[3, 1, -1, 5, 5, 4]])
        found = await passed_at(source.as_source().delay_with(heavy), clock, runtime)
    assert found == [(3.0, [3, 1]), (5.0, [5, 5, 4])]


async def test_an_error_waits_for_what_is_held() -> None:
    clock = FakeClock()
    source = SourceProbe([[1], OSError("lost")])
    async with Runtime(clock) as runtime, pulled(source.as_source().delay(5.0), runtime) as stage:
        pull = asyncio.ensure_future(stage.pull(9))
        await clock.advance(5.1)
        assert ((await pull) or []).data == [1]  # type: ignore[union-attr]
        for _ in range(2):
            with pytest.raises(OSError, match="lost"):
                await stage.pull(9)


# ---------------------------------------------------------------------------------------------------- first seconds


async def test_nothing_is_read_in_the_time_of_an_initial_delay() -> None:
    clock = FakeClock()
    source = SourceProbe([[1, 2], [3]])
    async with Runtime(clock) as runtime, pulled(source.as_source().initial_delay(5.0), runtime) as stage:
        await clock.advance(10.0)
        for _ in range(2):
            pull = asyncio.ensure_future(stage.pull(9))
            await clock.advance(2.4)
            pull.cancel()
            await asyncio.wait((pull,))
        assert source.demands == []
        pull = asyncio.ensure_future(stage.pull(9))
        await clock.advance(0.3)
        assert ((await pull) or []).data == [1, 2]  # type: ignore[union-attr]
        assert await drain(stage, 9) == [3]


async def test_what_comes_in_time_is_taken_then_all_is_closed() -> None:
    clock, window = FakeClock(), Witness()
    source = SourceProbe(window=window, wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().take_within(5.0), runtime) as stage:
        source.give([1])
        await clock.advance(60.0)
        assert await drain_one(stage) == [1]
        last = asyncio.ensure_future(stage.pull(9))
        await clock.advance(4.9)
        assert not last.done()
        await clock.advance(0.2)
        assert await last is None
        assert source.closes == 1
        assert await stage.pull(9) is None


async def drain_one(stage: Any) -> list[int]:
    chunk = await stage.pull(9)
    assert chunk is not None
    chunk.written()
    return chunk.data


async def test_what_was_read_too_late_is_not_confirmed() -> None:
    clock, window = FakeClock(), Witness()
    source = SourceProbe(window=window, wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().take_within(5.0), runtime) as stage:
        pull = asyncio.ensure_future(stage.pull(9))
        await clock.settle()
        pull.cancel()
        await clock.advance(6.0)
        source.give([1])
        await clock.settle()
        assert await stage.pull(9) is None
    assert window.progress is None


async def test_what_comes_too_early_is_dropped_and_confirmed() -> None:
    clock, window = FakeClock(), Witness()
    source = SourceProbe([[1, 2]], window=window, wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().drop_within(5.0), runtime) as stage:
        pull = asyncio.ensure_future(stage.pull(9))
        await clock.advance(4.9)
        assert window.ledger().filtered == 2
        source.give([3])
        await clock.advance(0.2)
        source.give([4], END)
        chunk = await pull
        assert chunk is not None
        assert chunk.data == [4]
        chunk.written()
        assert await stage.pull(9) is None
    window.check_all_settled()
