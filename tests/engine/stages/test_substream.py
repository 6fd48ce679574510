"""Elements shared out to sub-streams: which key or mark opens one, what is left out, and what is bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.stages.substream import WINDOW, TooManySubstreams
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SinkProbe, SourceProbe, pulled


async def settle(passes: int = 60) -> None:
    for _ in range(passes):
        await asyncio.sleep(0)


# -------------------------------------------------------------------------------------------------------------- by key


async def test_each_key_has_a_flow_of_its_own_and_keeps_its_order() -> None:
    each = iterate(range(30)).group_by(3, lambda x: x % 3).scan([], lambda seen, x: [*seen, x])
    found = await each.merge_substreams().to(to_list()).run()
    for key in range(3):
        lists = [seen for seen in found if seen[0] == key]
        assert lists[-1] == list(range(key, 30, 3))
        assert [len(seen) for seen in lists] == list(range(1, 11))


async def test_too_many_keys_fail_the_stream_after_everything_before() -> None:
    window = Witness()
    source = SourceProbe([[0, 1, 10, 11], [20, 2, 21, 1]], window=window).as_source()
    found: list[int] = []
    graph = source.group_by(2, lambda x: x % 10).merge_substreams().to(foreach(found.append))
    with pytest.raises(TooManySubstreams, match="more than 2 sub-streams: 2 would be one more") as caught:
        await graph.run()
    assert (caught.value.number, caught.value.key) == (2, 2)
    assert sorted(found) == [0, 1, 10, 11, 20]
    assert window.refused == 1
    assert window.progress is not None
    assert window.progress.position == 4


async def test_keys_whose_substreams_have_ended_count_and_are_left_out() -> None:
    window = Witness()
    source = SourceProbe([[i % 2] for i in range(8)], window=window).as_source()
    async with pulled(source.group_by(2, lambda x: x).take(1).merge_substreams()) as stage:
        assert sorted(await drain(stage, 3)) == [0, 1]
    assert window.ledger().filtered == 6
    window.check_all_settled()
    with pytest.raises(TooManySubstreams):
        await iterate([0, 1, 2]).group_by(2, lambda x: x).take(1).merge_substreams().to(ignore()).run()


@pytest.mark.parametrize("size", [1, 3, 12])
async def test_a_key_may_begin_again(size: int) -> None:
    window = Witness()
    elements = [x % 2 for x in range(12)]
    source = SourceProbe([elements[i : i + size] for i in range(0, 12, size)], window=window).as_source()
    grouped = source.group_by(2, lambda x: x, allow_closed_recreation=True).take(3).grouped(10).merge_substreams()
    async with pulled(grouped) as stage:
        assert sorted(await drain(stage, 4)) == [[0] * 3, [0] * 3, [1] * 3, [1] * 3]
    window.check_all_settled()


async def test_one_that_takes_nothing_is_not_begun_for_ever() -> None:
    graph = iterate(range(5)).group_by(2, lambda _: 0, allow_closed_recreation=True).take(0).merge_substreams()
    assert await graph.to(to_list()).run() == []


async def test_the_key_is_supervised() -> None:
    tries: list[int] = []

    def key(x: int) -> Any:
        tries.append(x)
        if x == 3 and tries.count(3) < 3:
            raise OSError("away")
        return [] if x == 5 else x % 2

    graph = iterate(range(8)).group_by(2, key).merge_substreams().to(to_list())
    with pytest.raises(OSError, match="away"):
        await graph.run()
    tries.clear()
    assert sorted(await graph.run(supervisor=Resume())) == [0, 1, 2, 4, 6, 7]
    with pytest.raises(TypeError, match="unhashable"):
        await graph.run(supervisor=Retry(3))


async def test_a_key_that_cannot_be_compared_fails_the_stream() -> None:
    class Key:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise OSError("compared")

    with pytest.raises(OSError, match="compared"):
        await iterate(range(8)).group_by(4, lambda _: Key()).merge_substreams().to(ignore()).run()


async def test_columns_are_refused() -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    batch = pyarrow.RecordBatch.from_pylist([{"x": i} for i in range(4)])
    with pytest.raises(RowsNeeded, match="group_by"):
        await SourceProbe([batch]).as_source().group_by(2, str).merge_substreams().to(ignore()).run()


async def test_what_waits_for_one_substream_is_bounded() -> None:
    source = SourceProbe([[0] * 100 for _ in range(50)], wait=True)
    gate = asyncio.Event()

    async def slow(x: int) -> int:
        await gate.wait()
        return x

    sink = SinkProbe()
    grouped = source.as_source().group_by(3, lambda x: x).with_attributes(chunk=1).map_async(1, slow)
    run = asyncio.ensure_future(grouped.merge_substreams().to(sink.as_sink()).run())
    pull = asyncio.ensure_future(sink.pull(1 << 30))
    await settle(200)
    assert WINDOW - 100 < source.given <= WINDOW + 100
    gate.set()
    assert await pull
    run.cancel()
    await asyncio.wait((run,))


async def test_nothing_is_read_for_nobody() -> None:
    source = SourceProbe([[i] for i in range(100)])
    async with pulled(source.as_source().group_by(100, lambda x: x).merge_substreams()) as stage:
        for wanted in (1, 2, 3):
            assert await stage.pull(1) is not None
            await settle()
            assert source.given == wanted


# ----------------------------------------------------------------------------------------------------------- at marks


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_cuts_are_where_the_marks_are_however_it_is_chunked(size: int) -> None:
    def script() -> SourceProbe:
        return SourceProbe([list(range(i, min(i + size, 7))) for i in range(0, 7, size)])

    when = script().as_source().split_when(lambda x: x in (0, 2, 3)).grouped(10).concat_substreams()
    assert await when.to(to_list()).run() == [[0, 1], [2], [3, 4, 5, 6]]
    after = script().as_source().split_after(lambda x: x in (0, 2, 6)).grouped(10).concat_substreams()
    assert await after.to(to_list()).run() == [[0], [1, 2], [3, 4, 5, 6]]


async def test_there_is_no_substream_without_an_element() -> None:
    assert await iterate(()).split_when(bool).grouped(2).concat_substreams().to(to_list()).run() == []
    assert await iterate(()).group_by(2, bool).grouped(2).merge_substreams().to(to_list()).run() == []


async def test_what_comes_after_an_early_end_is_left_out_up_to_the_next_mark() -> None:
    window = Witness()
    source = SourceProbe([list(range(5)), list(range(5, 10))], window=window).as_source()
    async with pulled(source.split_when(lambda x: x % 5 == 0).take(2).concat_substreams()) as stage:
        assert await drain(stage, 3) == [0, 1, 5, 6]
    assert window.ledger().filtered == 6
    window.check_all_settled()


async def test_the_error_of_the_input_is_that_of_the_last_substream_only() -> None:
    source = SourceProbe([[0, 1, 2, 3], OSError("away")])
    cut = source.as_source().split_when(lambda x: x % 2 == 0).grouped(5).recover(lambda _: []).concat_substreams()
    found: list[list[int]] = []
    with pytest.raises(OSError, match="away"):
        await cut.to(foreach(found.append)).run()
    assert found == [[0, 1], [2, 3], []]


async def test_so_many_run_at_once() -> None:
    running: set[int] = set()
    most = 0

    async def work(x: int) -> int:
        nonlocal most
        running.add(x)
        most = max(most, len(running))
        await settle()
        running.discard(x)
        return x

    graph = iterate(range(20)).split_when(lambda _: True).map_async(1, work).merge_substreams(3).to(to_list())
    assert sorted(await graph.run()) == list(range(20))
    assert most == 3


async def test_marks_are_supervised() -> None:
    def bad(x: int) -> bool:
        if x == 3:
            raise OSError("away")
        return x % 2 == 0

    graph = iterate(range(6)).split_when(bad).grouped(9).concat_substreams().to(to_list())
    with pytest.raises(OSError, match="away"):
        await graph.run()
    assert await graph.run(supervisor=Resume()) == [[0, 1], [2], [4, 5]]


async def test_endless_substreams_leave_nothing_behind() -> None:
    """What a sub-stream needed is let go with it: side sinks, tasks, published values."""
    graph = iterate(range(300)).split_when(lambda _: True).monitor().also_to(ignore()).merge_substreams().to(ignore())
    async with graph.start() as running:
        await running.right()
        assert running.values == ()
