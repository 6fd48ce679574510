"""Where records go to a system outside: write_to, write_to_blocking, resource_sink.

Owns how a writer is driven: opened before anything is read, given one batch at a time, closed once, and what the
supervision says when it fails. Records are confirmed when their batch is stored.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.columns import rows_of
from teleporter_lab.engine.failure import FAILURES, RowsNeeded
from teleporter_lab.engine.graph import Sink
from teleporter_lab.engine.operators import named
from teleporter_lab.engine.stage import PLENTY, Stage, Terminal, close_each, close_fully, give_up
from teleporter_lab.engine.stages.reading import is_columnar, let_go
from teleporter_lab.engine.stages.timing import Gather
from teleporter_lab.engine.supervision import AGAIN, Action, Failure, explain, put_aside
from teleporter_lab.engine.trials import Trials, own_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.endpoints import BlockingWriter, Writer
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.turnstile import Busy

T = TypeVar("T")
R = TypeVar("R")

BATCH_SIZE = 2000
"""Records a writer gets at once, unless its config says otherwise."""

BATCH_SECONDS = 0.1
"""How long a writer's batch may wait to become full."""

PUT_ASIDE = 256
"""Records of a batch that are put aside at the same time, as each waits until it is stored."""


def write_to(
    name: str, make: Callable[[], Writer[T]], size: int = BATCH_SIZE, seconds: float = BATCH_SECONDS
) -> Sink[T, None]:
    """Gives a fresh writer made by `make` batches of up to `size` records, each waiting `seconds` at the most.

    The next batch is gathered while one is written. A writer with an attribute `columnar = True` gets batches of
    columns where the stream carries them; any other fails a stream that does.

    Takes when: a batch has room, one being written and one being gathered.
    Tokens: confirmed when the batch is stored.
    Supervised: yes, by batch. retry writes it again; reload closes the writer, opens a fresh one and writes the same
        batch; resume leaves it out; deadLetter puts each of its records aside.
    """
    _check(size, seconds)
    return Sink(name, lambda m, up: WriteTo(Gather(up, m, seconds), size, Writing(m, name, make)))


def write_to_blocking(
    name: str, make: Callable[[], BlockingWriter[T]], size: int = BATCH_SIZE, seconds: float = BATCH_SECONDS
) -> Sink[T, None]:
    """Like `write_to`, for a writer that blocks: it works in a driver thread, a batch a call.

    Takes when: a batch has room, one being written and one being gathered.
    Tokens: confirmed when the batch is stored.
    Supervised: yes, by batch, like `write_to`.
    """
    _check(size, seconds)

    def end(m: Materializer, upstream: Stage[Any]) -> Terminal[None]:
        writing = Writing(m, name, lambda: _InThread(make(), m))
        return WriteTo(Gather(upstream, m, seconds), size, writing)

    return Sink(name, end)


def resource_sink(
    open: Callable[[], R],
    write: Callable[[R, list[T]], object],
    close: Callable[[R], object],
    *,
    blocking: bool = False,
) -> Sink[T, None]:
    """Calls `write(resource, elements)` with each chunk as it comes; `resource = open()` is made before the first.

    It is closed once, at the end. With `blocking` the functions are called in a driver thread, never two at a time.

    Takes when: there is input, and `write` has returned.
    Tokens: confirmed when `write` has returned.
    Supervised: yes, by chunk, like `write_to`; reload closes the resource and opens it anew.
    """
    name = named("resource_sink", write)

    def end(m: Materializer, upstream: Stage[Any]) -> Terminal[None]:
        def make() -> Any:
            resource: BlockingWriter[Any] = _Resource(open, write, close)
            return _InThread[Any](resource, m) if blocking else _OnLoop[Any](resource, m.busy)

        return WriteEach(upstream, Writing(m, name, make))

    return Sink(name, end)


def _check(size: int, seconds: float) -> None:
    if size < 1 or seconds < 0:
        raise ValueError(f"A writer's batches need a size of 1 or more and seconds of 0 or more, not {size}, {seconds}")


