"""Where chunks are born: iterate, async_iterate, single, empty, failed, range_of, repeat, cycle, tick, never.

Owns the sources that need nothing but what they are given; readers are in `reading`, sources of one element a call in
`unfolding`, those that are filled or made later in `queues` and `deferred`. A source waits for its turn before it hands
down a chunk and gives no more than its pace allows, so that no stream holds the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import islice
from itertools import repeat as repeated
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import FAILURES, failure_of
from teleporter_lab.engine.graph import Source, source
from teleporter_lab.engine.operators import named
from teleporter_lab.engine.stage import Stage
from teleporter_lab.engine.trials import own_failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")


def iterate(elements: Iterable[T]) -> Source[T]:
    """The elements of `elements`, asked for anew in each run. An iterator is used up by the first run.

    Emits when: something below asks.
    Completes when: the iterable ends. Its error fails the stream.
    Like: Pekko's fromIterator.
    """
    return source("iterate", lambda m: Iterate(m, elements))


def single(element: T) -> Source[T]:
    """One element.

    Emits when: something below asks.
    Completes when: the element was given.
    """
    return source("single", lambda m: Iterate(m, (element,)))


def empty() -> Source[Any]:
    """The end.

    Emits when: never.
    Completes when: something below asks.
    """
    return source("empty", lambda m: Iterate(m, ()))


def failed(error: Exception) -> Source[Any]:
    """Fails with `error` at once.

    Emits when: never.
    Completes when: never; it fails when something below asks.
    """
    return source("failed", lambda _: Failed(error))


def never() -> Source[Any]:
    """Gives nothing and does not end: a stream that waits until it is stopped.

    Emits when: never.
    Completes when: never.
    """
    return source("never", lambda _: Never())


def range_of(start: int, stop: int, step: int = 1) -> Source[int]:
    """The numbers of `range(start, stop, step)`.

    Emits when: something below asks.
    Completes when: the last number was given.
    Like: Pekko's range, which includes its end.
    """
    if step == 0:
        raise ValueError("range_of needs a step that is not 0.")
    return source(f"range_of({start}, {stop})", lambda m: Iterate(m, range(start, stop, step)))


def repeat(element: T) -> Source[T]:
    """The same element over and over.

    Emits when: something below asks.
    Completes when: never.
    """
    return source("repeat", lambda m: Iterate(m, repeated(element)))


def cycle(make: Callable[[], Iterable[T]]) -> Source[T]:
    """The elements of `make()`, then those of another `make()`, and so on.

    Emits when: something below asks.
    Completes when: never. An iterable without elements fails the stream with ValueError.
    """
    return source(named("cycle", make), lambda m: Iterate(m, _Rounds(make)))


def async_iterate(elements: AsyncIterable[T]) -> Source[T]:
    """The elements of an asynchronous iterable, one a chunk, as each is waited for.

    Emits when: the iterable has given its next element.
    Completes when: the iterable ends. Its error fails the stream.
    """
    return source("async_iterate", lambda m: AsyncIterate(m, elements))


def tick(seconds: float, element: T, initial: float = 0.0) -> Source[T]:
    """`element` after `initial` seconds and then each `seconds`; ticks that nobody asked for in time are left out.

    Emits when: it is time and something below asks.
    Completes when: never.
    """
    if seconds <= 0 or initial < 0:
        raise ValueError(f"tick needs seconds > 0 and initial >= 0, not {seconds} and {initial}")
    return source(f"tick({seconds}s)", lambda m: Tick(m, seconds, element, initial))


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
        except FAILURES as error:
            self._failure = failure_of(error)  # raised when everything before it went out
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


class _Rounds(Generic[T]):
    """The elements of one iterable after the other."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Iterable[T]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[T]:
        while True:
            empty = True
            for element in self._make():
                empty = False
                yield element
            if empty:
                raise ValueError("cycle needs a function that gives an iterable of one element or more each time.")


class Failed(Stage[Any]):
    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def pull(self, n: int) -> Chunk[Any] | None:
        raise self._error


class Never(Stage[Any]):
    __slots__ = ()

    async def pull(self, n: int) -> Chunk[Any] | None:
        await asyncio.get_running_loop().create_future()


class AsyncIterate(Stage[T]):
    __slots__ = ("_broken_off", "_elements", "_failure", "_held", "_over", "_pace")

    def __init__(self, m: Materializer, elements: AsyncIterable[T]) -> None:
        super().__init__()
        self._pace = m.pace()
        self._elements: AsyncIterator[T] = aiter(elements)
        self._held: list[T] | None = None
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
        chunk, self._held = Chunk(self._held), None
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
        except FAILURES as error:
            self._broken_off = True
            self._failure = own_failure(error)  # raised by pull, now and later
            self._over = True

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
