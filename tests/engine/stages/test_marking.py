"""Sinks that are exactly once: every record is there once, whatever was lost and wherever the run was killed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.marking import write_exactly, write_exactly_blocking
from teleporter_lab.engine.stages.reading import read_from
from teleporter_lab.engine.stages.sinks import foreach, foreach_async
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Action, Decision, Failure
from teleporter_lab.errors import AckError, Conflict, ConnectorError
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import END, SourceProbe
from tests.engine.vault import KEY, ListReader, Vault, marks_of, numbers, with_text

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Flow, Sink, Source


class Reload:
    """Closes, opens and tries again, for ever."""

    def decide(self, failure: Failure) -> Decision:
        return Decision(Action.RELOAD)


def exactly(vault: Vault, window: Witness, size: int = 10, seconds: float = 0.0) -> Sink[Any, None]:
    return write_exactly("vault", vault.writer, marks_of(vault, window), size, seconds)


async def later(x: int) -> int:
    for _ in range(x * 7 % 5):
        await asyncio.sleep(0)
    return x


FLOWS: dict[str, Any] = {
    "as it is": lambda s: s,
    "one into three": lambda s: s.map_concat(lambda x: [x, x, x] if x % 3 else []),
    "filtered": lambda s: s.filter(lambda x: x % 7 == 0),
    "out of order": lambda s: s.map_async_unordered(4, later),
    "held back": lambda s: s.buffer(20),
    "two ways": lambda s: s.group_by(8, lambda x: x % 2).map(lambda x: x).merge_substreams(),
}


def expected(flow: str, count: int) -> list[int]:
    if flow == "one into three":
        return [x for x in range(count) if x % 3 for _ in range(3)]
    return [x for x in range(count) if flow != "filtered" or x % 7 == 0]


@settings(max_examples=120, deadline=None)
@given(
    flow=st.sampled_from(sorted(FLOWS)),
    count=st.integers(0, 80),
    most=st.integers(1, 30),
    size=st.integers(1, 25),
    room=st.integers(3, 40),
    faults=st.lists(st.sampled_from(["", "before", "after", "late"]), max_size=12),
    kills=st.lists(st.integers(1, 90), max_size=4),
)
def test_each_record_is_there_once(
    flow: str, count: int, most: int, size: int, room: int, faults: list[str], kills: list[int]
) -> None:
    vault = Vault(faults)

    async def once(passes: int | None) -> None:
        window = Witness(room)
        source: Source[int] = numbers(vault, count, window, most)
        run = asyncio.ensure_future(
            FLOWS[flow](source).to(exactly(vault, window, size)).run(supervisor=Reload())
        )  # fmt: skip
        for _ in range(passes or 0):
            await asyncio.sleep(0)
        if passes is not None:
            run.cancel()
        await asyncio.wait((run,))
        assert vault.calls.count("make") == vault.calls.count("close")
        if not run.cancelled():
            run.result()
            window.check_all_settled()

    async def check() -> None:
        for passes in [*kills, None]:
            vault.late = None
            await once(passes)

    asyncio.run(check())
    assert sorted(vault.records) == expected(flow, count)
    if flow in ("as it is", "one into three", "filtered"):
        assert vault.records == expected(flow, count), "in order, too"
    assert (vault.position or 0) == count


async def test_a_mark_says_how_far_the_stream_has_come_and_where_its_records_went() -> None:
    vault, window = Vault(), Witness()
    await numbers(vault, 30, window, 10).filter(lambda x: x % 3 != 0).to(exactly(vault, window)).run()
    assert vault.position == 30
    ledger = vault.ledger
    assert (ledger["read"], ledger["written"], ledger["filtered"]) == (30, 20, 10)
    assert window.progress is not None
    assert window.progress.ledger.as_dict() == ledger


async def test_what_is_left_out_at_the_end_and_while_nothing_comes_moves_the_mark_alone() -> None:
    clock, vault, window = FakeClock(), Vault(), Witness()
    async with Runtime(clock) as runtime:
        source = SourceProbe([[1]], window=window, wait=True)
        graph = source.as_source().filter(lambda x: x > 0).to(exactly(vault, window))
        run = asyncio.ensure_future(graph.run(runtime))
        await clock.settle()
        assert vault.position == 1
        source.give([-1, -2])
        await clock.advance(9.0)
        assert vault.position == 1
        await clock.advance(2.0)
        assert (vault.position, vault.batches) == (3, [[1], []])
        await clock.advance(100.0)
        assert len(vault.batches) == 2, "it has not moved"
        source.give([-3], END)
        await run
    assert (vault.position, vault.batches) == (4, [[1], [], []])


async def test_a_batch_waits_for_its_time_or_its_size_and_the_next_is_gathered_meanwhile() -> None:
    clock, vault, window = FakeClock(), Vault(), Witness(12)
    async with Runtime(clock) as runtime:
        source = SourceProbe([[1, 2], [3]], window=window, wait=True)
        run = asyncio.ensure_future(source.as_source().to(exactly(vault, window, 4, 2.0)).run(runtime))
        await clock.advance(1.9)
        assert vault.batches == []
        await clock.advance(0.2)
        assert vault.batches == [[1, 2, 3]]
        source.give(list(range(4, 30)))
        await clock.settle()
        assert [len(batch) for batch in vault.batches[1:]] == [4] * 6
        source.give(END)
        await run
    assert [x for batch in vault.batches for x in batch] == list(range(1, 30))


async def test_columns_go_as_they_come_with_one_schema_a_batch() -> None:
    vault, window = Vault(), Witness()
    batches = [pa.record_batch({"x": [1, 2]}), pa.record_batch({"x": [3]}), pa.record_batch({"x": ["a"]})]
    source = SourceProbe(batches, window=window)
    await source.as_source().to(exactly(vault, window, 100, 60.0)).run()
    assert vault.batches == [[1, 2, 3], ["a"]]
    window.check_all_settled()


# ------------------------------------------------------------------------------------------------ outcomes not known


@pytest.mark.parametrize(("fault", "written"), [("before", 2), ("after", 1), ("late", 2)])
async def test_a_batch_whose_connection_is_lost_is_looked_for_before_it_is_written_again(
    fault: str, written: int
) -> None:
    vault, window = Vault([fault]), Witness()
    await numbers(vault, 5, window).to(exactly(vault, window, 5, 60.0)).run(supervisor=Reload())
    assert vault.records == [0, 1, 2, 3, 4]
    assert vault.calls.count("write 5") == written
    window.check_all_settled()
    assert window.ledger().written == 5


async def test_another_run_that_has_gone_on_stops_this_one_whatever_the_rules_say() -> None:
    vault, window = Vault(), Witness()
    source = SourceProbe([[1], [2]], window=window, wait=True)
    run = asyncio.ensure_future(source.as_source().to(exactly(vault, window, 1)).run(supervisor=Reload()))
    while vault.records != [1, 2]:
        await asyncio.sleep(0)
    vault.marks[KEY] = json.dumps({"position": 7})
    source.give([3])
    with pytest.raises(Conflict, match=f"keeps another position under {KEY}"):
        await run
    assert (vault.records, window.refused) == ([1, 2], 1)


async def test_a_run_that_begins_from_an_old_position_does_not_begin() -> None:
    vault, window = Vault(), Witness()
    source = SourceProbe([[1]], window=window)
    sink = exactly(vault, window)
    vault.marks[KEY] = "{}"
    with pytest.raises(Conflict, match="Another run has gone on"):
        await source.as_source().to(sink).run(supervisor=Reload())
    assert (source.demands, source.closes, vault.calls[-1]) == ([], 1, "close")


async def test_marks_that_are_all_alike_are_found() -> None:
    vault, window = Vault(), Witness()
    sink = write_exactly("vault", vault.writer, with_text(marks_of(vault, window), "same"), 1, 0.0)
    with pytest.raises(AckError, match="Two marks"):
        await SourceProbe([[1], [2]], window=window).as_source().to(sink).run()
    assert vault.records == [1]


# ------------------------------------------------------------------------------------------- batches that do not end


async def test_two_sinks_of_a_stream_cannot_both_be_exactly_once() -> None:
    window = Witness()
    source = SourceProbe([[1, 2, 3]], window=window)
    graph = source.as_source().also_to(exactly(Vault(), window)).to(exactly(Vault(), window))
    with pytest.raises(AckError, match="one sink that is exactly once, not two"):
        await graph.run()
    assert source.closes == 1
    vault, window = Vault(), Witness()
    await SourceProbe([[1]], window=window).as_source().to(exactly(vault, window)).run()
    assert vault.records == [1], "and the window is free again"


async def test_a_sink_beside_it_is_waited_for() -> None:
    clock, vault, window = FakeClock(), Vault(), Witness()
    gate = asyncio.Event()

    async def hold(x: int) -> None:
        await gate.wait()

    async with Runtime(clock) as runtime:
        graph = numbers(vault, 5, window).also_to(foreach_async(1, hold)).to(exactly(vault, window))
        run = asyncio.ensure_future(graph.run(runtime))
        await clock.advance(5.0)
        assert vault.records == []
        gate.set()
        await clock.advance(1.0)
        await run
    assert (vault.records, vault.position) == ([0, 1, 2, 3, 4], 5)
    window.check_all_settled()


async def test_records_that_nobody_confirms_end_the_stream_with_a_sentence() -> None:
    clock, vault, window = FakeClock(), Vault(), Witness()
    lost = window.open(1, 1, 0.0)
    async with Runtime(clock) as runtime:
        graph = SourceProbe([[2, 3]], window=window).as_source().to(exactly(vault, window))
        with pytest.raises(AckError, match="has to be the only one"):
            await clock.run(graph.run(runtime))
    assert (vault.records, clock.now()) == ([], pytest.approx(10.0, abs=0.1))
    assert not lost.settled


async def test_groups_that_overlap_with_the_chunks_of_the_source_are_written_up_to_where_both_end() -> None:
    clock, vault, window = FakeClock(), Vault(), Witness()
    async with Runtime(clock) as runtime:
        source = SourceProbe([[0, 1], [2, 3], [4, 5], [6, 7]], window=window, wait=True)
        graph = source.as_source().grouped(3).map_concat(lambda xs: [*xs, "end"]).to(exactly(vault, window, 1))
        run = asyncio.ensure_future(graph.run(runtime))
        await clock.advance(1.0)
        assert vault.records == [0, 1, 2, "end", 3, 4, 5, "end"]
        source.give([8, 9], [10, 11], [12, 13])
        await clock.advance(1.0)
        assert vault.position == 12, "a group of 12 and 13 is not over"
        source.give(END)
        await run
    assert vault.records[-7:] == [9, 10, 11, "end", 12, 13, "end"]
    window.check_all_settled()


async def test_groups_that_never_end_where_a_chunk_does_end_the_stream_with_a_sentence() -> None:
    clock, vault, window = FakeClock(), Vault(), Witness(6)
    async with Runtime(clock) as runtime:
        source = SourceProbe([[i, i + 1, i + 2] for i in range(0, 30, 3)], wait=True, window=None)
        acked = source.as_source().source_ack(window).sliding(2).to(exactly(vault, window))
        with pytest.raises(AckError, match=r"larger ack\.cacheSize"):
            await clock.run(acked.run(runtime))
    assert (vault.records, source.given) == ([], 6)
    assert clock.now() == pytest.approx(300, abs=1)


async def test_records_delivered_again_are_not_stored_twice() -> None:
    window = Witness()
    first = window.open(1, 1, 0.0)
    vault = Vault()
    source = SourceProbe([[2]], window=window, wait=True)
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        run = asyncio.ensure_future(source.as_source().to(exactly(vault, window)).run(runtime))
        await clock.settle()
        window.redeliver(window.tokens[1].span, 1.0)
        await clock.advance(1.0)
        with pytest.raises(AckError, match=r"ack\.maxAge must be Inf"):
            await run
    assert vault.records == []
    assert not first.settled


async def test_records_that_another_source_joins_or_that_are_confirmed_on_their_way_are_refused() -> None:
    for flow in (lambda s: s.confirm(), lambda s: s.merge(iterate([7]))):
        vault, window = Vault(), Witness()
        joined: Flow[Any, int] = flow(numbers(vault, 3, window))
        with pytest.raises(AckError, match="its source does not wait for"):
            await joined.to(exactly(vault, window)).run()
        assert 7 not in vault.records


async def test_a_writer_that_keeps_no_marks_is_refused_before_anything_is_read() -> None:
    class Plain:
        async def open(self) -> None: ...
        async def write(self, records: Any) -> None: ...
        async def close(self) -> None: ...

    window = Witness()
    for write in (write_exactly, write_exactly_blocking):
        sink: Sink[Any, None] = write("plain", Plain, marks_of(Vault(), window))  # type: ignore[arg-type]
        with pytest.raises(ConnectorError, match="plain cannot keep a position"):
            await SourceProbe([[1]], window=window).as_source().to(sink).run()


async def test_a_blocking_writer_is_exactly_once_as_well() -> None:
    class Blocks:
        """The vault's writer without a loop."""

        def __init__(self) -> None:
            self.deputy = vault.writer()

        def __getattr__(self, name: str) -> Any:
            method = getattr(self.deputy, name)

            def call(*args: Any) -> Any:
                return asyncio.run(method(*args))

            return call

    vault, window = Vault(["before", "", "after"]), Witness()
    sink = write_exactly_blocking("vault", Blocks, marks_of(vault, window), 4, 0.0)  # type: ignore[arg-type]
    await numbers(vault, 20, window, 4).to(sink).run(supervisor=Reload())
    assert vault.records == list(range(20))
    window.check_all_settled()


