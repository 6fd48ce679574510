"""Operators that look at the clock, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.stages.sources import tick
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import END, SourceProbe, pulled


async def test_a_short_list_goes_out_when_time_is_up_and_a_full_one_at_once() -> None:
    clock, window = FakeClock(), Witness()
    source = SourceProbe([[1, 2]], window=window, wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().grouped_within(3, 5.0), runtime) as stage:
        first = asyncio.ensure_future(stage.pull(1))
        await clock.advance(4.9)
        assert not first.done()
        await clock.advance(0.2)
        chunk = await first
        assert chunk is not None
        assert chunk.data == [[1, 2]]
        chunk.written()
        source.give([3, 4, 5])
        full = await stage.pull(1)
        assert full is not None
        assert full.data == [[3, 4, 5]]
        full.written()
        source.give([6], END)
        last = await stage.pull(1)
        assert last is not None
        assert last.data == [[6]]
        last.written()
        assert await stage.pull(1) is None
    window.check_all_settled()
    assert window.ledger().merged == 3


async def test_the_time_of_a_list_begins_with_its_first_element_not_with_the_pull() -> None:
    clock = FakeClock()
    source = SourceProbe(wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().grouped_within(3, 5.0), runtime) as stage:
        pull = asyncio.ensure_future(stage.pull(1))
        await clock.advance(100.0)
        source.give([1])
        await clock.advance(4.0)
        source.give([2])
        await clock.advance(0.9)
        assert not pull.done()
        await clock.advance(0.2)
        chunk = await pull
        assert chunk is not None
        assert chunk.data == [[1, 2]]


async def test_what_was_held_goes_out_before_an_error() -> None:
    clock = FakeClock()
    source = SourceProbe([[1], OSError("lost")])
    async with Runtime(clock) as runtime, pulled(source.as_source().grouped_within(3, 5.0), runtime) as stage:
        chunk = await stage.pull(1)
        assert chunk is not None
        assert chunk.data == [[1]]
        for _ in range(2):
            with pytest.raises(OSError, match="lost"):
                await stage.pull(1)


async def test_a_cancelled_pull_keeps_what_it_had_gathered_and_its_time() -> None:
    clock = FakeClock()
    source = SourceProbe([[1, 2]], wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().grouped_within(9, 5.0), runtime) as stage:
        for _ in range(3):
            pull = asyncio.ensure_future(stage.pull(1))
            await clock.advance(1.0)
            pull.cancel()
            await asyncio.wait((pull,))
        last = asyncio.ensure_future(stage.pull(1))
        await clock.advance(1.9)
        assert not last.done()
        await clock.advance(0.2)
        chunk = await last
        assert chunk is not None
        assert chunk.data == [[1, 2]]


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_throttle_lets_no_more_pass_than_it_says(size: int) -> None:
    clock = FakeClock()
    passed: list[int] = []
    numbers = list(range(50))
    source = SourceProbe([numbers[i : i + size] for i in range(0, 50, size)])

    async def pull_all(stage: Any) -> None:
        while (chunk := await stage.pull(100)) is not None:
            passed.extend(chunk.data)

    async with Runtime(clock) as runtime, pulled(source.as_source().throttle(10, 1.0), runtime) as stage:
        pulling = asyncio.ensure_future(pull_all(stage))
        counts: list[int] = []
        for _ in range(9):
            await clock.settle()
            counts.append(len(passed))
            await clock.advance(0.5)
        assert counts == [10, 15, 20, 25, 30, 35, 40, 45, 50]
        await clock.advance(1.0)
        await pulling
    assert passed == numbers


async def test_an_idle_time_is_made_up_for_by_one_burst_at_the_most() -> None:
    clock = FakeClock()
    source = SourceProbe([list(range(10))], wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().throttle(10, 1.0), runtime) as stage:
        assert len((await stage.pull(100)) or []) == 10
        waiting = asyncio.ensure_future(stage.pull(100))
        await clock.advance(3600.0)
        source.give(list(range(25)))
        await clock.settle()
        assert len(await waiting or []) <= 10


async def test_idle_timeout_fails_when_nothing_comes_and_stays_failed() -> None:
    clock = FakeClock()
    source = SourceProbe([[1]], wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().idle_timeout(3.0), runtime) as stage:
        assert await stage.pull(1) is not None
        waiting = asyncio.ensure_future(stage.pull(1))
        await clock.advance(2.9)
        assert not waiting.done()
        await clock.advance(0.2)
        with pytest.raises(TimeoutError, match=r"3\.0 s"):
            await waiting
        source.give([2])
        await clock.settle()
        with pytest.raises(TimeoutError):
            await stage.pull(1)
    assert source.closes == 1


async def test_a_day_of_ticks_takes_no_time() -> None:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        graph = tick(60.0, "x").grouped_within(10_000, 3599.0).take(24).to(to_list())
        hours = await clock.run(graph.run(runtime))
    assert [len(hour) for hour in hours] == [60] * 24
    assert clock.now() == 86_399.0
