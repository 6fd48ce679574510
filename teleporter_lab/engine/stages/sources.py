"""Where chunks are born: iterate, async_iterate, single, empty, failed, tick, unfold, read_from.

Owns the sources and their stages. A source waits for its turn before it hands down a chunk and gives no more than its
pace allows, so that no stream holds the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import failure_of
from teleporter_lab.engine.graph import Source, source
from teleporter_lab.engine.stage import Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

    from teleporter_lab.engine.endpoints import BlockingReader, Position, Reader
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")
S = TypeVar("S")


def iterate(elements: Iterable[T]) -> Source[T]:
    """The elements of `elements`, asked for anew in each run. An error of the iterable fails the stream."""
    return source("iterate", lambda m: Iterate(m, elements))


def single(element: T) -> Source[T]:
    """One element, then the end."""
    return source("single", lambda m: Iterate(m, (element,)))


def empty() -> Source[Any]:
    """The end."""
    return source("empty", lambda m: Iterate(m, ()))


def failed(error: Exception) -> Source[Any]:
    """Fails with `error` at once."""
    return source("failed", lambda _: Failed(error))


def async_iterate(elements: AsyncIterable[T]) -> Source[T]:
    """The elements of an asynchronous iterable, one a chunk, as each is waited for."""
    return source("async_iterate", lambda m: AsyncIterate(m, elements))


def tick(seconds: float, element: T, initial: float = 0.0) -> Source[T]:
    """`element` after `initial` seconds and then each `seconds`; ticks that nobody asked for in time are left out."""
    if seconds <= 0:
        raise ValueError(f"tick needs seconds > 0, not {seconds}")
    return source(f"tick({seconds}s)", lambda m: Tick(m, seconds, element, initial))


def unfold(state: S, function: Callable[[S], tuple[S, T] | None]) -> Source[T]:
    """Gives `element` for each `function(state) -> (next state, element)`, and ends when it returns None."""

    def elements() -> Iterator[T]:
        now = state
        while (step := function(now)) is not None:
            now, element = step
            yield element

    return source("unfold", lambda m: Iterate(m, elements()))


def read_from(name: str, make: Callable[[], Reader[T]], position: Position | None = None) -> Source[T]:
    """What a fresh reader made by `make` gives, from just after `position` (None: from the start)."""
    return source(name, lambda m: ReadFrom(m, make(), position))


def read_from_blocking(name: str, make: Callable[[], BlockingReader[T]], position: Position | None = None) -> Source[T]:
    """Like `read_from`, for a reader that blocks: it works in a driver thread, a chunk a call."""
    return source(name, lambda m: ReadFrom(m, _InThread(make(), m), position))


class Iterate(Stage[T]):
    """A generator that the iterable made for this run is closed with it."""

    __slots__ = ("_elements", "_failure", "_over", "_owned", "_pace")

    def __init__(self, m: Materializer, elements: Iterable[T]) -> None:
        super().__init__()
        self._pace = m.pace()
        self._elements = iter(elements)
        self._owned = self._elements is not elements
        self._over = False
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._over:
            return self._end()
        n = self._pace.fit(n)
        await self._pace.turn()
        data: list[T] = []
        try:
            data.extend(islice(self._elements, n))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised when everything before it went out
            self._failure = failure_of(error)
        self._over = not data or self._failure is not None
        if not data:
            return self._end()
        self._pace.gave(len(data))
        return Chunk(data)

    def _end(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def on_close(self) -> None:
        close = getattr(self._elements, "close", None)
        if self._owned and close is not None:
            close()


class Failed(Stage[Any]):
    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def pull(self, n: int) -> Chunk[Any] | None:
        raise self._error


class AsyncIterate(Stage[T]):
    __slots__ = ("_broken_off", "_elements", "_failure", "_held", "_over", "_pace")

    def __init__(self, m: Materializer, elements: AsyncIterable[T]) -> None:
        super().__init__()
        self._pace = m.pace()
        self._elements: AsyncIterator[T] = aiter(elements)
        self._held: list[T] = []
        self._broken_off = False
        self._over = False
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if not self._held and not self._over:
            await self._next()
        if not self._held:
            if self._failure is not None:
                raise self._failure
            return None
        await self._pace.turn()
        chunk, self._held = Chunk(self._held), []
        return chunk

    async def _next(self) -> None:
        try:
            self._held = [await anext(self._elements)]
        except StopAsyncIteration:
            self._over = True
            if self._broken_off and isinstance(self._elements, AsyncGenerator):
                self._failure = RuntimeError(
                    "The asynchronous generator was cancelled, so its end is not the real one."
                )
        except asyncio.CancelledError:
            self._broken_off = True
            raise
        except Exception as error:  # noqa: BLE001 - raised by pull, now and later
            self._over, self._failure = True, error

    async def on_close(self) -> None:
        close = getattr(self._elements, "aclose", None)
        if close is not None:
            await close()


class Tick(Stage[T]):
    __slots__ = ("_clock", "_element", "_next", "_pace", "_seconds")

    def __init__(self, m: Materializer, seconds: float, element: T, initial: float) -> None:
        super().__init__()
        self._clock = m.clock
        self._pace = m.pace()
        self._seconds = seconds
        self._element = element
        self._next = m.clock.now() + initial

    async def pull(self, n: int) -> Chunk[T] | None:
        early = self._next - self._clock.now()
        if early > 0:
            await self._clock.sleep(early)
        await self._pace.turn()
        late = max(0.0, self._clock.now() - self._next)
        self._next += self._seconds * (1 + late // self._seconds)
        return Chunk([self._element])


class ReadFrom(Stage[T]):
    """A reader as a source; opened by the first pull. A read that failed is tried again by the next pull."""

    __slots__ = ("_held", "_opened", "_over", "_pace", "_position", "_reader")

    def __init__(self, m: Materializer, reader: Reader[T] | _InThread[T], start: Position | None) -> None:
        super().__init__()
        self._pace = m.pace()
        self._reader = reader
        self._position = start
        self._opened = False
        self._over = False
        self._held: list[T] = []

    @property
    def position(self) -> Position:
        """Just after the last record of the last chunk, or before it, where a part of what was read is held back."""
        return self._position

    async def pull(self, n: int) -> Chunk[T] | None:
        n = self._pace.fit(n)
        while not self._held:
            if self._over:
                return None
            await self._read(n)
            await self._pace.turn()
        data, self._held = self._held, self._held[n:]
        if self._held:
            data = data[:n]
        else:
            self._position = self._reader.position
        self._pace.gave(len(data))
        return Chunk(data)

    async def _read(self, n: int) -> None:
        if not self._opened:
            await self._reader.open(self._position)
            self._opened = True
        data = await self._reader.read(n)
        if data is None:
            self._over = True
        else:
            self._held = data

    async def on_close(self) -> None:
        await self._reader.close()


class _InThread(Generic[T]):
    """A blocking reader seen as a `Reader`. A cancelled read goes on in its thread and is given by the next one."""

    __slots__ = ("_calls", "_reader", "position")

    def __init__(self, reader: BlockingReader[T], m: Materializer) -> None:
        self._reader = reader
        self._calls: OneCall[Any] = OneCall(m.runtime.threads)
        self.position: Position = None

    async def open(self, position: Position | None) -> None:
        await self._calls.call(self._reader.open, position)

    async def read(self, n: int) -> list[T] | None:
        data, self.position = await self._calls.call(self._read, n)
        return data

    def _read(self, n: int) -> tuple[list[T] | None, Position]:
        data = self._reader.read(n)
        return data, self._reader.position

    async def close(self) -> None:
        await self._calls.settle()
        await self._calls.call(self._reader.close)
