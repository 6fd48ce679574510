"""Sinks that are emptied from outside: a queue to pull from, an outlet that another stream begins with."""

from __future__ import annotations

import asyncio
from typing import Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.stages.outlets import Outlet, SinkQueue, StreamStopped, queue_sink, source_sink
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate, never
from teleporter_lab.testing.laws import MANY, Witness, cut_off
from teleporter_lab.testing.probes import SourceProbe, pulled

INPUT = list(range(10))


async def settle(n: int = 30) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def emptied(elements: SinkQueue[Any]) -> list[Any]:
    found: list[Any] = []
    while (element := await elements.pull()) is not None:
        found.append(element)
    return found


async def test_a_queue_is_pulled_to_the_end_which_stays() -> None:
    async with iterate(INPUT).to(queue_sink(3)).start() as running:
        elements = running.value(SinkQueue)
        assert await emptied(elements) == INPUT
        assert await elements.pull() is None
        await running.right()


async def test_no_more_is_read_than_there_is_room_for() -> None:
    window = Witness()
    source = SourceProbe([list(range(20))], window=window)
    async with source.as_source().to(queue_sink(4)).start() as running:
        elements = running.value(SinkQueue)
        await settle()
        assert source.given == 4
        assert [await elements.pull() for _ in range(3)] == [0, 1, 2]
        await settle()
        assert source.given == 7
        assert window.progress is None, "a chunk is confirmed when its last element was taken"
        assert await elements.pull() == 3
        assert window.progress is not None
        assert window.progress.position == 4
        assert await emptied(elements) == list(range(4, 20))
    window.check_all_settled()
    assert window.ledger().written == 20
    assert source.closes == 1


async def test_an_error_is_raised_after_all_that_came_before_and_fails_the_run() -> None:
    source = SourceProbe([[1, 2], OSError("lost")])

    async def talk() -> None:
        async with source.as_source().to(queue_sink(8)).start() as running:
            elements = running.value(SinkQueue)
            assert [await elements.pull() for _ in "ab"] == [1, 2]
            for _ in "ab":
                with pytest.raises(OSError, match="lost"):
                    await elements.pull()

    with pytest.raises(OSError, match="lost"):
        await talk()
    assert source.closes == 1


@pytest.mark.parametrize("wait", [False, True], ids=["more is there", "it waits for more"])
async def test_a_queue_may_be_cancelled(wait: bool) -> None:
    window = Witness()
    source = SourceProbe([[1, 2]] if wait else [[1, 2], list(range(50))], wait=wait, window=window)
    async with source.as_source().to(queue_sink(8)).start() as running:
        elements = running.value(SinkQueue)
        assert await elements.pull() == 1
        elements.cancel()
        assert await elements.pull() is None
    assert source.closes == 1
    assert window.progress is None


async def test_those_who_pull_are_served_in_order_and_a_cancelled_one_takes_nothing() -> None:
    source = SourceProbe(wait=True)
    async with source.as_source().to(queue_sink(2)).start() as running:
        elements = running.value(SinkQueue)
        pulls = [asyncio.ensure_future(elements.pull()) for _ in range(4)]
        await settle()
        pulls[0].cancel()
        source.give([1])
        await settle()
        assert pulls[1].result() == 1
        pulls[2].cancel()
        source.give([2], [3])
        assert await pulls[3] == 2
        assert not pulls[2].done() or pulls[2].cancelled()
        assert await elements.pull() == 3
        ended = asyncio.ensure_future(elements.pull())
        await settle()
        elements.cancel()
        assert await ended is None


async def test_a_stream_that_is_stopped_says_so_to_those_who_pull() -> None:
    async def talk() -> None:
        async with iterate(INPUT).concat(never()).to(queue_sink(20)).start() as running:
            elements = running.value(SinkQueue)
            assert await elements.pull() == 0
            waiting = asyncio.ensure_future(emptied(elements))
            await settle()
            await running.cancel()
            with pytest.raises(StreamStopped):
                await waiting
            with pytest.raises(StreamStopped):
                await elements.pull()

    with pytest.raises(asyncio.CancelledError):
        await talk()


async def test_a_queue_wants_rows() -> None:
    window = Witness()
    source = SourceProbe([pa.record_batch({"x": [1, 2]})], window=window)
    with pytest.raises(RowsNeeded, match="queue_sink"):
        async with source.as_source().to(queue_sink(4)).start() as running:
            await running.value(SinkQueue).pull()
    assert (window.refused, source.closes) == (1, 1)


async def test_pulls_that_are_cancelled_at_any_step_lose_and_double_nothing() -> None:
    for passes in range(6):
        window = Witness()
        source = SourceProbe([INPUT[:3], INPUT[3:]], window=window, passes=1)
        async with source.as_source().to(queue_sink(4)).start() as running:
            elements = running.value(SinkQueue)
            found: list[int] = []
            while True:
                done, element = await cut_off(elements.pull(), passes)
                if not done:
                    element = await elements.pull()
                if element is None:
                    break
                found.append(element)
            assert found == INPUT, f"cancelled after {passes} passes"
        window.check_all_settled()


