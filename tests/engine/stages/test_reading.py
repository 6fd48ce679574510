"""Readers: opened by the first pull, put right, closed once, in a thread where they block, columns as they are."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pytest

from teleporter_lab.engine.stages.reading import read_from, read_from_blocking
from teleporter_lab.engine.stages.sinks import count, ignore
from teleporter_lab.engine.turnstile import MAX_CHUNK, MAX_ROWS
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import pulled

if TYPE_CHECKING:
    from teleporter_lab.engine.stages.reading import ReadFrom

INPUT = list(range(10))


class Records:
    """A reader that keeps its contract; counts what is called."""

    def __init__(self, size: int = 4) -> None:
        self.calls: list[str] = []
        self.position: int | None = None
        self._size = size

    async def open(self, position: int | None) -> None:
        await asyncio.sleep(0)
        self.calls.append("open")
        self.position = position or 0

    async def read(self, n: int) -> list[int] | None:
        await asyncio.sleep(0)
        assert self.position is not None
        start = self.position
        data = INPUT[start : start + min(n, self._size)]
        self.position = start + len(data)
        return data or None

    async def close(self) -> None:
        self.calls.append("close")


class BlockingRecords:
    """The same, for a thread."""

    def __init__(self, size: int = 4) -> None:
        self.calls: list[str] = []
        self.position: int = 0
        self._size = size

    def open(self, position: int | None) -> None:
        self.calls.append("open")
        self.position = position or 0

    def read(self, n: int) -> list[int] | None:
        start = self.position
        self.position = min(10, start + min(n, self._size))
        return INPUT[start : self.position] or None

    def close(self) -> None:
        self.calls.append("close")


class Sloppy(Records):
    """Gives nothing at times, and more than it was asked for at others."""

    async def read(self, n: int) -> list[int] | None:
        assert self.position is not None
        await asyncio.sleep(0)
        self.calls.append(f"read {n}")
        if len(self.calls) % 2 == 0:
            return []
        start = self.position
        self.position = min(10, start + 6)
        return INPUT[start : self.position] or None


async def test_a_reader_that_gives_nothing_or_too_much_is_put_right() -> None:
    reader = Sloppy()
    async with pulled(read_from("sloppy", lambda: reader)) as stage:
        assert await drain(stage, 1, 4, 2) == INPUT
    assert reader.calls.count("open") == reader.calls.count("close") == 1


async def test_a_position_never_passes_a_record_that_was_not_given() -> None:
    async with pulled(read_from("sloppy", Sloppy, 2)) as stage:
        given = position = 2
        while (chunk := await stage.pull(4)) is not None:
            given += len(chunk)
            position = cast("ReadFrom[int]", stage).position
            assert position <= given
        assert given == position == 10


async def test_records_are_acknowledged_with_the_position_behind_them() -> None:
    window = Witness()
    async with pulled(read_from("records", Records).source_ack(window)) as stage:
        first = await stage.pull(3)
        assert first is not None
        first.written()
        assert window.progress is not None
        assert window.progress.position == window.progress.count == len(first)
        await drain(stage)
    window.check_all_settled()
    assert window.progress.position == 10


@pytest.mark.parametrize("passes", [0, 1, 2, 3, 4])
async def test_a_reader_is_closed_once_wherever_it_was_cancelled(passes: int) -> None:
    reader = Records()
    run = asyncio.ensure_future(read_from("records", lambda: reader).to(ignore()).run())
    for _ in range(passes + 1):
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait((run,))
    assert reader.calls.count("close") == 1
    assert reader.calls[-1] == "close"


async def test_a_reader_that_does_not_open_fails_the_stream_and_is_closed() -> None:
    class Closed(Records):
        async def open(self, position: int | None) -> None:
            raise OSError("no such file")

    reader = Closed()
    with pytest.raises(OSError, match="no such file") as caught:
        await read_from("records", lambda: reader, 7).to(ignore()).run()
    assert reader.calls == ["close"]
    assert not hasattr(caught.value, "__notes__"), "what a connector raises is a sentence by itself"


class Waits(BlockingRecords):
    """Its reads wait until the test lets them go on; notices two calls at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()
        self.go_on = threading.Event()
        self._calling = threading.Lock()

    def read(self, n: int) -> list[int] | None:
        assert self._calling.acquire(blocking=False), "two calls at a time"
        self.calls.append("read")
        self.reading.set()
        assert self.go_on.wait(10)
        data = super().read(n)
        self._calling.release()
        return data

    def close(self) -> None:
        assert self._calling.acquire(blocking=False), "closed in the middle of a call"
        super().close()
        self._calling.release()


