"""Monitors count and tell how a stream ended; a switch of the run stops it, and draining waits for the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.graph import source as source_of
from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.stages.watching import Monitor
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import END, SinkProbe, SourceProbe

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.stage import Stage


async def test_a_monitor_counts_and_is_given_to_whoever_started_the_run() -> None:
    source = SourceProbe(wait=True)
    async with source.as_source().monitor().filter(lambda x: x > 2).to(to_list()).start() as running:
        monitor = running.value(Monitor)
        assert (monitor.elements, monitor.chunks, monitor.state, monitor.rate) == (0, 0, "running", 0.0)
        source.give([1, 2, 3], [4], END)
        assert await running.both() == (monitor, [3, 4])
    assert (monitor.elements, monitor.chunks, monitor.state, monitor.error) == (4, 2, "completed", None)
    assert repr(monitor) == "Monitor(completed, 4 elements in 2 chunks)"


async def test_each_run_has_a_monitor_of_its_own() -> None:
    graph = iterate(range(5)).monitor().to(ignore())
    found = []
    for _ in range(2):
        async with graph.start() as running:
            found.append(running.value(Monitor))
    assert [monitor.elements for monitor in found] == [5, 5]


async def test_a_monitor_tells_a_failure_from_a_stop() -> None:
    error = OSError("lost")
    monitors = []

    async def watch() -> None:
        async with SourceProbe([[1], error]).as_source().monitor().to(ignore()).start() as failing:
            monitors.append(failing.value(Monitor))
            with pytest.raises(OSError, match="lost"):
                await failing.right()
            assert failing.done

    with pytest.raises(OSError, match="lost"):
        await watch()
    assert [(monitor.state, monitor.error) for monitor in monitors] == [("failed", error)]


async def test_a_run_left_by_its_sink_is_cancelled_for_its_monitor() -> None:
    async with iterate(range(100)).monitor().take(2).to(ignore()).start() as running:
        await running.right()
    assert running.value(Monitor).state == "cancelled"


async def test_the_rate_is_of_the_clock_of_the_run() -> None:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        source, sink = SourceProbe([[1, 2, 3, 4]], wait=True), SinkProbe()
        async with source.as_source().monitor().to(sink.as_sink()).start(runtime) as running:
            await clock.advance(2.0)
            await sink.pull(10)
            assert running.value(Monitor).rate == 2.0
            await sink.leave()


async def test_a_run_publishes_a_switch_of_its_own() -> None:
    source = SourceProbe([[1, 2]], wait=True)
    async with source.as_source().kill_switch().to(to_list()).start() as running:
        await asyncio.sleep(0)
        running.value(KillSwitch).shutdown()
    assert await running.right() == [1, 2]
    assert source.closes == 1


async def test_draining_waits_until_all_that_was_read_is_written() -> None:
    switch = KillSwitch()
    sources, sinks = [SourceProbe([[1, 2]], wait=True) for _ in "ab"], [SinkProbe() for _ in "ab"]
    runs = [
        asyncio.ensure_future(source.as_source().kill_switch(switch).to(sink.as_sink()).run())
        for source, sink in zip(sources, sinks, strict=True)
    ]
    for sink in sinks:
        assert await sink.pull(1) == [1]
    draining = asyncio.ensure_future(switch.drain())
    for sink in sinks:
        assert not draining.done()
        assert await sink.pull(9) is None
    await draining
    await asyncio.gather(*runs)
    await switch.drain()
    assert [source.closes for source in sources] == [1, 1]


async def test_several_values_of_a_kind_have_to_be_told_apart() -> None:
    async with iterate(range(3)).monitor().map(str).monitor().to(ignore()).start() as running:
        with pytest.raises(LookupError, match="published 2 values of Monitor"):
            running.value(Monitor)
        with pytest.raises(LookupError, match="published 0 values of KillSwitch"):
            running.value(KillSwitch)
        first, second = running.values
        assert running.left is first
    assert first.elements == second.elements == 3


async def test_an_error_in_the_block_stops_the_stream() -> None:
    source = SourceProbe([[1]], wait=True)

    async def block() -> None:
        async with source.as_source().monitor().to(ignore()).start():
            await asyncio.sleep(0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await block()
    assert source.closes == 1


async def test_a_stream_that_cannot_be_attached_says_so_on_start() -> None:
    async def never(_: int) -> None: ...

    with pytest.raises(TypeError):
        async with iterate(5).to(foreach(never)).start() as running:  # type: ignore[arg-type]
            await running.right()


async def test_draining_waits_for_the_sink_also_where_something_below_has_enough() -> None:
    switch, sink = KillSwitch(), SinkProbe()
    source = SourceProbe([[1, 2, 3]], wait=True)
    run = asyncio.ensure_future(source.as_source().kill_switch(switch).take(2).to(sink.as_sink()).run())
    chunk = await sink.chunk(5)
    assert chunk is not None
    assert source.closes == 1, "take has all it wants"
    draining = asyncio.ensure_future(switch.drain())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not draining.done()
    while await sink.pull(5) is not None:
        pass
    await draining
    await run


async def test_what_cannot_be_attached_raises_on_start_and_is_not_waited_for() -> None:
    switch = KillSwitch()

    def attach(_: object) -> Stage[int]:
        raise OSError("no such table")

    graph = source_of("broken", attach).to(ignore())
    with pytest.raises(OSError, match="no such table"):
        async with graph.start():
            raise AssertionError("the block is not entered")
    broken = iterate([1]).kill_switch(switch).then("broken", lambda _, up: attach(up)).to(ignore())
    with pytest.raises(OSError, match="no such table"):
        await broken.run()
    await switch.drain()


SPLITS: dict[str, Callable[[Flow[Any, int], KillSwitch], Flow[Any, int]]] = {
    "group_by": lambda f, switch: f.group_by(9, lambda x: x % 2).kill_switch(switch).merge_substreams(),
    "above also_to": lambda f, switch: f.kill_switch(switch).also_to(ignore()),
    "plain": lambda f, switch: f.kill_switch(switch),
}


@pytest.mark.parametrize("split", SPLITS)
async def test_a_switch_confirms_nothing_that_its_line_has_not_got(split: str) -> None:
    switch, window, found = KillSwitch(), Witness(), list[int]()
    source = SourceProbe([[i] for i in range(50)], window=window, passes=1)

    def see(x: int) -> None:
        found.append(x)
        if len(found) == 5:
            switch.shutdown()

    await SPLITS[split](source.as_source(), switch).to(foreach(see)).run()
    assert window.progress is not None
    assert window.progress.position == len(found) == 5
    assert source.given <= 7, "it reads on no further"