async def test_an_error_from_above_comes_after_what_is_complete() -> None:
    vault, window = Vault(), Witness()
    source = SourceProbe([[1, 2], OSError("lost")], window=window)
    with pytest.raises(OSError, match="lost"):
        await source.as_source().to(exactly(vault, window, 100, 60.0)).run()
    assert (vault.records, vault.position) == ([1, 2], 2)


async def test_records_before_those_of_the_batch_that_go_elsewhere_are_part_of_its_position() -> None:
    vault, window, seen = Vault(), Witness(), list[int]()
    graph = numbers(vault, 20, window, 3).divert_to(foreach(seen.append), lambda x: x % 2 == 1)
    await graph.to(exactly(vault, window, 4)).run()
    assert (vault.records, seen) == (list(range(0, 20, 2)), list(range(1, 20, 2)))
    assert vault.position == 20


class Eager(ListReader):
    """Gives a page at once, whatever it is asked for, as a reader of columns may."""

    async def read(self, n: int) -> Any:
        return await super().read(50)


@pytest.mark.parametrize("passes", [30, 50, 80])
async def test_a_batch_never_ends_inside_of_what_a_reader_has_given_at_once(passes: int) -> None:
    """The position before it stands for all of it, so what was written of it would come again."""
    vault = Vault()
    for kill in (True, False):
        window = Witness(60)
        source: Source[int] = read_from("eager", lambda: Eager(150), vault.position).source_ack(window)
        run = asyncio.ensure_future(source.to(exactly(vault, window)).run())
        for _ in range(passes if kill else 0):
            await asyncio.sleep(0)
        if kill:
            run.cancel()
        await asyncio.wait((run,))
    assert (vault.records, vault.position) == (list(range(150)), 150)


async def test_a_window_that_is_too_small_for_one_read_is_a_sentence_at_once() -> None:
    vault, window = Vault(), Witness(40)
    source: Source[int] = read_from("eager", lambda: Eager(150)).source_ack(window)
    with pytest.raises(AckError, match="larger than that"):
        await source.to(exactly(vault, window)).run()
    assert vault.records == []


async def test_a_source_without_positions_is_refused() -> None:
    class Lost(ListReader):
        position = property(lambda _: None, lambda *_: None)  # type: ignore[assignment]

        async def read(self, n: int) -> Any:
            return [1, 2, 3]

    vault, window = Vault(), Witness()
    source: Source[int] = read_from("lost", lambda: Lost(3)).source_ack(window)
    with pytest.raises(AckError, match="knows where it is"):
        await source.to(exactly(vault, window)).run()
    assert vault.records == []