@pytest.mark.parametrize("sink", [queue_sink(4), source_sink()], ids=repr)
async def test_a_run_that_is_cancelled_at_any_step_closes_everything_once(sink: Any) -> None:
    before = asyncio.all_tasks()
    for k in range(1, 40):
        source = SourceProbe([INPUT], passes=1)
        run = asyncio.ensure_future(source.as_source().to(sink).run())
        for _ in range(k):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.wait((run,))
        await asyncio.sleep(0)
        assert source.closes == 1
        assert asyncio.all_tasks() == before


# ---------------------------------------------------------------------------------------------------------- outlets


async def test_an_outlet_is_the_source_of_another_stream_with_its_tokens() -> None:
    window = Witness()
    source = SourceProbe([INPUT[:4], INPUT[4:]], window=window)
    found: list[int] = []
    async with source.as_source().map(lambda x: x * 2).to(source_sink()).start() as running:
        await settle()
        assert source.demands == [], "nothing is read before somebody asks"
        await running.value(Outlet).source().filter(lambda x: x % 4 == 0).to(foreach(found.append)).run()
        await running.right()
    assert found == [0, 4, 8, 12, 16]
    window.check_all_settled()
    assert (window.ledger().written, window.ledger().filtered) == (5, 5)
    assert source.closes == 1


async def test_an_outlet_is_used_once() -> None:
    async with iterate(INPUT).to(source_sink()).start() as running:
        taken = running.value(Outlet).source()
        assert await taken.to(to_list()).run() == INPUT
        with pytest.raises(RuntimeError, match="one run"):
            await taken.to(to_list()).run()


async def test_the_other_stream_reads_no_more_than_it_needs_and_its_end_is_the_end() -> None:
    source = SourceProbe([INPUT])
    async with source.as_source().to(source_sink()).start() as running:
        assert await running.value(Outlet).source().take(3).to(to_list()).run() == [0, 1, 2]
        await running.right()
    assert (source.given, source.closes) == (3, 1)
    waiting = SourceProbe([[1]], wait=True)
    async with waiting.as_source().to(source_sink()).start() as running:
        assert await running.value(Outlet).source().take_within(0.001).to(to_list()).run() == [1]
    assert waiting.closes == 1, "also while it waits for more"


async def test_a_failure_goes_on_into_the_other_stream_and_not_back() -> None:
    source = SourceProbe([[1, 2], OSError("lost")])
    found: list[int] = []

    async def talk() -> None:
        async with source.as_source().to(source_sink()).start() as running:
            with pytest.raises(OSError, match="lost"):
                await running.value(Outlet).source().to(foreach(found.append)).run()

    with pytest.raises(OSError, match="lost"):
        await talk()
    assert found == [1, 2]
    assert source.closes == 1

    def bad(_: int) -> None:
        raise KeyError("other")

    window = Witness()
    source = SourceProbe([[1, 2]], window=window)
    async with source.as_source().to(source_sink()).start() as running:
        with pytest.raises(KeyError):
            await running.value(Outlet).source().to(foreach(bad)).run()
        await running.right()
    assert (window.refused, window.progress) == (1, None)


async def test_a_stream_that_is_stopped_fails_the_one_that_reads_it() -> None:
    async def talk() -> None:
        async with iterate(INPUT).concat(never()).to(source_sink()).start() as running:
            second = asyncio.ensure_future(running.value(Outlet).source().to(ignore()).run())
            await settle(60)
            await running.cancel()
            with pytest.raises(StreamStopped):
                await second

    with pytest.raises(asyncio.CancelledError):
        await talk()


@pytest.mark.parametrize("often", [1, 3])
async def test_pulls_of_the_other_stream_that_are_cancelled_lose_and_double_nothing(often: int) -> None:
    for passes in range(8):
        window = Witness()
        source = SourceProbe([INPUT[:7], INPUT[7:]], window=window, passes=1)
        async with source.as_source().to(source_sink()).start() as running:
            found: list[int] = []
            async with pulled(running.value(Outlet).source()) as stage:
                pulls = 0
                while True:
                    pulls += 1
                    cut = pulls % (often + 1) > 0
                    demand = MANY[pulls % len(MANY)]
                    done, chunk = await cut_off(stage.pull(demand), passes) if cut else (True, await stage.pull(demand))
                    if not done:
                        continue
                    if chunk is None:
                        break
                    assert 1 <= len(chunk) <= demand
                    found += chunk.data
                    chunk.written()
            assert found == INPUT, f"cancelled after {passes} passes"
        window.check_all_settled()


async def test_columns_go_through_an_outlet_as_they_are() -> None:
    batch = pa.record_batch({"x": INPUT})
    async with SourceProbe([batch]).as_source().to(source_sink()).start() as running:
        rows = 0
        async with pulled(running.value(Outlet).source()) as stage:
            while (chunk := await stage.pull(4)) is not None:
                assert isinstance(chunk.data, pa.RecordBatch)
                rows += len(chunk)
        assert rows == 10


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="queue_sink needs a size"):
        queue_sink(0)
