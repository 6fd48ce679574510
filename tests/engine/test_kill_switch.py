"""Stopping streams from outside: softly or with an error, wherever they wait, and never in place of a cancellation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.graph import RunnableGraph, flow
from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Action, Decision
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import END, SinkProbe, SourceProbe


async def echo(x: str) -> str:
    await asyncio.sleep(0)
    return x


async def passes(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


@pytest.mark.parametrize("waits", range(1, 15))
async def test_a_soft_stop_drains_what_was_read(waits: int) -> None:
    """Whatever step the stream is at: nothing is read any more, all that was read is written and confirmed."""
    switch, window = KillSwitch(), Witness()
    source = SourceProbe([[1, 2], [3]], window=window, wait=True, passes=1)
    below = source.as_source().kill_switch(switch).map(str).map_async(2, echo).grouped(2)
    run = asyncio.ensure_future(below.to(to_list()).run())
    await passes(waits)
    switch.shutdown()
    found = await run
    assert sum(len(group) for group in found) == source.given
    window.check_all_settled()
    assert source.closes == 1


async def test_abort_fails_the_stream_with_its_error_and_closes_it() -> None:
    switch = KillSwitch()
    source = SourceProbe([[1, 2]], wait=True)
    found: list[int] = []
    run = asyncio.ensure_future(source.as_source().kill_switch(switch).to(foreach(found.append)).run())
    await passes(5)
    switch.abort(OSError("enough"))
    with pytest.raises(OSError, match="enough"):
        await run
    assert found == [1, 2]
    assert source.closes == 1


async def test_the_first_call_counts() -> None:
    switch = KillSwitch()
    switch.shutdown()
    switch.abort(OSError("too late"))
    assert switch.fired
    assert switch.error is None
    assert await iterate([1]).kill_switch(switch).to(to_list()).run() == []


@pytest.mark.parametrize("order", ["switch first", "cancel first"])
@pytest.mark.parametrize("waits", [1, 3, 6])
async def test_a_cancellation_at_the_same_moment_is_not_swallowed(order: str, waits: int) -> None:
    switch = KillSwitch()
    source = SourceProbe([[1]], wait=True)
    run = asyncio.ensure_future(source.as_source().kill_switch(switch).to(ignore()).run())
    await passes(waits)
    for call in (switch.shutdown, run.cancel) if order == "switch first" else (run.cancel, switch.shutdown):
        call()
    await asyncio.wait((run,))
    assert run.cancelled()
    assert source.closes == 1


async def test_a_cancellation_just_after_the_switch_is_not_taken_for_it() -> None:
    """Fired from within the very task: the switch interrupts it later, and the cancellation comes before that."""
    switch = KillSwitch()

    def fire(x: int) -> int:
        switch.shutdown()
        asyncio.get_running_loop().call_soon(run.cancel)
        return x

    source = SourceProbe([[1]], wait=True)
    graph = source.as_source().map(fire).filter(lambda _: False).kill_switch(switch).to(ignore())
    run: asyncio.Task[None] = asyncio.ensure_future(graph.run())
    await asyncio.wait((run,))
    assert run.cancelled()


async def test_after_a_soft_stop_the_task_is_not_marked_as_cancelled() -> None:
    switch = KillSwitch()
    left: list[int] = []

    async def whole() -> str:
        await SourceProbe(wait=True).as_source().kill_switch(switch).to(ignore()).run()
        left.append(asyncio.current_task().cancelling())  # type: ignore[union-attr]
        await asyncio.sleep(0)
        return "went on"

    run = asyncio.ensure_future(whole())
    await passes(5)
    switch.shutdown()
    assert await run == "went on"
    assert left == [0]


async def test_one_switch_stops_many_streams() -> None:
    switch = KillSwitch()
    sources = [SourceProbe([[i]], wait=True) for i in range(5)]
    runs = [asyncio.ensure_future(s.as_source().kill_switch(switch).to(to_list()).run()) for s in sources]
    await passes(5)
    switch.shutdown()
    assert await asyncio.gather(*runs) == [[0], [1], [2], [3], [4]]
    assert [s.closes for s in sources] == [1] * 5


async def test_two_switches_in_one_stream_and_one_switch_twice() -> None:
    for first, second in ((KillSwitch(), KillSwitch()), (shared := KillSwitch(), shared)):
        source = SourceProbe([[1]], wait=True)
        graph = source.as_source().kill_switch(first).map(str).kill_switch(second).to(to_list())
        run = asyncio.ensure_future(graph.run())
        await passes(5)
        first.shutdown()
        second.shutdown()
        assert await run == ["1"]
        assert source.closes == 1


@pytest.mark.parametrize("goes_on", [True, False], ids=["its element goes down", "its element is left out"])
async def test_a_function_above_the_switch_may_fire_it(goes_on: bool) -> None:
    """The pending interruption must not hit the sink below, and must end a stage that goes on waiting above."""
    switch = KillSwitch()
    sink = SinkProbe()

    def fire(x: int) -> bool:
        if x == 2:
            switch.shutdown()
        return goes_on or x < 2

    source = SourceProbe([[1], [2]], wait=True)
    run = asyncio.ensure_future(source.as_source().filter(fire).kill_switch(switch).to(sink.as_sink()).run())
    assert await sink.pull(5) == [1]
    if goes_on:
        assert await sink.pull(5) == [2]
        await passes(5)
    assert await sink.pull(5) is None
    await run
    assert source.closes == 1


async def test_it_ends_a_retry_delay() -> None:
    clock, switch = FakeClock(), KillSwitch()

    class Later:
        def decide(self, failure: Any) -> Decision:
            return Decision(Action.RETRY, 3600.0)

    def never(_: int) -> int:
        raise OSError("away")

    window = Witness()
    graph: RunnableGraph[list[int]] = (
        SourceProbe([[1]], window=window).as_source().map(never).kill_switch(switch).to(to_list())
    )
    run = asyncio.ensure_future(graph.run(Runtime(clock), Later()))
    await clock.settle()
    switch.shutdown()
    await clock.settle()
    assert await run == []
    assert window.progress is None, "the record that was tried stays un-confirmed"


async def test_in_a_side_branch_it_ends_that_branch_alone() -> None:
    switch = KillSwitch()
    source = SourceProbe([[1]], wait=True)
    side: list[int] = []
    graph = source.as_source().also_to(flow().kill_switch(switch).to(foreach(side.append))).to(to_list())
    run = asyncio.ensure_future(graph.run())
    await passes(10)
    switch.shutdown()
    await passes(10)
    source.give([2, 3], [4])
    await passes(10)
    source.give(END)
    assert await run == [1, 2, 3, 4]
    assert side == [1]
