"""Where chunks end: foreach, fold, to_list, ignore, head, last, write_to.

Owns the sinks and how they drive a stream: pull, work, settle, until the end; then close what is above. What a sink
has handled it confirms and counts as written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.graph import Sink
from teleporter_lab.engine.stage import PLENTY, Stage, Terminal, close_each, close_fully
from teleporter_lab.engine.stages.timing import Gather
from teleporter_lab.engine.stages.transform import Take
from teleporter_lab.engine.supervision import Action, Supervised, supervise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.endpoints import BlockingWriter, Writer
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")
M = TypeVar("M")

BATCH_SIZE = 2000
"""Records a writer gets at once, unless its config says otherwise."""

BATCH_SECONDS = 0.1
"""How long a writer's batch may wait to become full."""


def foreach(function: Callable[[T], object]) -> Sink[T, None]:
    """Calls `function(x)` for each element. Supervised."""
    name = f"foreach({getattr(function, '__name__', 'function')})"
    return Sink(name, lambda m, up: Drain(_Foreach(up, m, name, function)))


def ignore() -> Sink[Any, None]:
    """Takes everything and does nothing with it."""
    return Sink("ignore", lambda _, up: Drain(up))


def fold(zero: M, function: Callable[[M, T], M]) -> Sink[T, M]:
    """`function(function(zero, x1), x2)…` over all elements. Supervised: an element left out does not count."""
    name = f"fold({getattr(function, '__name__', 'function')})"
    return Sink(name, lambda m, up: _Fold(up, m, name, zero, function))


def to_list() -> Sink[T, list[T]]:
    """All elements in a list; for streams that end and fit into memory."""
    return Sink("to_list", lambda _, up: _ToList[Any](up))


def head() -> Sink[T, T | None]:
    """The first element, None when there is none; what is above is closed after it."""
    return Sink("head", lambda _, up: _Last[Any](Take(up, 1)))


def last() -> Sink[T, T | None]:
    """The last element, None when there is none."""
    return Sink("last", lambda _, up: _Last[Any](up))


def write_to(
    name: str, make: Callable[[], Writer[T]], size: int = BATCH_SIZE, seconds: float = BATCH_SECONDS
) -> Sink[T, None]:
    """Gives a fresh writer made by `make` batches of up to `size` records, each waiting `seconds` at the most.

    The next batch is gathered while one is written. A batch that fails goes through the supervision as one element:
    retried, skipped, or the end of the stream. Records are confirmed when their batch is stored.
    """
    return Sink(name, lambda m, up: WriteTo(up, m, name, make(), (size, seconds)))


def write_to_blocking(
    name: str, make: Callable[[], BlockingWriter[T]], size: int = BATCH_SIZE, seconds: float = BATCH_SECONDS
) -> Sink[T, None]:
    """Like `write_to`, for a writer that blocks: it works in a driver thread, a batch a call."""
    return Sink(name, lambda m, up: WriteTo(up, m, name, _InThread(make(), m), (size, seconds)))


class Drain(Terminal[None]):
    """Pulls to the end; everything was done above."""

    __slots__ = ("_upstream",)

    def __init__(self, upstream: Stage[Any]) -> None:
        self._upstream = upstream

    async def run(self) -> None:
        upstream = self._upstream
        try:
            while (chunk := await upstream.pull(PLENTY)) is not None:
                chunk.written()
        finally:
            await close_fully(upstream.close)


class _Foreach(Supervised[T, T]):
    __slots__ = ("_function",)

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, function: Callable[[T], object]) -> None:
        super().__init__(upstream, m, name)
        self._function = function

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        function, add = self._function, out.append
        for element in elements:
            function(element)
            add(element)


class _Fold(Supervised[T, T], Terminal[M], Generic[T, M]):
    __slots__ = ("_function", "_state")

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, zero: M, function: Callable[[M, T], M]) -> None:
        super().__init__(upstream, m, name)
        self._state = zero
        self._function = function

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        function, add = self._function, out.append
        for element in elements:
            self._state = function(self._state, element)
            add(element)

    async def run(self) -> M:
        await Drain(self).run()
        return self._state


class _ToList(Terminal[list[T]], Generic[T]):
    __slots__ = ("_upstream",)

    def __init__(self, upstream: Stage[T]) -> None:
        self._upstream = upstream

    async def run(self) -> list[T]:
        elements: list[T] = []
        try:
            while (chunk := await self._upstream.pull(PLENTY)) is not None:
                elements += chunk.data
                chunk.written()
        finally:
            await close_fully(self._upstream.close)
        return elements


class _Last(Terminal["T | None"], Generic[T]):
    __slots__ = ("_upstream",)

    def __init__(self, upstream: Stage[T]) -> None:
        self._upstream = upstream

    async def run(self) -> T | None:
        element: T | None = None
        try:
            while (chunk := await self._upstream.pull(PLENTY)) is not None:
                element = chunk.data[-1]
                chunk.written()
        finally:
            await close_fully(self._upstream.close)
        return element


class WriteTo(Terminal[None], Generic[T]):
    """A writer as a sink."""

    __slots__ = ("_gather", "_m", "_name", "_size", "_writer")

    def __init__(
        self, upstream: Stage[T], m: Materializer, name: str, writer: Writer[T] | _InThread[T],
        batch: tuple[int, float],
    ) -> None:  # fmt: skip
        self._size, seconds = batch
        self._m = m
        self._name = name
        self._writer = writer
        self._gather = Gather(upstream, m, seconds)

    async def run(self) -> None:
        try:
            await self._writer.open()
            while (chunk := await self._gather.pull(self._size)) is not None:
                self._gather.collect(self._size)
                await self._write(chunk)
        finally:
            await close_fully(self._close)

    async def _close(self) -> None:
        await close_each(self._gather.close, self._writer.close)

    async def _write(self, chunk: Chunk[T]) -> None:
        try:
            await self._writer.write(chunk.data)
        except Exception as error:  # noqa: BLE001 - goes to the supervision
            if not await self._stored_after(error, chunk):
                chunk.skipped()
                return
        chunk.written()

    async def _stored_after(self, error: Exception, chunk: Chunk[T]) -> bool:
        """Whether the batch was stored in the end; raises when the stream has to stop."""

        async def again() -> None:
            await self._writer.write(chunk.data)

        try:
            return await supervise(self._m, self._name, again, chunk.data, error) is Action.RETRY
        except Exception as final:
            chunk.nack(final)
            raise


class _InThread(Generic[T]):
    """A blocking writer seen as a `Writer`. A cancelled write is waited for before the writer is closed."""

    __slots__ = ("_calls", "_writer")

    def __init__(self, writer: BlockingWriter[T], m: Materializer) -> None:
        self._writer = writer
        self._calls: OneCall[None] = OneCall(m.runtime.threads)

    async def open(self) -> None:
        await self._calls.call(self._writer.open)

    async def write(self, records: list[T]) -> None:
        await self._calls.call(self._writer.write, records)

    async def close(self) -> None:
        await self._calls.settle()
        await self._calls.call(self._writer.close)
