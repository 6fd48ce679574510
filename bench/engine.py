"""The engine as a contender: A (ints), B (async), C (records), each by rows and by columns, and idle streams.

A plug-in: whoever runs it has `contender`, `idle` and the work (`inc`, `even`, `triple`, `touch`, `records`,
`transform`, `RECORDS`, `SumSink`, `BatchSink`, `PARALLELISM`, `BATCH`) defined already. `make bench-engine` does.
"""
# ruff: noqa: F821
# pyright: basic, reportUndefinedVariable=false

from __future__ import annotations

import asyncio
from functools import cache
from itertools import cycle, islice
from typing import Any

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.graph import Sink
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stage import PLENTY, Terminal, close_fully, give_up
from teleporter_lab.engine.stages.batches import foreach_batch, from_batches
from teleporter_lab.engine.stages.reading import read_from
from teleporter_lab.engine.stages.sinks import foreach, ignore
from teleporter_lab.engine.stages.sources import async_iterate, iterate

WINDOW = 65_536
"""Records that may be un-confirmed."""


class ByChunk(Terminal[None]):
    """A sink that is given whole lists, as every chunked contender's is."""

    def __init__(self, upstream: Any, take: Any) -> None:
        self._upstream = upstream
        self._take = take

    async def run(self) -> None:
        try:
            while (chunk := await self._upstream.pull(PLENTY)) is not None:
                self._take(chunk.data)
                chunk.written()
                chunk = None
        except BaseException as error:
            await give_up(self._upstream.close, error)
            raise
        await close_fully(self._upstream.close)


def by_chunk(take: Any) -> Sink[Any, None]:
    return Sink("by_chunk", lambda _, up: ByChunk(up, take))


class Numbers:
    """A reader of 0 to n - 1 that knows its position."""

    def __init__(self, n: int) -> None:
        self._numbers = iter(range(n))
        self.position = 0

    async def open(self, position: Any) -> None:
        pass

    async def read(self, n: int) -> list[int] | None:
        data = list(islice(self._numbers, n))
        self.position += len(data)
        return data or None

    async def close(self) -> None:
        pass


def run(graph: Any) -> None:
    asyncio.run(graph.run())


@contender("A", "teleporter")
def _(n):
    sink = SumSink()
    run(iterate(range(n)).map(inc).filter(even).map(triple).to(by_chunk(sink.many)))
    return sink.result()


@contender("A", "teleporter, acks")
def _(n):
    sink, window = SumSink(), AckWindow(WINDOW)
    source = read_from("numbers", lambda: Numbers(n)).source_ack(window)
    run(source.map(inc).filter(even).map(triple).to(by_chunk(sink.many)))
    assert window.progress is not None
    assert window.progress.position == n
    return sink.result()


def acknowledged(n):
    """What the ancestor does: two maps, every record confirmed, the position known at the end."""
    sink, window = SumSink(), AckWindow(WINDOW)
    run(read_from("numbers", lambda: Numbers(n)).source_ack(window).map(inc).map(triple).to(by_chunk(sink.many)))
    assert window.progress is not None
    assert window.progress.position == n
    return sink.result()


@contender("B", "teleporter, ordered")
def _(n):
    sink = SumSink()
    run(iterate(range(n)).map_async(PARALLELISM, touch).to(by_chunk(sink.many)))
    return sink.result()


@contender("B", "teleporter, unordered")
def _(n):
    sink = SumSink()
    run(iterate(range(n)).map_async_unordered(PARALLELISM, touch).to(by_chunk(sink.many)))
    return sink.result()


@contender("C", "teleporter")
def _(n):
    sink = BatchSink()
    run(iterate(records(n)).map(transform).grouped(BATCH).to(foreach(sink)))
    return sink.result()


@contender("A", "teleporter, columns of 8192", needs=["pyarrow", "numpy"])
def _(n):
    return columnar_numbers(n, 8192)


@contender("A", "teleporter, columns of 8192, expressions", needs=["pyarrow", "numpy"])
def _(n):
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    x, one, three = pc.field("x"), pa.scalar(1), pa.scalar(3)
    batches = (pa.record_batch({"x": np.arange(at, min(n, at + 8192))}) for at in range(0, n, 8192))
    found = [0, 0]
    source = (
        from_batches(batches).with_columns(x=x + one).filter(pc.bit_wise_and(x, one) == 0).with_columns(x=x * three)
    )
    run(source.to(foreach_batch(adder(found))))
    return tuple(found)


def columnar_numbers(n, size):
    """A by columns: functions for batches, in the vocabulary of pyarrow and numpy."""
    import numpy as np
    import pyarrow as pa

    def column(batch):
        return batch.column(0).to_numpy()

    def batch_of(values):
        return pa.RecordBatch.from_arrays([pa.array(values)], names)

    names, found = ["x"], [0, 0]
    batches = (batch_of(np.arange(at, min(n, at + size))) for at in range(0, n, size))
    source = (
        from_batches(batches)
        .map_batches(lambda batch: batch_of(column(batch) + 1))
        .map_batches(lambda batch: batch_of((xs := column(batch))[(xs & 1) == 0]))
        .map_batches(lambda batch: batch_of(column(batch) * 3))
    )
    run(source.to(foreach_batch(adder(found))))
    return tuple(found)


def adder(found):
    def add(batch):
        found[0] += len(batch)
        found[1] += int(batch.column(0).to_numpy().sum())

    return add


@contender("C", "teleporter, columns of 500", needs=["pyarrow"])
def _(n):
    return columnar_records(n, BATCH)


@contender("C", "teleporter, columns of 10000", needs=["pyarrow"])
def _(n):
    return columnar_records(n, 10_000)


@cache
def columnar_source(size):
    """The records as batches; made once, as the records are."""
    import pyarrow as pa

    return pa.Table.from_pylist(RECORDS).to_batches(max_chunksize=size)


def columnar_records(n, size):
    """C by columns: the same ten fields, renamed and computed a batch at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    comma = pa.scalar(", ")
    names = ["user_id", "full_name", "mail", "age", "place", "total", "unit", "qty", "at_ms", "status"]

    def transformed(batch):
        col = batch.column
        amount, quantity = col("amount"), col("qty")
        place = pc.binary_join_element_wise(col("city"), col("country"), comma)
        total = pa.array(amount.to_numpy() * quantity.to_numpy())
        at = pa.array(col("ts").to_numpy() * 1000)
        kept = [col(name) for name in ("id", "name", "email", "age")]
        return pa.RecordBatch.from_arrays([*kept, place, total, amount, quantity, at, col("status")], names)

    rows = [0]

    def count(batch):
        rows[0] += len(batch)

    batches = islice(cycle(columnar_source(size)), n // size)
    run(from_batches(batches).map_batches(transformed).to(foreach_batch(count)))
    return -(-rows[0] // BATCH), rows[0]


class Never:
    """An asynchronous iterator that waits for ever."""

    def __aiter__(self) -> Never:
        return self

    async def __anext__(self) -> Any:
        await asyncio.get_running_loop().create_future()


@idle("teleporter: source, three maps, sink")
async def _(k):
    runtime = Runtime()
    graph = async_iterate(Never()).map(abs).map(abs).map(abs).to(ignore())
    return [asyncio.ensure_future(graph.run(runtime)) for _ in range(k)]
