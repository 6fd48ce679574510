"""Sinks that write: batches by size and time, the next one gathered meanwhile, confirmed when stored, closed once."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import write_to, write_to_blocking
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume, Retry
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


async def test_a_batch_may_be_left_out() -> None:
    store, window = Store((2,)), Witness()
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
