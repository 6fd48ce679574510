"""Where records go to a system outside: write_to, write_to_blocking, resource_sink.

Owns the batches of a writer: gathered by size and time while others are written, one at a time or several in lanes.
`storing` has what becomes of them, `marking` the sinks that are exactly once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.graph import Sink
from teleporter_lab.engine.lanes import Lanes
from teleporter_lab.engine.operators import named
from teleporter_lab.engine.plain_writers import Functions, InThread, OnLoop
from teleporter_lab.engine.stage import PLENTY, Stage, Terminal, close_each, close_fully, give_up, stop
from teleporter_lab.engine.stages.timing import Gather
from teleporter_lab.engine.storing import Storing

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.endpoints import BlockingWriter, Writer
    from teleporter_lab.engine.lanes import Keys
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")
R = TypeVar("R")

BATCH_SIZE = 2000
"""Records a writer gets at once, unless its config says otherwise."""

BATCH_SECONDS = 0.1
"""How long a writer's batch may wait to become full."""


def write_to(
    name: str, make: Callable[[], Writer[T]], size: int = BATCH_SIZE, seconds: float = BATCH_SECONDS
) -> Sink[T, None]:
    """Gives a fresh writer made by `make` batches of up to `size` records, each waiting `seconds` at the most.

    The next batch is gathered while one is written. A writer with an attribute `columnar = True` gets batches of
    columns where the stream carries them; any other fails a stream that does.

    A writer with an attribute `parallel` above 1 gets so many batches at once, as long as they have no key in common:
    `keys_of(records)` gives the keys of a batch, None for any. One without the method gets them one by one. A batch
    holds its keys until it is stored, however often it has to be tried, so that records of a key keep their order.

    A batch that fails may hold good records. Where a rule leaves it out it is halved until the records are found that
    fail by themselves, each of which is decided about; all others are stored. A writer saves the search that raises
    RecordsRefused, or BadRecord with an `index`. What fails because the system is away (AddressUnreachable, a lost
    connection, no answer in time) is never halved.

    Takes when: a batch has room, one being gathered and `parallel` being written.
    Tokens: confirmed when the batch is stored, whichever batch is first.
    Supervised: yes, by batch. retry writes it again; reload closes the writer, opens a fresh one and writes the same
        batch; resume leaves out and deadLetter puts aside the records of it that fail.
    """
    check_batch(size, seconds)
    return Sink(name, lambda m, up: _writes(Gather(up, m, seconds), size, Storing(m, name, make)))


def write_to_blocking(
    name: str, make: Callable[[], BlockingWriter[T]], size: int = BATCH_SIZE, seconds: float = BATCH_SECONDS
) -> Sink[T, None]:
    """Like `write_to`, for a writer that blocks: it works in a driver thread, a batch a call, one at a time.

    Takes when: a batch has room, one being written and one being gathered.
    Tokens: confirmed when the batch is stored.
    Supervised: yes, by batch, like `write_to`.
    """
    check_batch(size, seconds)

    def end(m: Materializer, upstream: Stage[Any]) -> Terminal[None]:
        storing = Storing(m, name, lambda: InThread(make(), m.runtime.threads))
        return WriteTo(Gather(upstream, m, seconds), size, storing)

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
            resource: BlockingWriter[Any] = Functions(open, write, close)
            return InThread[Any](resource, m.runtime.threads) if blocking else OnLoop[Any](resource, m.busy)

        return WriteEach(upstream, Storing(m, name, make))

    return Sink(name, end)


def check_batch(size: int, seconds: float) -> None:
    """Raises ValueError for a size or a time that no batch can have."""
    if size < 1 or seconds < 0:
        raise ValueError(f"A writer's batches need a size of 1 or more and seconds of 0 or more, not {size}, {seconds}")


def _writes(gather: Gather[T], size: int, storing: Storing[T]) -> Terminal[None]:
    return WriteTo(gather, size, storing) if storing.parallel == 1 else WriteInLanes(gather, size, storing)


