"""Sources made of elements: one after the other, side by side, or only the newest; and what answers for the record."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.graph import Flow, flow
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import empty, failed, iterate, single, tick
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SinkProbe, SourceProbe, pulled

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Source

ALL = ["concat", "merge", "switch"]


def flat(source: Source[Any], how: str, function: Callable[[Any], Source[Any]]) -> Source[Any]:
    if how == "concat":
        return source.flat_map_concat(function)
    return source.flat_map_merge(2, function) if how == "merge" else source.switch_map(function)


async def settle(passes: int = 30) -> None:
    for _ in range(passes):
        await asyncio.sleep(0)


# ----------------------------------------------------------------------------------------------------------- in order


async def test_concat_makes_a_source_when_those_before_have_ended() -> None:
    probes = [SourceProbe([[1], [2]]), SourceProbe([[3]])]
    made: list[int] = []

    def make(i: int) -> Source[int]:
        made.append(i)
        return probes[i].as_source()

    async with pulled(iterate([0, 1]).flat_map_concat(make)) as stage:
        chunk = await stage.pull(10)
        assert chunk is not None
        assert (made, chunk.data) == ([0], [1])
        assert await drain(stage, 10) == [2, 3]
    assert [probe.closes for probe in probes] == [1, 1]


async def test_what_is_no_source_is_an_error_of_the_function() -> None:
    bad: Any = lambda x: [x]  # noqa: E731
    for how in ALL:
        with pytest.raises(TypeError, match="has to give a source, and gave") as caught:
            await flat(iterate([1]), how, bad).to(ignore()).run()
        assert "on the element 1" in caught.value.__notes__[0]
        with pytest.raises(TypeError, match="has to give a source"):
            await flat(iterate([1]), how, lambda _: flow().map(str)).to(ignore()).run()


def test_a_breadth_is_one_or_more() -> None:
    with pytest.raises(ValueError, match="breadth of 1 or more"):
        iterate([1]).flat_map_merge(0, single)


# -------------------------------------------------------------------------------------------------------- supervision


@pytest.mark.parametrize("how", ALL)
async def test_a_function_that_fails_is_supervised(how: str) -> None:
    tries: list[int] = []

    def make(x: int) -> Source[int]:
        tries.append(x)
        if x == 2 and tries.count(2) < 3:
            raise OSError("away")
        return iterate([x, x]) if x == 3 or how != "switch" else empty()

    whole = [1, 1, 2, 2, 3, 3] if how != "switch" else [3, 3]
    with pytest.raises(OSError, match="away"):
        await flat(iterate([1, 2, 3]), how, make).to(ignore()).run()
    tries.clear()
    found = await flat(iterate([1, 2, 3]), how, make).to(to_list()).run(supervisor=Retry(5))
    assert sorted(found) == whole
    tries.clear()
    window = Witness()
    source = SourceProbe([[1, 2, 3]], window=window).as_source()
    found = await flat(source, how, make).to(to_list()).run(supervisor=Resume())
    assert sorted(found) == [x for x in whole if x != 2]
    assert window.ledger().skipped == 1
    window.check_all_settled()


@pytest.mark.parametrize("how", ALL)
async def test_an_inner_source_that_fails_fails_the_stream_and_its_record_is_refused(how: str) -> None:
    window = Witness()
    source = SourceProbe([[1], [2]], window=window).as_source()
    inner = SourceProbe([[10], OSError("away")])
    found: list[int] = []
    with pytest.raises(OSError, match="away"):
        await flat(source, how, lambda x: empty() if x == 1 else inner.as_source()).to(foreach(found.append)).run()
    assert found == [10]
    assert window.refused == 1
    assert window.progress is not None
    assert window.progress.count == 1
    assert inner.closes == 1


@pytest.mark.parametrize("how", ALL)
async def test_a_side_sink_of_an_inner_source_that_fails_fails_the_stream(how: str) -> None:
    """The inner source would wait for ever: its other branch never asks again."""

    def bad(_: int) -> None:
        raise OSError("away")

    probe = SourceProbe([[1]], wait=True)
    with pytest.raises(OSError, match="away"):
        await flat(single(0), how, lambda _: probe.as_source().also_to(foreach(bad))).to(ignore()).run()
    assert probe.closes == 1


async def test_a_source_ends_when_its_side_sinks_have() -> None:
    stored: list[int] = []
    gate = asyncio.Event()

    async def store(x: int) -> None:
        await gate.wait()
        stored.append(x)

    def make(x: int) -> Source[int]:
        return single(x).also_to(flow(int).map_async(1, store).to(ignore()))

    sink = SinkProbe()
    run = asyncio.ensure_future(iterate([1, 2]).flat_map_concat(make).to(sink.as_sink()).run())
    assert await sink.pull(5) == [1]
    second = asyncio.ensure_future(sink.pull(5))
    await settle()
    assert not second.done()
    gate.set()
    assert await second == [2]
    assert await sink.pull(5) is None
    await run
    assert stored == [1, 2]


@pytest.mark.parametrize("how", ALL)
async def test_a_source_that_cannot_be_attached_fails_the_stream(how: str) -> None:
    window = AckWindow(10)
    probe = SourceProbe([[1]])
    window.serve(lambda: None)
    with pytest.raises(Exception, match="another run"):
        await flat(single(0), how, lambda _: probe.as_source().source_ack(window)).to(ignore()).run()


# -------------------------------------------------------------------------------------------------------------- tokens


async def test_a_record_is_confirmed_when_all_that_came_out_of_it_is() -> None:
    window = Witness()
    source = SourceProbe([[3, 0]], window=window).as_source()
    async with pulled(source.flat_map_concat(lambda x: iterate(range(x)))) as stage:
        chunks = [await stage.pull(1) for _ in range(3)]
        for chunk in chunks:
            assert window.progress is None
            assert chunk is not None
            chunk.written()
        assert await stage.pull(1) is None
        assert window.progress is not None
    window.check_all_settled()


@pytest.mark.parametrize("how", ALL)
async def test_elements_with_records_of_their_own_answer_for_both(how: str) -> None:
    outer, inner = Witness(), Witness()
    source = SourceProbe([[1]], window=outer).as_source()
    probe = SourceProbe([[7, 8], [9]], window=inner)
    async with pulled(flat(source, how, lambda _: probe.as_source())) as stage:
        assert await drain(stage, 2) == [7, 8, 9]
    outer.check_all_settled()
    inner.check_all_settled()
    assert inner.ledger().written == 3
    assert outer.ledger().merged == 1


async def test_channels_of_the_record_work_inside_and_below() -> None:
    window = Witness(channels=2)
    source = SourceProbe([[1, 2]], window=window).as_source()
    inner: Flow[Any, Any] = source.flat_map_concat(lambda x: iterate([x, x]))
    async with pulled(inner.switch_channel(1)) as stage:
        assert await drain(stage, 3) == [1, 1, 2, 2]
    window.check_all_settled()


# ------------------------------------------------------------------------------------------------------- side by side


async def test_merge_runs_as_many_as_it_may_and_takes_turns() -> None:
    probes = [SourceProbe([[i]] * 3) for i in range(4)]
    outer = SourceProbe([[0, 1, 2, 3]])
    async with pulled(outer.as_source().flat_map_merge(3, lambda i: probes[i].as_source())) as stage:
        chunk = await stage.pull(1)
        assert chunk is not None
        await settle()
        assert [bool(probe.demands) for probe in probes] == [True, True, True, False]
        rest = await drain(stage, 1)
    first = [*chunk.data, *rest]
    assert first[:6] == [0, 1, 2, 0, 1, 2]
    assert sorted(first) == sorted([0, 1, 2, 3] * 3)


async def test_merge_gives_what_several_have_as_one_chunk() -> None:
    window = Witness()
    source = SourceProbe([[0, 1, 2, 3]], window=window).as_source()
    async with pulled(source.flat_map_merge(4, lambda x: iterate([x] * 20))) as stage:
        sizes: list[int] = []
        while (chunk := await stage.pull(1000)) is not None:
            assert len(chunk.tokens) == 1, "all of it answers for the same record"
            sizes.append(len(chunk))
            chunk.written()
    assert sum(sizes) == 80
    assert max(sizes) > 20
    window.check_all_settled()


async def test_sources_that_always_have_something_hold_up_neither_each_other_nor_the_next() -> None:
    outer = SourceProbe([[0], [1], [2], [3]])
    async with pulled(outer.as_source().flat_map_merge(3, lambda i: iterate(itertools.repeat(i)))) as stage:
        seen: list[int] = []
        for _ in range(300):
            chunk = await stage.pull(1)
            assert chunk is not None
            seen += chunk.data
    assert set(seen) == {0, 1, 2}
    assert min(seen.count(i) for i in range(3)) > 50


async def test_an_error_above_comes_when_the_sources_that_run_have_ended() -> None:
    outer = SourceProbe([[1], OSError("away")])
    inner = SourceProbe([[1]], wait=True)
    sink = SinkProbe()
    run = asyncio.ensure_future(
        outer.as_source().flat_map_merge(2, lambda _: inner.as_source()).to(sink.as_sink()).run()
    )
    assert await sink.pull(5) == [1]
    more = asyncio.ensure_future(sink.pull(5))
    await settle()
    inner.give([2])
    assert await more == [2]
    inner.give(END)
    with pytest.raises(OSError, match="away"):
        await sink.pull(5)
    with pytest.raises(OSError, match="away"):
        await run


async def test_a_merge_that_is_left_closes_everything_in_it() -> None:
    probes = [SourceProbe([[i]], wait=True) for i in range(3)]
    outer = SourceProbe([[0, 1, 2]], wait=True)
    found = await outer.as_source().flat_map_merge(5, lambda i: probes[i].as_source()).take(3).to(to_list()).run()
    assert sorted(found) == [0, 1, 2]
    assert [probe.closes for probe in (outer, *probes)] == [1, 1, 1, 1]


# ---------------------------------------------------------------------------------------------------- only the newest


async def test_switch_closes_the_older_source_and_its_record_is_done() -> None:
    window = Witness()
    outer = SourceProbe(wait=True, window=window)
    probes = [SourceProbe([["a"], ["b"]], wait=True), SourceProbe([["c"]], wait=True)]
    sink = SinkProbe()
    run = asyncio.ensure_future(outer.as_source().switch_map(lambda i: probes[i].as_source()).to(sink.as_sink()).run())
    outer.give([0])
    assert await sink.pull(1) == ["a"]
    assert window.progress is None
    assert await sink.pull(1) == ["b"]
    third = asyncio.ensure_future(sink.pull(1))
    await settle()
    outer.give([1])
    assert await third == ["c"]
    assert [probe.closes for probe in probes] == [1, 0]
    assert window.progress is not None
    outer.give(END)
    probes[1].give(END)
    assert await sink.pull(1) is None
    await run
    window.check_all_settled()


async def test_switch_prefers_the_newer_source_to_what_the_older_has() -> None:
    outer, inner = Witness(), Witness()
    source = SourceProbe([[0], [1]], window=outer)
    older = SourceProbe([["old"]], window=inner)
    async with pulled(source.as_source().switch_map(lambda i: older.as_source() if i == 0 else single("new"))) as stage:
        assert await drain(stage, 1) == ["new"]
    outer.check_all_settled()
    assert inner.refused == 0
    assert outer.ledger().filtered == 1


async def test_switch_over_ticks_in_virtual_time() -> None:
    clock = FakeClock()
    every = tick(10.0, "x").zip(iterate(range(3))).map(lambda pair: pair[1])
    graph = every.switch_map(lambda i: tick(4.0, i)).take(8).to(to_list())
    assert await clock.run(graph.run(Runtime(clock))) == [0, 0, 0, 1, 1, 1, 2, 2]


async def test_an_older_source_that_does_not_close_fails_the_stream() -> None:
    older = SourceProbe(wait=True)

    async def close() -> None:
        raise OSError("will not close")

    older.on_close = close  # type: ignore[method-assign]
    outer = SourceProbe([[0]], wait=True)
    sink = SinkProbe()
    run = asyncio.ensure_future(
        outer.as_source().switch_map(lambda i: older.as_source() if i == 0 else single(i)).to(sink.as_sink()).run()
    )
    pull = asyncio.ensure_future(sink.pull(1))
    await settle()
    outer.give([1])
    with pytest.raises(OSError, match="will not close"):
        await pull
    with pytest.raises(OSError, match="will not close"):
        await run


async def test_switch_gives_the_error_of_its_input_after_the_newest_source() -> None:
    source = SourceProbe([[1], OSError("away")])
    found: list[int] = []
    with pytest.raises(OSError, match="away"):
        await source.as_source().switch_map(lambda x: iterate([x, x])).to(foreach(found.append)).run()
    assert found == [1, 1]


@pytest.mark.parametrize("how", ALL)
async def test_values_that_inner_sources_publish_are_not_kept(how: str) -> None:
    graph = flat(iterate(range(50)), how, lambda x: single(x).monitor()).to(ignore())
    async with graph.start() as running:
        await running.right()
        assert running.values == ()


@pytest.mark.parametrize("how", ["concat", "merge"])
async def test_failed_sources_below_a_failing_side_leave_no_task(how: str) -> None:
    before = asyncio.all_tasks()
    with pytest.raises(OSError, match="away"):
        await (
            flat(iterate([1, 2]), how, lambda _: single(1).also_to(ignore()).concat(failed(OSError("away"))))
            .to(ignore())
            .run()
        )
    assert asyncio.all_tasks() == before