class Writing(Generic[T]):
    """A writer under supervision. A failed one that is to be reloaded is closed, and a fresh one takes its place."""

    __slots__ = ("_columnar", "_m", "_make", "_opened", "_stale", "_trials", "_writer")

    def __init__(self, m: Materializer, name: str, make: Callable[[], Writer[T]]) -> None:
        self._m = m
        self._make = make
        self._writer = make()
        self._columnar = is_columnar(self._writer)
        self._trials = Trials(m, name)
        self._opened = False
        self._stale = False
        """The writer is to be replaced before it is used again."""

    async def open(self) -> None:
        """Opens the writer; where a rule lets a failure pass, it is opened with the first batch."""
        await self._done(None)

    async def write(self, chunk: Chunk[T]) -> None:
        """Stores the chunk and confirms it, or does with it what the supervision says. Raises what it stops with."""
        try:
            if type(chunk.data) is not list and not self._columnar:
                raise RowsNeeded(self._trials.name)
            passed = await self._done(chunk.data)
            if passed is None:
                chunk.written()
            elif passed[0] is Action.RESUME:
                chunk.skipped()
            else:
                await self._put_aside(chunk, passed[1])
        except Exception as error:
            chunk.nack(error)
            raise

    async def close(self) -> None:
        await self._writer.close()

    async def _done(self, data: list[T] | None) -> tuple[Action, Failure] | None:
        """None when `data` is stored (None: when the writer is open), or what let it pass; raises on stop."""
        trials = self._trials
        while True:
            try:
                await self._try(data)
            except FAILURES as error:
                failure = trials.failed(own_failure(error), data)
            else:
                trials.went_well()
                return None
            action = await trials.decided(failure)
            self._stale = self._stale or action is Action.RELOAD or not self._opened
            if action not in AGAIN:
                trials.went_well()
                return action, failure

    async def _try(self, data: list[T] | None) -> None:
        if self._stale:
            await let_go(self._writer)
            self._writer, self._opened = self._make(), False
            self._stale = False
        if not self._opened:
            await self._writer.open()
            self._opened = True
        if data is not None:
            await self._writer.write(data)

    async def _put_aside(self, chunk: Chunk[T], failure: Failure) -> None:
        """Stores each record as a dead letter, and settles the chunk."""
        records = rows_of(chunk.data)
        for start in range(0, len(records), PUT_ASIDE):
            await self._put_some(records[start : start + PUT_ASIDE], failure)
        if chunk.tokens:
            chunk.tokens[-1].account("dead_lettered", len(chunk))
        chunk.confirm()

    async def _put_some(self, records: list[Any], failure: Failure) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for record in records:
                    group.create_task(self._put(Failure(failure.error, failure.stage, record, failure.tries)))
        except ExceptionGroup as failures:
            lost: Exception = failures.exceptions[0]
        else:
            return
        raise explain(lost, failure.stage, records)

    async def _put(self, letter: Failure) -> None:
        try:
            await put_aside(self._m, letter)
        except FAILURES as error:
            lost = own_failure(error)  # a task group does not mind a task that was cancelled by somebody else
        else:
            return
        raise lost


class WriteTo(Terminal[None], Generic[T]):
    """Batches to a writer; the next one is gathered while one is written."""

    __slots__ = ("_gather", "_size", "_writing")

    def __init__(self, gather: Gather[T], size: int, writing: Writing[T]) -> None:
        self._gather = gather
        self._size = size
        self._writing = writing

    async def run(self) -> None:
        async def close() -> None:
            await close_each(self._gather.close, self._writing.close)

        try:
            await self._writing.open()
            while (chunk := await self._gather.pull(self._size)) is not None:
                self._gather.collect(self._size)
                await self._writing.write(chunk)
        except BaseException as error:
            await give_up(close, error)
            raise
        await close_fully(close)


class WriteEach(Terminal[None], Generic[T]):
    """Chunks to a writer, as they come."""

    __slots__ = ("_upstream", "_writing")

    def __init__(self, upstream: Stage[T], writing: Writing[T]) -> None:
        self._upstream = upstream
        self._writing = writing

    async def run(self) -> None:
        async def close() -> None:
            await close_each(self._upstream.close, self._writing.close)

        try:
            await self._writing.open()
            while (chunk := await self._upstream.pull(PLENTY)) is not None:
                await self._writing.write(chunk)
        except BaseException as error:
            await give_up(close, error)
            raise
        await close_fully(close)


class _InThread(Generic[T]):
    """A blocking writer seen as a `Writer`. A cancelled write is waited for before the writer is closed."""

    __slots__ = ("_calls", "_writer", "columnar")

    def __init__(self, writer: BlockingWriter[T], m: Materializer) -> None:
        self._writer = writer
        self._calls: OneCall[None] = OneCall(m.runtime.threads)
        self.columnar = is_columnar(writer)

    async def open(self) -> None:
        await self._calls.call(self._writer.open)

    async def write(self, records: Sequence[T]) -> None:
        await self._calls.call(self._writer.write, records)

    async def close(self) -> None:
        await self._calls.settle()
        await self._calls.call(self._writer.close)


class _OnLoop(Generic[T]):
    """A blocking writer that is quick, called in the event loop."""

    __slots__ = ("_busy", "_writer")

    def __init__(self, writer: BlockingWriter[T], busy: Busy) -> None:
        self._writer = writer
        self._busy = busy

    async def open(self) -> None:
        self._writer.open()

    async def write(self, records: Sequence[T]) -> None:
        started = time.perf_counter()
        try:
            self._writer.write(records)
        finally:
            self._busy.seconds += time.perf_counter() - started

    async def close(self) -> None:
        self._writer.close()


class _Resource(Generic[R, T]):
    """Three functions as a blocking writer."""

    __slots__ = ("_close", "_open", "_resources", "_write")

    def __init__(
        self, open: Callable[[], R], write: Callable[[R, list[T]], object], close: Callable[[R], object]
    ) -> None:
        self._open = open
        self._write = write
        self._close = close
        self._resources: list[R] = []
        """The open one, if any."""

    def open(self) -> None:
        self._resources.append(self._open())

    def write(self, records: Any) -> None:
        self._write(self._resources[0], records)

    def close(self) -> None:
        if self._resources:
            self._close(self._resources.pop())
