"""Sub-streams: by key and at marks, what each of them gets for itself, and that none holds up the others."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate, tick
from teleporter_lab.engine.supervision import Resume
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SinkProbe, SourceProbe, pulled

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Source


async def settle(passes: int = 60) -> None:
    for _ in range(passes):
        await asyncio.sleep(0)


# ---------------------------------------------------------------------------------------------------------- blueprints


def test_open_substreams_are_refused_wherever_a_stream_would_run() -> None:
    open_one = iterate([1]).group_by(3, str).map(str)
    opened = r"close the sub-streams of group_by\(str\) with merge_substreams\(\)"
    for use in (
        lambda: open_one.to(ignore()),
        lambda: flow(int).group_by(3, str).to(ignore()),
        lambda: open_one.broadcast(ignore(), ignore()),
        lambda: open_one.attach(Any),  # type: ignore[arg-type]
        lambda: open_one.group_by(3, str).merge_substreams().to(ignore()),
    ):
        with pytest.raises(ValueError, match=opened):
            use()


def test_nothing_is_closed_that_is_not_open() -> None:
    for use in (
        lambda: iterate([1]).map(str).merge_substreams(),
        lambda: iterate([1]).group_by(2, str).merge_substreams().concat_substreams(),
    ):
        with pytest.raises(ValueError, match="none is open"):
            use()


def test_numbers_are_checked_at_once() -> None:
    with pytest.raises(ValueError, match="max_substreams of 1 or more"):
        iterate([1]).group_by(0, str)
    with pytest.raises(ValueError, match="parallelism of 1 or more"):
        iterate([1]).group_by(1, str).merge_substreams(0)


async def test_a_blueprint_with_substreams_is_read_shared_and_run_again() -> None:
    parity = flow(int).group_by(2, lambda x: x % 2).scan(0, lambda a, x: a + x)
    graph = iterate(range(6)).via(parity.merge_substreams()).to(to_list())
    assert repr(graph) == "iterate → group_by → scan → merge_substreams → to_list"
    for _ in range(2):
        assert sorted(await graph.run()) == [0, 1, 2, 4, 6, 9]
    last = iterate(range(6)).via(parity.take(1)).merge_substreams().with_attributes(name="sums").to(to_list())
    assert sorted(await last.run()) == [0, 1]
    assert "sums" in repr(last)


async def test_attributes_reach_the_opening_operator_and_what_is_inside() -> None:
    def bad(x: int) -> int:
        if x == 2:
            raise OSError("key")
        return x % 2

    def worse(x: int) -> int:
        if x == 3:
            raise OSError("inside")
        return x

    source = iterate(range(6)).group_by(2, bad).map(worse)
    left_out: list[tuple[str, int]] = []
    told = source.on_error_continue(lambda error, x: left_out.append((str(error), x)))
    assert sorted(await told.merge_substreams().to(to_list()).run()) == [0, 1, 4, 5]
    assert left_out == [("key", 2), ("inside", 3)]
    whole = source.merge_substreams().with_attributes(supervisor=Resume())
    assert sorted(await whole.to(to_list()).run()) == [0, 1, 4, 5]


# ------------------------------------------------------------------------------------------------------- side by side


async def test_a_substream_that_waits_does_not_hold_up_the_others() -> None:
    gate = asyncio.Event()

    async def slow(x: int) -> int:
        if x == 0:
            await gate.wait()
        return x

    sink = SinkProbe()
    graph = iterate(range(9)).group_by(3, lambda x: x % 3).map_async(1, slow).merge_substreams().to(sink.as_sink())
    run = asyncio.ensure_future(graph.run())
    found: list[int] = []
    while len(found) < 6:
        found += await sink.pull(100) or []
    assert sorted(found) == [1, 2, 4, 5, 7, 8]
    gate.set()
    while (more := await sink.pull(100)) is not None:
        found += more
    await run
    assert sorted(found) == list(range(9))


async def test_substreams_that_always_have_something_keep_no_key_out() -> None:
    grouped = iterate(range(5)).group_by(5, lambda x: x).flat_map_concat(lambda x: iterate(itertools.repeat(x)))
    async with pulled(grouped.merge_substreams()) as stage:
        seen: set[int] = set()
        for _ in range(500):
            chunk = await stage.pull(1)
            assert chunk is not None
            seen.update(chunk.data)
    assert seen == set(range(5))


async def test_thousands_of_keys() -> None:
    window = Witness(size=30_000)
    source = SourceProbe([list(range(i, i + 1000)) for i in range(0, 12_000, 1000)], window=window).as_source()
    async with pulled(source.group_by(4000, lambda x: x % 4000).map(str).merge_substreams()) as stage:
        assert sorted(await drain(stage, 5000), key=int) == [str(x) for x in range(12_000)]
        assert len(asyncio.all_tasks()) < 10
    window.check_all_settled()


async def test_at_most_one_task_a_key() -> None:
    source = SourceProbe([list(range(500))], wait=True)
    sink = SinkProbe()
    run = asyncio.ensure_future(
        source.as_source().group_by(500, lambda x: x).map(str).merge_substreams().to(sink.as_sink()).run()
    )
    found: list[str] = []
    while len(found) < 500:
        found += await sink.pull(1000) or []
    more = asyncio.ensure_future(sink.pull(1000))
    await settle()
    assert len(asyncio.all_tasks()) < 510
    run.cancel()
    await asyncio.wait((run, more))
    assert source.closes == 1


async def test_time_is_a_matter_of_each_substream() -> None:
    clock = FakeClock()
    elements = tick(1.0, None).zip(iterate([0, 1, 0, 0, 1, 0])).map(lambda pair: pair[1])
    grouped = elements.group_by(2, lambda x: x).grouped_within(10, 2.5).merge_substreams()
    found = await clock.run(grouped.to(to_list()).run(Runtime(clock)))
    assert sorted(found) == [[0, 0], [0, 0], [1], [1]]


async def test_substreams_may_give_columns_and_rows() -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")

    def batches(x: int) -> Source[Any]:
        return SourceProbe([pyarrow.RecordBatch.from_pylist([{"x": x}] * 3)] if x else [[x]]).as_source()

    grouped = iterate([0, 1, 2]).group_by(3, lambda x: x).flat_map_concat(batches).merge_substreams()
    async with pulled(grouped) as stage:
        rows = 0
        while (chunk := await stage.pull(2)) is not None:
            assert len(chunk) <= 2
            rows += len(chunk)
    assert rows == 7


# -------------------------------------------------------------------------------------------------- errors and closing


@pytest.mark.parametrize("how", ["map", "side"])
async def test_a_substream_that_fails_fails_the_stream(how: str) -> None:
    def bad(x: int) -> int:
        if x == 2:
            raise OSError("away")
        return x

    source = SourceProbe([[0, 1, 2]], wait=True)
    opened = source.as_source().group_by(3, lambda x: x)
    inner = opened.map(bad) if how == "map" else opened.also_to(foreach(bad))
    before = asyncio.all_tasks()
    with pytest.raises(OSError, match="away"):
        await inner.merge_substreams().to(ignore()).run()
    assert asyncio.all_tasks() == before
    assert source.closes == 1


async def test_an_error_above_comes_to_every_substream_and_out_once() -> None:
    source = SourceProbe([[0, 1, 2, 3], OSError("away")])
    seen: list[str] = []
    inner = source.as_source().group_by(4, lambda x: x % 4).grouped(5)
    graph = inner.map_error(lambda e: seen.append(str(e)) or OSError("mapped")).merge_substreams()
    found: list[list[int]] = []
    with pytest.raises(OSError, match="mapped"):
        await graph.to(foreach(found.append)).run()
    assert sorted(found) == [[0], [1], [2], [3]]
    assert seen == ["away"] * 4


async def test_an_error_above_is_not_recovered_by_the_substreams() -> None:
    source = SourceProbe([[0, 1], OSError("away")])
    found: list[int] = []
    graph = source.as_source().group_by(2, lambda x: x).recover(lambda _: -1).merge_substreams()
    with pytest.raises(OSError, match="away"):
        await graph.to(foreach(found.append)).run()
    assert sorted(found) == [-1, -1, 0, 1]


async def test_side_sinks_are_waited_for_at_the_end_and_stopped_when_nobody_asks() -> None:
    gate = asyncio.Event()
    stored: list[int] = []

    async def store(x: int) -> None:
        await gate.wait()
        stored.append(x)

    side = flow(int).map_async(1, store).to(ignore())
    window = Witness()
    source = SourceProbe([[0, 1, 2]], window=window).as_source()
    run = asyncio.ensure_future(source.group_by(3, lambda x: x).also_to(side).merge_substreams().to(to_list()).run())
    await settle()
    assert not run.done()
    gate.set()
    assert sorted(await run) == sorted(stored) == [0, 1, 2]
    window.check_all_settled()
    gate.clear()
    probe = SourceProbe([[0, 1, 2]], wait=True)
    left = probe.as_source().group_by(3, lambda x: x).also_to(side).merge_substreams().take(1).to(to_list())
    assert len(await left.run()) == 1
    assert probe.closes == 1


async def test_what_comes_while_it_is_closed_is_not_left_out() -> None:
    """Sub-streams are closed before what is above them; records that come meanwhile must not be confirmed."""
    window = Witness()
    source = SourceProbe([[0], [0]], window=window, wait=True)
    closing = asyncio.Event()

    class Slow(SourceProbe):
        async def on_close(self) -> None:
            closing.set()
            await settle()

    grouped = source.as_source().group_by(2, lambda x: x).merge(Slow(wait=True).as_source()).merge_substreams()
    run = asyncio.ensure_future(grouped.to(ignore()).run())
    await settle()
    assert window.progress is not None
    run.cancel()
    await closing.wait()
    source.give([0], [0])
    await asyncio.wait((run,))
    assert window.progress.position == 2