async def wait_for(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


async def test_a_blocking_read_that_is_cancelled_is_given_by_the_next_one() -> None:
    reader = Waits()
    async with pulled(read_from_blocking("waits", lambda: reader)) as stage:
        pull = asyncio.ensure_future(stage.pull(4))
        await wait_for(reader.reading)
        pull.cancel()
        await asyncio.wait((pull,))
        reader.go_on.set()
        assert await drain(stage, 3, 1) == INPUT
    assert reader.calls.count("close") == 1


async def test_a_blocking_reader_is_closed_when_its_call_has_ended() -> None:
    reader = Waits()
    run = asyncio.ensure_future(read_from_blocking("waits", lambda: reader).to(ignore()).run())
    await wait_for(reader.reading)
    run.cancel()
    done, _ = await asyncio.wait((run,), timeout=0.02)
    assert not done, "the call still runs"
    assert "close" not in reader.calls
    reader.go_on.set()
    await asyncio.wait((run,))
    assert run.cancelled()
    assert reader.calls == ["open", "read", "close"]


async def test_a_stop_iteration_of_a_blocking_reader_is_an_error() -> None:
    class Next(BlockingRecords):
        def read(self, n: int) -> list[int] | None:
            return [next(iter(()))]

    with pytest.raises(RuntimeError, match="StopIteration"):
        await read_from_blocking("next", Next).to(ignore()).run()


@pytest.mark.parametrize("leave", [SystemExit(3), asyncio.CancelledError()], ids=repr)
async def test_a_reader_that_exits_ends_its_stream_alone(leave: BaseException) -> None:
    class Leaves(Records):
        async def read(self, n: int) -> list[int] | None:
            raise leave

    with pytest.raises(RuntimeError, match=r"sys\.exit|cancelled by somebody"):
        await read_from("leaves", Leaves).to(ignore()).run()


# ---------------------------------------------------------------------------------------------------------- columns


class Columns:
    """Gives batches of columns, of the size it likes; notes what it was asked for."""

    columnar = True

    def __init__(self, rows: int = 200_000, size: int | None = None) -> None:
        self.position = 0
        self.asked: list[int] = []
        self._rows = rows
        self._size = size

    async def open(self, position: int | None) -> None:
        self.position = position or 0

    async def read(self, n: int) -> Any:
        self.asked.append(n)
        start = self.position
        self.position = min(self._rows, start + (self._size or n))
        if start == self.position:
            return None
        return pa.record_batch({"x": pa.array(range(start, self.position))})

    async def close(self) -> None: ...


async def test_batches_of_columns_go_out_as_they_are_and_in_slices_where_they_are_too_large() -> None:
    async with pulled(read_from("columns", lambda: Columns(10, size=6))) as stage:
        found: list[int] = []
        sizes: list[int] = []
        while (chunk := await stage.pull(4)) is not None:
            data: Any = chunk.data
            assert isinstance(data, pa.RecordBatch)
            found += data.column("x").to_pylist()
            sizes.append(len(chunk))
            assert cast("ReadFrom[Any]", stage).position in (None, 6, 10)
    assert found == INPUT
    assert max(sizes) <= 4


async def test_a_reader_of_columns_may_be_asked_for_many_rows_and_others_for_few() -> None:
    class Rows(Columns):
        columnar = False

        async def read(self, n: int) -> Any:
            batch = await super().read(n)
            return batch and batch.column("x").to_pylist()

    columns, rows = Columns(), Rows()
    assert await read_from("columns", lambda: columns).to(count()).run() == 200_000
    assert max(columns.asked) == MAX_ROWS
    assert await read_from("rows", lambda: rows).to(count()).run() == 200_000
    assert max(rows.asked) == MAX_CHUNK


async def test_a_blocking_reader_of_columns_is_one_too() -> None:
    class Blocking:
        columnar = True
        position = 0

        def open(self, position: int | None) -> None: ...

        def read(self, n: int) -> Any:
            start, self.position = self.position, min(100_000, self.position + n)
            return pa.record_batch({"x": pa.array(range(start, self.position))}) if self.position > start else None

        def close(self) -> None: ...

    largest = 0
    async with pulled(read_from_blocking("columns", Blocking)) as stage:
        while (chunk := await stage.pull(1 << 20)) is not None:
            largest = max(largest, len(chunk))
    assert largest > MAX_CHUNK
