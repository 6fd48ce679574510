"""Reading ahead: as far as there is room, what a full buffer does, boundaries with a pace of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.graph import Flow, flow
from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.engine.run import Materializer, Runtime
from teleporter_lab.engine.stages.buffering import BufferOverflow
from teleporter_lab.engine.stages.sinks import ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SinkProbe, SourceProbe, pulled

DROPS = ["drop_head", "drop_tail", "drop_buffer", "drop_new"]


async def passes(n: int = 20) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def started(stage: Any, source: SourceProbe) -> list[Any]:
    """Gets the first element, so that from now on the stage reads ahead."""
    source.give([0])
    chunk = await stage.pull(1)
    chunk.written()
    await passes()
    return chunk.data


async def test_nothing_is_read_before_the_first_pull() -> None:
    source = SourceProbe([[1]])
    tasks = len(asyncio.all_tasks())
    async with pulled(source.as_source().buffer(4).async_boundary().detach().conflate(max)):
        await passes()
        assert len(asyncio.all_tasks()) == tasks
    assert source.demands == []


async def test_a_buffer_fills_up_and_asks_again_when_half_of_it_is_free() -> None:
    source = SourceProbe([list(range(100))])
    async with pulled(source.as_source().buffer(8)) as stage:
        assert (await stage.pull(1)).data == [0]  # type: ignore[union-attr]
        await passes()
        assert source.given == 8
        for count in range(4):
            await stage.pull(1)
            await passes()
            assert source.given == (8 if count < 2 else 12)


async def test_small_pieces_fill_all_of_it() -> None:
    source = SourceProbe([[x] for x in range(100)], passes=2)
    async with pulled(source.as_source().buffer(8)) as stage:
        await stage.pull(1)
        await passes(60)
        assert source.given == 9, "one went out, eight are held"


async def test_what_is_held_goes_out_together_then_the_error_and_it_stays() -> None:
    source = SourceProbe([[1], [2], [3], OSError("lost")])
    async with pulled(source.as_source().buffer(8)) as stage:
        found = (await stage.pull(5)).data  # type: ignore[union-attr]
        await passes()
        while len(found) < 3:
            found += (await stage.pull(5)).data  # type: ignore[union-attr]
        assert found == [1, 2, 3]
        for _ in range(2):
            with pytest.raises(OSError, match="lost"):
                await stage.pull(5)


# ---------------------------------------------------------------------------------------------------------- overflow


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize(
    ("overflow", "kept"),
    [("drop_head", [3, 4, 5, 6]), ("drop_tail", [1, 2, 3, 6]), ("drop_buffer", [5, 6]), ("drop_new", [1, 2, 3, 4])],
)
async def test_what_a_full_buffer_leaves_out(overflow: Any, kept: list[int], size: int) -> None:
    """The same for chunks of any size: as if elements came one by one."""
    window = Witness()
    source = SourceProbe(window=window, wait=True)
    async with pulled(source.as_source().buffer(4, overflow)) as stage:
        assert await started(stage, source) == [0]
        numbers = [1, 2, 3, 4, 5, 6]
        source.give(*[numbers[i : i + size] for i in range(0, 6, size)], END)
        await passes()
        assert await drain(stage, 9) == kept
    assert window.ledger().filtered == 6 - len(kept)
    window.check_all_settled()


@pytest.mark.parametrize("overflow", DROPS)
async def test_a_buffer_of_one_keeps_one(overflow: Any) -> None:
    source = SourceProbe(wait=True)
    async with pulled(source.as_source().buffer(1, overflow)) as stage:
        await started(stage, source)
        source.give([1, 2, 3], END)
        await passes()
        assert await drain(stage, 9) == [1 if overflow == "drop_new" else 3]


@pytest.mark.parametrize("overflow", [*DROPS, "fail"])
async def test_nothing_is_left_out_that_a_pull_waits_for(overflow: Any) -> None:
    source = SourceProbe([[x] for x in range(50)])
    async with pulled(source.as_source().buffer(1, overflow)) as stage:
        found: list[int] = []
        while (chunk := await stage.pull(9)) is not None:
            found += chunk.data
        assert found == list(range(50))


async def test_a_buffer_that_may_not_drop_fails_after_what_it_holds() -> None:
    window = Witness()
    source = SourceProbe(window=window, wait=True)
    async with pulled(source.as_source().buffer(4, "fail")) as stage:
        await started(stage, source)
        source.give([1, 2, 3], [4, 5], [6])
        await passes()
        found: list[int] = []
        while len(found) < 4:
            chunk = await stage.pull(9)
            assert chunk is not None
            found += chunk.data
            chunk.written()
        assert found == [1, 2, 3, 4]
        for _ in range(2):
            with pytest.raises(BufferOverflow, match="holds 4 elements"):
                await stage.pull(9)
        assert source.given == 6, "it reads no more"
    assert window.refused == 1


# ---------------------------------------------------------------------------------------------- detach, async_boundary


async def test_detach_reads_one_demand_ahead() -> None:
    source = SourceProbe([list(range(100))])
    async with pulled(source.as_source().detach()) as stage:
        assert (await stage.pull(3)).data == [0]  # type: ignore[union-attr]
        await passes()
        assert source.demands == [3]
        assert (await stage.pull(3)).data == [1, 2]  # type: ignore[union-attr]
        await passes()
        assert source.demands == [3, 3]


async def test_both_sides_of_a_boundary_are_paced_apart_and_all_above_it_together() -> None:
    seen: dict[str, Materializer] = {}

    def note(name: str) -> Flow[int, int]:
        def attach(m: Materializer, upstream: Any) -> Any:
            seen[name] = m
            return upstream

        return flow(int).then(name, attach)

    graph = (
        iterate([1, 2, 3]).via(note("a")).via(note("b")).async_boundary().via(note("c")).via(note("d"))
        .async_boundary(2).via(note("e")).with_attributes(supervisor=Resume()).to(to_list())
    )  # fmt: skip
    for _ in range(2):
        assert await graph.run() == [1, 2, 3]
        busy = {name: m.busy for name, m in seen.items()}
        assert busy["a"] is busy["b"]
        assert busy["c"] is busy["d"]
        assert len({id(each) for each in busy.values()}) == 3
        assert all(isinstance(m.supervisor, Resume) for m in seen.values())


async def test_a_switch_put_into_a_step_that_encloses_others_leaves_the_boundary_below_it() -> None:
    seen: list[Materializer] = []

    def attach(m: Materializer, upstream: Any) -> Any:
        seen.append(m)
        return upstream

    above = iterate([1, 2]).then("above", attach).dead_letter(ignore())
    graph = above.async_boundary().then("below", attach).to(to_list()).stopped_by(KillSwitch())
    assert await graph.run() == [1, 2]
    assert seen[0].busy is not seen[1].busy


async def test_what_was_read_drains_through_a_boundary_when_the_graph_is_stopped() -> None:
    source, sink, switch = SourceProbe([[1], [2], [3]], wait=True), SinkProbe(), KillSwitch()
    graph = source.as_source().map(str).with_attributes(name="text").async_boundary(4).to(sink.as_sink())
    assert repr(graph) == "probe → text → async_boundary(4) → probe"
    run = asyncio.ensure_future(graph.stopped_by(switch).run())
    assert await sink.pull(1) == ["1"]
    await passes()
    switch.shutdown()
    assert await sink.pull(1) == ["2"]
    assert await sink.pull(1) == ["3"]
    assert await sink.pull(1) is None
    await run
    assert source.closes == 1


async def test_what_is_above_a_boundary_works_while_what_is_below_waits() -> None:
    clock = FakeClock()
    done: list[int] = []

    def note(x: int) -> int:
        done.append(x)
        return x

    sink = SinkProbe()
    async with Runtime(clock) as runtime:
        run = asyncio.ensure_future(iterate(range(100)).map(note).async_boundary(16).to(sink.as_sink()).run(runtime))
        assert await sink.pull(1) == [0]
        await clock.settle()
        assert done == list(range(16))
        await sink.leave()
        await run


async def test_columns_pass_as_they_are_and_rows_of_them_are_left_out() -> None:
    batch = pa.record_batch({"x": [1, 2, 3, 4, 5, 6]})
    other = pa.record_batch({"y": ["a", "b"]})
    source = SourceProbe([batch, other])
    found: list[Any] = []
    async with pulled(source.as_source().buffer(4).async_boundary(100).detach()) as stage:
        while (chunk := await stage.pull(100)) is not None:
            found += chunk.data.to_pylist()  # type: ignore[attr-defined]
    assert found == [{"x": x} for x in range(1, 7)] + [{"y": "a"}, {"y": "b"}]
    for overflow, kept in {"drop_head": [4, 5, 6], "drop_tail": [1, 2, 6], "drop_new": [1, 2, 3]}.items():
        source = SourceProbe(wait=True)
        async with pulled(source.as_source().buffer(3, overflow)) as stage:  # type: ignore[arg-type]
            await started(stage, source)
            source.give(batch, END)
            await passes()
            rows: list[Any] = []
            while (chunk := await stage.pull(9)) is not None:
                rows += chunk.data.to_pydict()["x"]  # type: ignore[attr-defined]
            assert rows == kept


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: f.buffer(0), "size of 1 or more"),
        (lambda f: f.buffer(1, "explode"), "wait, drop_head, drop_tail, drop_buffer, drop_new, fail, not explode"),
        (lambda f: f.async_boundary(0), "size of 1 or more"),
        (lambda f: f.batch(0, str, max), "max of 1 or more"),
        (lambda f: f.batch_weighted(0, len, str, max), "max above 0"),
        (lambda f: f.aggregate_with_boundary(list, max, len, (bool, 0.0)), "seconds > 0"),
    ],
)
def test_what_cannot_be_is_refused_at_once(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(iterate([1]))