class WriteTo(Terminal[None], Generic[T]):
    """Batches to a writer; the next one is gathered while one is written."""

    __slots__ = ("_gather", "_size", "_storing")

    def __init__(self, gather: Gather[T], size: int, storing: Storing[T]) -> None:
        self._gather = gather
        self._size = size
        self._storing = storing

    async def run(self) -> None:
        async def close() -> None:
            await close_each(self._gather.close, self._storing.close)

        try:
            await self._storing.open()
            while (chunk := await self._gather.pull(self._size)) is not None:
                self._gather.collect(self._size)
                await self._storing.write(chunk)
        except BaseException as error:
            await give_up(close, error)
            raise
        await close_fully(close)


class WriteInLanes(Terminal[None], Generic[T]):
    """Several batches at once to a writer, each in a task; the next one is gathered meanwhile.

    A batch that fails the stream ends the others: what they were writing stays un-confirmed.
    """

    __slots__ = ("_gather", "_lanes", "_pulling", "_size", "_storing", "_writes")

    def __init__(self, gather: Gather[T], size: int, storing: Storing[T]) -> None:
        self._gather = gather
        self._size = size
        self._storing = storing
        self._lanes = Lanes(storing.parallel)
        self._writes: dict[asyncio.Task[None], int] = {}
        """Those that run or were not looked at since, with their lanes."""
        self._pulling: asyncio.Task[Chunk[T] | None] | None = None

    async def run(self) -> None:
        try:
            await self._storing.open()
            while (chunk := await self._next()) is not None:
                keys = self._storing.keys_of(chunk)
                while not self._lanes.may_start(keys):
                    await self._some_end()
                self._start(chunk, keys)
            await self._all_end()
        except BaseException as error:
            await give_up(self._close, error)
            raise
        await close_fully(self._close)

    async def _next(self) -> Chunk[T] | None:
        """The next batch; raises at once what a batch before it fails with."""
        self._pulling = asyncio.create_task(self._gather.pull(self._size))
        while not self._pulling.done():
            await self._some_end(self._pulling)
        pulled, self._pulling = self._pulling, None
        try:
            chunk = pulled.result()
        except Exception:
            await self._all_end()  # what came before an error from above is stored
            raise
        self._gather.collect(self._size)
        return chunk

    def _start(self, chunk: Chunk[T], keys: Keys) -> None:
        self._writes[asyncio.create_task(self._storing.write(chunk))] = self._lanes.start(keys)

    async def _all_end(self) -> None:
        while self._writes:
            await self._some_end()

    async def _some_end(self, *others: asyncio.Task[Any]) -> None:
        """Waits until a write has ended, or one of `others`. Raises what a write has failed with."""
        await asyncio.wait((*self._writes, *others), return_when=asyncio.FIRST_COMPLETED)
        for write in [write for write in self._writes if write.done()]:
            self._lanes.end(self._writes.pop(write))
            write.result()

    async def _close(self) -> None:
        await close_each(self._end_writes, self._gather.close, self._storing.close)

    async def _end_writes(self) -> None:
        """Stops what still runs. Raises what fails beside the write that has failed the stream."""
        left: list[asyncio.Task[Any]] = [*self._writes, *([self._pulling] if self._pulling is not None else [])]
        for task in left:
            stop(task)
        if left:
            await asyncio.wait(left)
        failures = [error for task in left if not task.cancelled() and (error := task.exception())]
        if failures:
            raise failures[0]


class WriteEach(Terminal[None], Generic[T]):
    """Chunks to a writer, as they come."""

    __slots__ = ("_storing", "_upstream")

    def __init__(self, upstream: Stage[T], storing: Storing[T]) -> None:
        self._upstream = upstream
        self._storing = storing

    async def run(self) -> None:
        async def close() -> None:
            await close_each(self._upstream.close, self._storing.close)

        try:
            await self._storing.open()
            while (chunk := await self._upstream.pull(PLENTY)) is not None:
                await self._storing.write(chunk)
        except BaseException as error:
            await give_up(close, error)
            raise
        await close_fully(close)
