"""A flow that is started again: its input goes on, and what was inside stays un-confirmed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.backoff import Backoff
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.restarting import restart_flow
from teleporter_lab.engine.stages.sinks import ignore, to_list
from teleporter_lab.engine.stages.sources import failed, iterate
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SourceProbe, pulled
from tests.engine.stages.restarts import AWAY, BACKOFF, bad, failing_once, in_time

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Source


async def wait_for(task: asyncio.Task[Any]) -> Any:
    return await task


async def test_a_flow_that_fails_is_made_anew_and_its_input_goes_on() -> None:
    source = SourceProbe([[1], [2], [3], [4], [5]])
    found, clock = await in_time(source.as_source().via(restart_flow(BACKOFF, failing_once(3))).to(to_list()))
    assert (found, clock.sleeps) == ([1, 2, 4, 5], [1.0])
    assert source.closes == 1


async def test_what_was_inside_the_failed_flow_stays_unconfirmed_and_nothing_else_does() -> None:
    """The first chunk is on its way below, the second held in a list, the third has failed, the fourth passes."""
    window = Witness()
    source = SourceProbe([[1], [2], [3], [4], [5]], window=window)
    make = failing_once(3)
    flows = restart_flow(BACKOFF, lambda: make().grouped(2).map(list))
    clock = FakeClock()
    async with Runtime(clock) as runtime, pulled(source.as_source().via(flows), runtime) as stage:
        first = await stage.pull(1)
        assert first is not None
        assert first.data == [[1, 2]]
        second = await clock.run(stage.pull(1))
        assert second is not None
        assert second.data == [[4, 5]]
        assert window.refused == 1
        assert window.progress is None
        second.written()
        first.written()
        assert window.progress is not None
        assert window.progress.position == 2, "the third stands in front of the others"
        assert await drain(stage, 1) == []
    assert window.late == 0
    assert [token.settled for token in window.tokens] == [True] * 5


async def test_elements_held_by_a_flow_that_fails_elsewhere_are_refused() -> None:
    window = Witness()
    source = SourceProbe([[1], [2]], window=window, wait=True)
    gate = asyncio.Event()
    runs = 0

    async def work(x: int) -> int:
        nonlocal runs
        runs += 1
        await gate.wait()
        if x == 1 and runs <= 2:
            raise OSError("away")
        return x

    clock = FakeClock()
    flows = restart_flow(BACKOFF, lambda: flow(int).map_async(2, work))
    async with Runtime(clock) as runtime, pulled(source.as_source().via(flows), runtime) as stage:
        pull = asyncio.ensure_future(stage.pull(5))
        await clock.settle()
        gate.set()
        await clock.settle()
        assert window.refused == 2
        source.give([3], END)
        chunk = await clock.run(wait_for(pull))
        assert chunk.data == [3]
        chunk.written()
    assert window.late == 0
    assert window.progress is None


async def test_channels_pass_a_flow_that_is_restarted() -> None:
    window = Witness(channels=2)
    source = SourceProbe([[1], [2], [3], [4]], window=window)
    make = failing_once(3)
    flows = restart_flow(BACKOFF, lambda: flow(int).switch_channel(1).via(make()))
    clock = FakeClock()
    async with Runtime(clock) as runtime, pulled(source.as_source().via(flows), runtime) as stage:
        assert await clock.run(drain(stage, 1)) == [1, 2, 4]
    assert window.progress is not None
    assert window.progress.position == 2
    assert window.late == 0


async def test_an_error_above_passes_and_the_end_too() -> None:
    with pytest.raises(OSError, match="away"):
        await in_time(SourceProbe([AWAY]).as_source().via(restart_flow(BACKOFF, flow)).to(ignore()))
    recovering: Source[int] = failed(AWAY).via(restart_flow(BACKOFF, lambda: flow(int).recover(lambda _: -1)))
    assert (await in_time(recovering.to(to_list())))[0] == [-1]
    found, clock = await in_time(iterate(range(3)).via(restart_flow(BACKOFF, flow, on="end")).to(to_list()))
    assert (found, clock.sleeps) == ([0, 1, 2], [])


async def test_a_flow_that_ends_before_its_input() -> None:
    source = SourceProbe([[i] for i in range(7)])
    ended, _ = await in_time(source.as_source().via(restart_flow(BACKOFF, lambda: flow().take(2))).to(to_list()))
    assert (ended, source.given, source.closes) == ([0, 1], 2, 1)
    source = SourceProbe([[i] for i in range(5)])
    again = restart_flow(BACKOFF, lambda: flow().take(2), on="end")
    found, clock = await in_time(source.as_source().via(again).to(to_list()))
    assert (found, clock.sleeps) == ([0, 1, 2, 3, 4], [1.0, 2.0])


async def test_a_failure_after_the_last_element_is_one_like_others() -> None:
    source = iterate([3]).via(restart_flow(BACKOFF, lambda: flow().map(bad))).to(to_list())
    assert (await in_time(source))[0] == []
    few = Backoff(1.0, 1.0, max_restarts=0)
    with pytest.raises(OSError, match="away"):
        await in_time(iterate([3]).via(restart_flow(few, lambda: flow().map(bad))).to(to_list()))
