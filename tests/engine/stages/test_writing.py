"""Sinks that write: batches by size and time, the next one gathered meanwhile, confirmed when stored, closed once."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.stages.writing import resource_sink, write_to, write_to_blocking
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume, Retry
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe

if TYPE_CHECKING:
    from collections.abc import Sequence


class Store:
    """A writer that remembers; `fails` are the numbers of the writes that fail, `gate` holds a write up."""

    def __init__(self, fails: tuple[int, ...] = ()) -> None:
        self.calls: list[str] = []
        self.batches: list[list[Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._fails = fails
        self._writes = 0

    async def open(self) -> None:
        self.calls.append("open")

    async def write(self, records: Sequence[Any]) -> None:
        self._writes += 1
        self.calls.append(f"write {len(records)}")
        await self.gate.wait()
        if self._writes in self._fails:
            raise OSError(f"write {self._writes}")
        self.batches.append(list(records))

    async def close(self) -> None:
        self.calls.append("close")


async def settle(n: int = 30) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def test_a_batch_is_full_or_its_time_is_up() -> None:
    clock, store = FakeClock(), Store()
    source = SourceProbe([[1, 2], [3, 4, 5], [6]], wait=True)
    graph = source.as_source().to(write_to("store", lambda: store, size=4, seconds=2.0))
    run = asyncio.ensure_future(graph.run(Runtime(clock)))
    await clock.settle()
    assert store.batches == [[1, 2, 3, 4]]
    await clock.advance(1.9)
    assert len(store.batches) == 1
    await clock.advance(0.2)
    assert store.batches == [[1, 2, 3, 4], [5, 6]]
    run.cancel()
    await asyncio.wait((run,))
    assert store.calls == ["open", "write 4", "write 2", "close"]


async def test_the_next_batch_is_gathered_while_one_is_written_and_no_more() -> None:
    store = Store()
    store.gate.clear()
    source = SourceProbe([list(range(100))])
    run = asyncio.ensure_future(source.as_source().to(write_to("store", lambda: store, size=10, seconds=60.0)).run())
    await settle(60)
    assert store.calls == ["open", "write 10"]
    assert source.given == 20
    store.gate.set()
    await run
    assert [len(batch) for batch in store.batches] == [10] * 10


async def test_records_are_confirmed_when_their_batch_is_stored() -> None:
    window, store = Witness(), Store()
    store.gate.clear()
    source = SourceProbe([[1, 2, 3], [4, 5]], window=window)
    run = asyncio.ensure_future(source.as_source().to(write_to("store", lambda: store, size=4, seconds=60.0)).run())
    await settle()
    assert window.progress is None
    store.gate.set()
    await run
    window.check_all_settled()
    assert window.ledger().written == 5


@pytest.mark.parametrize("fails", [(1,), (2,), (3,), (1, 2, 3)], ids=str)
async def test_a_batch_that_fails_is_tried_again_in_its_place(fails: tuple[int, ...]) -> None:
    store, window = Store(fails), Witness()
    source = SourceProbe([list(range(6))], window=window)
    await source.as_source().to(write_to("store", lambda: store, size=2, seconds=60.0)).run(supervisor=Retry(3))
    assert store.batches == [[0, 1], [2, 3], [4, 5]]
    window.check_all_settled()


async def test_a_batch_may_be_left_out_when_each_of_its_records_fails() -> None:
    store, window = Store((2, 3, 4)), Witness()  # the batch, and each of its halves
    source = SourceProbe([list(range(6))], window=window)
    await source.as_source().to(write_to("store", lambda: store, size=2, seconds=60.0)).run(supervisor=Resume())
    assert store.batches == [[0, 1], [4, 5]]
    assert window.ledger().skipped == 2
    window.check_all_settled()


async def test_a_batch_that_fails_stops_the_stream_and_stays_unconfirmed() -> None:
    store, window = Store((2,)), Witness()
    source = SourceProbe([list(range(6))], window=window)
    with pytest.raises(OSError, match="write 2") as caught:
        await source.as_source().to(write_to("store", lambda: store, size=2, seconds=60.0)).run()
    assert store.batches == [[0, 1]]
    assert window.progress is not None
    assert window.progress.position == 2
    assert window.refused == 1
    assert caught.value.__notes__[0].startswith("In store, on the element [2, 3]")
    assert store.calls[-1] == "close"
    assert source.closes == 1


async def test_what_was_gathered_before_an_error_is_still_written() -> None:
    store = Store()
    source = SourceProbe([[1, 2, 3], OSError("lost")])
    with pytest.raises(OSError, match="lost"):
        await source.as_source().to(write_to("store", lambda: store, size=10, seconds=60.0)).run()
    assert store.batches == [[1, 2, 3]]
    assert store.calls.count("close") == 1


async def test_a_writer_that_does_not_open_is_closed_and_nothing_is_read() -> None:
    class Shut(Store):
        async def open(self) -> None:
            raise OSError("no such table")

    store = Shut()
    source = SourceProbe([[1]])
    with pytest.raises(OSError, match="no such table"):
        await source.as_source().to(write_to("store", lambda: store)).run()
    assert store.calls == ["close"]
    assert (source.demands, source.closes) == ([], 1)


async def test_a_blocking_writer_is_closed_when_its_call_has_ended() -> None:
    started, go_on = threading.Event(), threading.Event()
    calls: list[str] = []

    class Blocks:
        def open(self) -> None:
            calls.append("open")

        def write(self, records: Sequence[int]) -> None:
            started.set()
            assert go_on.wait(10)
            calls.append(f"wrote {len(records)}")

        def close(self) -> None:
            calls.append("close")

    window = Witness()
    source = SourceProbe([[1, 2]], window=window)
    run = asyncio.ensure_future(source.as_source().to(write_to_blocking("blocks", Blocks, 10, 60.0)).run())
    assert await asyncio.to_thread(started.wait, 10)
    run.cancel()
    done, _ = await asyncio.wait((run,), timeout=0.02)
    assert not done
    assert calls == ["open"]
    go_on.set()
    await asyncio.wait((run,))
    assert run.cancelled()
    assert calls == ["open", "wrote 2", "close"]
    assert window.progress is None


async def test_a_blocking_writer_works_a_batch_a_call() -> None:
    batches: list[int] = []
    threads: set[str] = set()

    class Blocks:
        def open(self) -> None: ...

        def write(self, records: Sequence[int]) -> None:
            threads.add(threading.current_thread().name)
            batches.append(len(records))

        def close(self) -> None: ...

    await iterate(range(1000)).to(write_to_blocking("blocks", Blocks, 300, 60.0)).run()
    assert batches == [300, 300, 300, 100]
    assert threading.current_thread().name not in threads


# ---------------------------------------------------------------------------------------------------------- columns


async def test_a_writer_of_columns_gets_batches_as_they_come_and_any_other_fails_the_stream() -> None:
    class Columns(Store):
        columnar = True

        async def write(self, records: Any) -> None:
            assert isinstance(records, pa.RecordBatch)
            self.batches.append(records.column("x").to_pylist())

    window, store = Witness(), Columns()
    source = SourceProbe([pa.record_batch({"x": [1, 2]}), pa.record_batch({"x": [3, 4, 5]})], window=window)
    await source.as_source().to(write_to("store", lambda: store, size=4, seconds=60.0)).run()
    assert store.batches == [[1, 2, 3, 4], [5]]
    window.check_all_settled()

    window, rows = Witness(), Store()
    source = SourceProbe([pa.record_batch({"x": [1, 2]})], window=window)
    with pytest.raises(RowsNeeded, match="store works on rows"):
        await source.as_source().to(write_to("store", lambda: rows)).run(supervisor=Resume())
    assert (rows.batches, window.refused, source.closes) == ([], 1, 1)


async def test_a_blocking_writer_of_columns_is_one_too_and_takes_rows_as_well() -> None:
    kinds: list[type] = []

    class Columns:
        columnar = True

        def open(self) -> None: ...

        def write(self, records: Any) -> None:
            kinds.append(type(records))

        def close(self) -> None: ...

    for data in (pa.record_batch({"x": [1, 2]}), [{"x": 1}]):
        await SourceProbe([data]).as_source().to(write_to_blocking("columns", Columns)).run()
    assert kinds == [pa.RecordBatch, list]


# -------------------------------------------------------------------------------------------------------- resources


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_resource_gets_each_chunk_as_it_comes(blocking: bool) -> None:
    log: list[Any] = []
    threads: set[str] = set()

    def write(resource: list[Any], elements: list[int]) -> None:
        threads.add(threading.current_thread().name)
        resource.append(elements)

    window = Witness()
    source = SourceProbe([[1, 2], [3], [4, 5, 6]], window=window)
    sink = resource_sink(lambda: log, write, lambda resource: resource.append("closed"), blocking=blocking)
    await source.as_source().to(sink).run()
    assert log == [[1, 2], [3], [4, 5, 6], "closed"]
    assert (threading.current_thread().name in threads) != blocking
    window.check_all_settled()
    assert window.ledger().written == 6


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_resource_is_opened_anew_by_a_reload_and_closed_as_often(blocking: bool) -> None:
    opened: list[list[Any]] = []
    closed: list[list[Any]] = []

    def open_it() -> list[Any]:
        opened.append([])
        return opened[-1]

    def write(resource: list[Any], elements: list[int]) -> None:
        if len(opened) < 3:
            raise OSError("gone")
        resource.append(elements)

    sink = resource_sink(open_it, write, closed.append, blocking=blocking)
    await iterate([1]).to(sink).run(supervisor=Reload())
    assert opened == closed == [[], [], [[1]]]


async def test_a_resource_that_does_not_open_reads_nothing_and_closes_nothing() -> None:
    def shut() -> str:
        raise OSError("no such file")

    closed: list[str] = []
    source = SourceProbe([[1]])
    with pytest.raises(OSError, match="no such file"):
        await source.as_source().to(resource_sink(shut, lambda _, xs: len(xs), closed.append)).run()
    assert (source.demands, source.closes, closed) == ([], 1, [])


class Reload:
    def decide(self, failure: Failure) -> Decision:
        return Decision(Action.RELOAD)


@pytest.mark.parametrize(("size", "seconds"), [(0, 1.0), (10, -1.0)])
def test_wrong_arguments_are_refused_at_once(size: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="size of 1 or more"):
        write_to("store", Store, size, seconds)
