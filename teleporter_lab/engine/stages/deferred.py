"""Ends that are made while the stream runs: lazy_source, lazy_sink, future_source, maybe.

Owns what stands in for them until then. Refuses to publish values of what is made late: whoever started the stream has
asked for them before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import FAILURES, RowsNeeded, failure_of
from teleporter_lab.engine.graph import Sink, Source, source
from teleporter_lab.engine.operators import named
from teleporter_lab.engine.stage import Stage, Terminal, Through, close_fully, give_up
from teleporter_lab.engine.stages.nesting import inside
from teleporter_lab.engine.trials import own_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")
M = TypeVar("M")


def lazy_source(make: Callable[[], Source[T]]) -> Source[T]:
    """The source that `make()` gives, made when something below asks for the first time.

    What that source publishes cannot be asked for.

    Emits when: the source does.
    Completes when: the source does.
    Supervised: no. An error of `make` fails the stream.
    """
    return source(named("lazy_source", make), lambda m: Lazy(m, make))


def future_source(make: Callable[[], Awaitable[T]]) -> Source[T]:
    """The one element that `await make()` gives; `make` is called when something below asks for the first time.

    It is waited for in a task of its own, so that a pull that is cancelled does not break it off.

    Emits when: the element is there.
    Completes when: the element was given.
    Supervised: no. An error of `make` fails the stream.
    Like: Pekko's future.
    """
    return source(named("future_source", make), lambda m: FutureSource(m, make))


@overload
def maybe() -> Source[Any]: ...
@overload
def maybe(of: type[T]) -> Source[T]: ...
def maybe(of: object = None) -> Source[Any]:
    """One element or none, as a `MaybeValue` says, which is published. `maybe(str)` says the type to type checkers.

    Emits when: an element was set.
    Waits when: nothing was set yet.
    Completes when: the element was given, or None was set.
    """

    def attach(m: Materializer) -> Stage[Any]:
        value: MaybeValue[Any] = MaybeValue()
        m.publish(value)
        return Maybe(m, value)

    return source("maybe", attach)


def lazy_sink(make: Callable[[T], Sink[T, M]]) -> Sink[T, M | None]:
    """The sink that `make(first element)` gives, which gets that element too; its result, or None without elements.

    What that sink publishes cannot be asked for.

    Takes when: the sink does; the first element at once.
    Cancels when: the sink does.
    Tokens: as the sink does.
    Supervised: no. An error of `make` fails the stream.
    """
    return Sink(named("lazy_sink", make), lambda m, up: LazySink[Any, Any](up, m, make))


class Lazy(Stage[T]):
    __slots__ = ("_failure", "_m", "_make", "_stage")

    def __init__(self, m: Materializer, make: Callable[[], Source[T]]) -> None:
        super().__init__()
        self._m = inside(m)
        self._make = make
        self._stage: Stage[T] | None = None
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._stage is None and self._failure is None:
            try:
                self._stage = self._make().attach(self._m)
            except FAILURES as error:
                self._failure = failure_of(error)
        if self._stage is None:
            raise self._failure or AssertionError("neither made nor failed")
        return await self._stage.pull(n)

    async def on_close(self) -> None:
        if self._stage is not None:
            await self._stage.close()


class _Awaited(Stage[T]):
    """One element, waited for."""

    __slots__ = ("_make", "_over")

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        super().__init__()
        self._make = make
        self._over = False

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._over:
            return None
        try:
            element = await self._make()
        except FAILURES as error:
            failure = own_failure(error)
        else:
            self._over = True
            return Chunk([element])
        raise failure


class FutureSource(Stage[T]):
    __slots__ = ("_ahead", "_pace")

    def __init__(self, m: Materializer, make: Callable[[], Awaitable[T]]) -> None:
        super().__init__()
        self._ahead = Ahead(_Awaited(make), m.spawn)
        self._pace = m.pace()

    async def pull(self, n: int) -> Chunk[T] | None:
        task = self._ahead.start(1)
        if not task.done():
            await asyncio.wait((task,))
        await self._pace.turn()
        return self._ahead.take(n)

    async def on_close(self) -> None:
        await self._ahead.close()


class MaybeValue(Generic[T]):
    """What a `maybe` source waits for. The first call counts; a later one, or one after the stream, says False."""

    __slots__ = ("_decided", "_element", "_error", "_open")

    def __init__(self) -> None:
        self._decided = asyncio.Event()
        self._open = True
        self._element: T | None = None
        self._error: Exception | None = None

    def set(self, element: T | None) -> bool:
        """Gives the element, or the end without one. Whether this call decided."""
        return self._decide(element, None)

    def fail(self, error: Exception) -> bool:
        """Fails the stream with `error`. Whether this call decided."""
        return self._decide(None, error)

    def _decide(self, element: T | None, error: Exception | None) -> bool:
        if not self._open:
            return False
        self._open = False
        self._element, self._error = element, error
        self._decided.set()
        return True

    def close(self) -> None:
        """The stream waits no more."""
        self._open = False

    async def outcome(self) -> T | None:
        """What was set, waiting for it. Raises what it was failed with."""
        await self._decided.wait()
        if self._error is not None:
            raise self._error
        return self._element


class Maybe(Stage[T]):
    __slots__ = ("_over", "_pace", "_value")

    def __init__(self, m: Materializer, value: MaybeValue[T]) -> None:
        super().__init__()
        self._value = value
        self._pace = m.pace()
        self._over = False

    async def pull(self, n: int) -> Chunk[T] | None:
        element = await self._value.outcome()
        if element is None or self._over:
            return None
        await self._pace.turn()
        self._over = True
        return Chunk([element])

    async def on_close(self) -> None:
        self._value.close()


class LazySink(Terminal["M | None"], Generic[T, M]):
    __slots__ = ("_m", "_make", "_upstream")

    def __init__(self, upstream: Stage[T], m: Materializer, make: Callable[[T], Sink[T, M]]) -> None:
        self._upstream = upstream
        self._m = m
        self._make = make

    async def run(self) -> M | None:
        upstream = self._upstream
        try:
            terminal = await self._made()
        except BaseException as error:
            await give_up(upstream.close, error)
            raise
        if terminal is None:
            await close_fully(upstream.close)
            return None
        return await terminal.run()

    async def _made(self) -> Terminal[M] | None:
        """The sink, when there is a first element."""
        first = await self._upstream.pull(1)
        if first is None:
            return None
        try:
            if type(first.data) is not list:
                raise RowsNeeded("lazy_sink")
            return self._make(first.data[0]).attach(self._m, _Begun(self._upstream, first))
        except FAILURES as error:
            failure = failure_of(error)
        first.refuse(failure)
        raise failure


class _Begun(Through[T, T]):
    """A stage whose first chunk was taken, put back."""

    __slots__ = ("_first",)

    def __init__(self, upstream: Stage[T], first: Chunk[T]) -> None:
        super().__init__(upstream)
        self._first: Chunk[T] | None = first

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._first is None:
            return await self.upstream.pull(n)
        first, self._first = self._first, None
        return first
