"""Operators that look at the clock, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.stages.sources import iterate, tick
from teleporter_lab.engine.supervision import Resume
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


async def test_a_day_of_ticks_takes_no_time() -> None:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        graph = tick(60.0, "x").grouped_within(10_000, 3599.0).take(24).to(to_list())
        hours = await clock.run(graph.run(runtime))
    assert [len(hour) for hour in hours] == [60] * 24
    assert clock.now() == 86_399.0


# ------------------------------------------------------------------------------------------------ weights and costs


def heavy(x: int) -> float:
    if x < 0:
        raise ValueError(x)
    return x


async def test_a_list_weighs_no_more_than_it_may_unless_it_is_a_single_element() -> None:
    clock, window = FakeClock(), Witness()
    source = SourceProbe([[3, 3, 5], [11, 1], [9, -1, 1, 2]], window=window, wait=True)
    grouped = source.as_source().grouped_within(10, 5.0, heavy)
    async with Runtime(clock) as runtime, pulled(grouped, runtime, Resume()) as stage:
        lists: list[list[int]] = []
        while len(lists) < 4:
            chunk = await stage.pull(1)
            assert chunk is not None
            lists += chunk.data
            chunk.written()
        assert lists == [[3, 3], [5], [11], [1, 9]]
        last = asyncio.ensure_future(stage.pull(1))
        await clock.advance(4.9)
        assert not last.done()
        await clock.advance(0.2)
        chunk = await last
        assert chunk is not None
        assert chunk.data == [[1, 2]]
        chunk.written()
    window.check_all_settled()
    assert (window.ledger().merged, window.ledger().skipped) == (3, 1)


async def passed_at(flow: Any, clock: FakeClock, runtime: Runtime) -> list[tuple[float, list[int]]]:
    """When what passed, to the end."""
    found: list[tuple[float, list[int]]] = []

    async def pull_all() -> None:
        async with pulled(flow, runtime, Resume()) as stage:
            while (chunk := await stage.pull(100)) is not None:
                if found and abs(found[-1][0] - clock.now()) < 1e-6:
                    found[-1][1].extend(chunk.data)
                else:
                    found.append((round(clock.now(), 6), list(chunk.data)))
                chunk.written()

    await clock.run(pull_all())
    return found


async def test_what_costs_more_waits_longer_and_so_do_those_after_it() -> None:
    clock, window = FakeClock(), Witness()
    source = SourceProbe([[4, 6, 10], [0, 25], [-1, 1, 1]], window=window)
    async with Runtime(clock) as runtime:
        found = await passed_at(source.as_source().throttle(10, 1.0, heavy), clock, runtime)
    assert found == [(0.0, [4, 6]), (1.0, [10, 0]), (2.0, [25]), (3.6, [1]), (3.7, [1])]
    window.check_all_settled()


async def test_a_burst_may_be_smaller_or_larger_than_what_passes_in_the_time() -> None:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        small = await passed_at(SourceProbe([[1, 2, 3]]).as_source().throttle(10, 1.0, burst=1), clock, runtime)
        assert small == [(0.0, [1]), (0.1, [2]), (0.2, [3])]
        begin = round(clock.now(), 6)
        large = await passed_at(SourceProbe([list(range(9))]).as_source().throttle(1, 1.0, burst=8), clock, runtime)
        assert large == [(begin, list(range(8))), (begin + 1.0, [8])]


@pytest.mark.parametrize("cost", [-1.0, float("nan"), float("inf"), "much"])
async def test_a_cost_that_is_no_number_is_an_error_of_its_element(cost: Any) -> None:
    clock = FakeClock()
    source = SourceProbe([[1, 2]])
    async with Runtime(clock) as runtime:
        flow = source.as_source().throttle(10, 1.0, lambda x: cost if x == 1 else 1)
        assert await passed_at(flow, clock, runtime) == [(0.0, [2])]


@pytest.mark.parametrize(
    "make",
    [
        lambda f: f.grouped_within(0, 1.0),
        lambda f: f.grouped_within(1, 0.0),
        lambda f: f.throttle(0, 1.0),
        lambda f: f.throttle(1, 0.0),
        lambda f: f.throttle(1, 1.0, burst=0),
        lambda f: f.delay(-1.0),
        lambda f: f.delay(1.0, 0),
        lambda f: f.delay_with(heavy, 0),
        lambda f: f.initial_delay(-1.0),
        lambda f: f.take_within(-1.0),
        lambda f: f.drop_within(float("nan")),
    ],
)
def test_what_cannot_be_is_refused_at_once(make: Any) -> None:
    with pytest.raises(ValueError, match="needs"):
        make(iterate([1]))


async def test_columns_are_grouped_paced_and_delayed_as_they_are() -> None:
    batch = pa.record_batch({"x": list(range(10))})
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        source = SourceProbe([batch, batch])
        flow = source.as_source().throttle(5, 1.0).delay(1.0, 64).take_within(60.0).grouped_within(4, 60.0)
        found = await clock.run(flow.to(to_list()).run(runtime))
    assert [piece.to_pydict()["x"] for piece in found] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1], [2, 3, 4, 5], [6, 7, 8, 9],
    ]  # fmt: skip
