"""Whole graphs: results of sinks, fan-out with a branch that ends or fails, what a run leaves behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.graph import Flow, RunnableGraph, Sink, flow
from teleporter_lab.engine.stages.folding_sinks import fold
from teleporter_lab.engine.stages.sinks import foreach, head, ignore, last, to_list
from teleporter_lab.engine.stages.sources import failed, iterate
from teleporter_lab.testing.probes import SourceProbe


async def test_each_sink_has_its_result() -> None:
    seen: list[int] = []
    numbers = iterate(range(5))
    assert await numbers.to(to_list()).run() == [0, 1, 2, 3, 4]
    assert await numbers.to(fold(10, lambda a, x: a + x)).run() == 20
    assert await numbers.to(head()).run() == 0
    assert await numbers.to(last()).run() == 4
    assert await numbers.to(foreach(seen.append)).run() is None
    assert seen == [0, 1, 2, 3, 4]
    assert await iterate(()).to(head()).run() is None
    assert await iterate(()).to(last()).run() is None


async def test_a_blueprint_runs_as_often_as_wanted_and_side_by_side() -> None:
    graph = iterate(range(100)).map(lambda x: x * 2).grouped(7).to(to_list())
    first, second = await asyncio.gather(graph.run(), graph.run())
    assert first == second
    assert await graph.run() == first


async def test_a_flow_and_a_sink_are_values_to_join() -> None:
    double: Flow[int, int] = flow().map(lambda x: x * 2)
    into: Sink[int, list[int]] = double.to(to_list())
    assert isinstance(into, Sink)
    graph = iterate([1, 2]).via(double).to(into)
    assert isinstance(graph, RunnableGraph)
    assert await graph.run() == [4, 8]
    assert repr(iterate([1]).filter(bool).take(1).to(ignore())) == "iterate → filter(bool) → take(1) → ignore"


async def test_broadcast_gives_everything_to_every_sink() -> None:
    results = await iterate(range(10)).broadcast(to_list(), flow().map(str).to(to_list()), head()).run()
    assert results == [list(range(10)), [str(x) for x in range(10)], 0]


async def test_a_side_sink_that_ends_early_holds_nobody_up() -> None:
    taken: list[int] = []
    side: Sink[int, None] = flow().take(2).to(foreach(taken.append))
    assert await iterate(range(1000)).also_to(side).to(to_list()).run() == list(range(1000))
    assert taken == [0, 1]


async def test_a_side_sink_that_fails_fails_the_run_with_its_own_error() -> None:
    def bad(x: int) -> None:
        if x == 5:
            raise ValueError("side")

    probe = SourceProbe([[x] for x in range(100)])
    with pytest.raises(ValueError, match="side"):
        await probe.as_source().also_to(foreach(bad)).to(to_list()).run()
    assert probe.closes == 1


async def test_an_error_above_a_fan_out_comes_out_once_and_bare() -> None:
    with pytest.raises(OSError, match="lost") as caught:
        await failed(OSError("lost")).broadcast(ignore(), ignore(), to_list()).run()
    assert not isinstance(caught.value, BaseExceptionGroup)


async def test_acks_over_a_fan_out_confirm_when_both_sinks_have() -> None:
    window = AckWindow(1000)
    probe = SourceProbe([[0, 1, 2], [3]], window=window)
    await probe.as_source().also_to(flow().filter(lambda x: x > 1).to(ignore())).to(ignore()).run()
    ledger = window.ledger()
    assert window.room == window.size
    assert ledger.in_flight == 0
    assert (ledger.read, ledger.expanded, ledger.written, ledger.filtered) == (4, 4, 6, 2)


async def test_cancelling_a_run_closes_everything_and_ends_all_tasks() -> None:
    before = asyncio.all_tasks()
    probe = SourceProbe([[1, 2, 3]], wait=True)
    run = asyncio.ensure_future(probe.as_source().map_async(4, asyncio.sleep).also_to(ignore()).to(to_list()).run())
    await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert probe.closes == 1
    assert asyncio.all_tasks() == before


async def test_a_switch_below_the_source_stops_a_whole_graph() -> None:
    from teleporter_lab.engine.kill_switch import KillSwitch

    switch = KillSwitch()
    probe = SourceProbe([[1, 2, 3]], wait=True)
    graph = probe.as_source().map(lambda x: x * 2).to(to_list()).stopped_by(switch)
    run = asyncio.ensure_future(graph.run())
    await asyncio.sleep(0.01)
    switch.shutdown()
    assert await run == [2, 4, 6]
    assert probe.closes == 1


async def test_also_to_and_broadcast_of_nothing() -> None:
    assert await iterate([1]).also_to().to(to_list()).run() == [1]
    with pytest.raises(ValueError, match="at least one sink"):
        iterate([1]).broadcast()


def refused(call: Any) -> str:
    with pytest.raises(ValueError, match="needs") as caught:
        call()
    return str(caught.value)


def test_impossible_arguments_are_refused_where_they_are_written() -> None:
    f = iterate([1])
    assert "not 0" in refused(lambda: f.grouped(0))
    assert "not 0" in refused(lambda: f.grouped_within(0, 1.0))
    assert "per > 0" in refused(lambda: f.throttle(1, 0.0))
