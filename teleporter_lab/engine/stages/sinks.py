# pyright: reportInvalidTypeVarUse=false
"""Where chunks end: foreach, foreach_async, ignore, cancelled, on_complete, head, last, take_last, to_list, count.

Owns these sinks and how they drive a stream: pull, work, settle, until the end; then close what is above. What a sink
has handled it confirms and counts as written. Sinks that compute something are in `folding_sinks`, those that write to
a system outside in `writing`, those that somebody else empties in `outlets`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.failure import FAILURES, RowsNeeded, failure_of
from teleporter_lab.engine.graph import Sink
from teleporter_lab.engine.operators import named
from teleporter_lab.engine.pool import MapAsyncUnordered
from teleporter_lab.engine.stage import PLENTY, Stage, Terminal, close_fully, give_up
from teleporter_lab.engine.stages.transform import Rows
from teleporter_lab.engine.supervision import Supervised

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")
"""Also what a sink takes that takes anything: with Any there, type checkers lose the result of the graph."""
M = TypeVar("M")


def foreach(function: Callable[[T], object], *, blocking: bool = False) -> Sink[T, None]:
    """Calls `function(x)` for each element; with `blocking` in a driver thread, a chunk a call.

    Takes when: the function has returned.
    Tokens: confirmed when the function has returned for a chunk.
    Supervised: yes, by element.
    """
    name = named("foreach", function)
    return Sink(name, lambda m, up: Drain(Foreach(up, m, name, function, blocking)))


def foreach_async(parallelism: int, function: Callable[[T], Awaitable[object]]) -> Sink[T, None]:
    """Awaits `function(x)` for each element, up to `parallelism` at a time, in any order.

    Takes when: fewer than `parallelism` calls run.
    Tokens: confirmed when the calls for all elements of a chunk have returned.
    Supervised: yes, by element.
    """
    if parallelism < 1:
        raise ValueError(f"foreach_async needs a parallelism of 1 or more, not {parallelism}.")
    name = named("foreach_async", function)

    def end(m: Materializer, upstream: Stage[Any]) -> Terminal[None]:
        return Drain(MapAsyncUnordered(Rows(upstream, m, name), m, name, function, parallelism))

    return Sink(name, end)


def ignore() -> Sink[T, None]:
    """Takes everything and does nothing with it.

    Takes when: there is input.
    Tokens: confirmed when it was taken.
    """
    return Sink("ignore", lambda _, up: Drain(up))


def cancelled() -> Sink[T, None]:
    """Takes nothing.

    Takes when: never.
    Cancels when: at once.
    """
    return Sink("cancelled", lambda _, up: _Cancelled(up))


def on_complete(function: Callable[[BaseException | None], object]) -> Sink[T, None]:
    """Ignores the elements and calls `function(None)` at the end, or `function(error)` when the stream failed here.

    It is called once, when everything above is closed; the error goes on. A stream that is stopped hard is one that
    failed with CancelledError.

    Takes when: there is input.
    Tokens: confirmed when it was taken.
    Supervised: no. An error of `function` fails the stream.
    """
    return Sink(named("on_complete", function), lambda _, up: _OnComplete(up, function))


def head() -> Sink[T, T | None]:
    """The first element, None when there is none.

    Takes when: there is input.
    Cancels when: it has the first element.
    Tokens: confirmed when it was taken.
    Like: Pekko's headOption.
    """
    return Sink("head", lambda _, up: _Head[Any]("head", up))


def last() -> Sink[T, T | None]:
    """The last element, None when there is none.

    Takes when: there is input.
    Tokens: confirmed when it was taken.
    Like: Pekko's lastOption.
    """
    return Sink("last", lambda _, up: _Last[Any]("last", up))


def take_last(n: int) -> Sink[T, list[T]]:
    """The last `n` elements in a list, fewer when there are fewer.

    Takes when: there is input.
    Tokens: confirmed when it was taken.
    """
    if n < 1:
        raise ValueError(f"take_last needs a number of 1 or more, not {n}.")
    return Sink(f"take_last({n})", lambda _, up: _TakeLast[Any](up, n))


def to_list() -> Sink[T, list[T]]:
    """All elements in a list; for streams that end and fit into memory.

    Takes when: there is input.
    Tokens: confirmed when it was taken.
    Like: Pekko's seq.
    """
    return Sink("to_list", lambda _, up: _ToList[Any](up))


def count() -> Sink[T, int]:
    """The number of elements; of columns, the number of rows.

    Takes when: there is input.
    Tokens: confirmed when it was taken.
    """
    return Sink("count", lambda _, up: _Count(up))


class Drain(Terminal[None]):
    """Pulls to the end; everything was done above."""

    __slots__ = ("upstream",)

    def __init__(self, upstream: Stage[Any]) -> None:
        self.upstream = upstream

    async def run(self) -> None:
        upstream = self.upstream
        try:
            while (chunk := await upstream.pull(PLENTY)) is not None:
                chunk.written()
                chunk = None  # its elements make room before the next ones are made
        except BaseException as error:
            await give_up(upstream.close, error)
            raise
        await close_fully(upstream.close)


class Foreach(Supervised[T, T]):
    __slots__ = ("_function",)

    def __init__(
        self, upstream: Stage[T], m: Materializer, name: str, function: Callable[[T], object], blocking: bool
    ) -> None:
        super().__init__(upstream, m, name, blocking)
        self._function = function

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        function, add = self._function, out.append
        for element in elements:
            function(element)
            add(element)


class _Cancelled(Terminal[None]):
    __slots__ = ("upstream",)

    def __init__(self, upstream: Stage[Any]) -> None:
        self.upstream = upstream

    async def run(self) -> None:
        await close_fully(self.upstream.close)


class _OnComplete(Drain):
    __slots__ = ("_function",)

    def __init__(self, upstream: Stage[Any], function: Callable[[BaseException | None], object]) -> None:
        super().__init__(upstream)
        self._function = function

    async def run(self) -> None:
        try:
            await super().run()
        except BaseException as error:
            self._tell(error)
            raise
        self._tell(None)

    def _tell(self, error: BaseException | None) -> None:
        try:
            self._function(error)
        except FAILURES as failed:
            failure = failure_of(failed)
        else:
            return
        raise failure


class Collecting(Terminal[M], Generic[T, M]):
    """Pulls to the end and keeps something of each chunk."""

    __slots__ = ("name", "upstream")

    def __init__(self, name: str, upstream: Stage[T]) -> None:
        self.name = name
        self.upstream = upstream

    def add(self, elements: list[T]) -> None:
        """The elements of one more chunk."""
        raise AssertionError(f"{type(self).__name__} does not say what it keeps")

    def result(self) -> M:
        """What has come of all of them."""
        raise AssertionError(f"{type(self).__name__} does not say what it gives")

    async def run(self) -> M:
        try:
            while (chunk := await self.upstream.pull(PLENTY)) is not None:
                self._take(chunk)
        except BaseException as error:
            await give_up(self.upstream.close, error)
            raise
        await close_fully(self.upstream.close)
        return self.result()

    def _take(self, chunk: Chunk[T]) -> None:
        if type(chunk.data) is not list:
            failure = RowsNeeded(self.name)
            chunk.refuse(failure)
            raise failure
        self.add(chunk.data)
        chunk.written()


class _ToList(Collecting[T, list[T]]):
    __slots__ = ("_elements",)

    def __init__(self, upstream: Stage[T]) -> None:
        super().__init__("to_list", upstream)
        self._elements: list[T] = []

    def add(self, elements: list[T]) -> None:
        self._elements += elements

    def result(self) -> list[T]:
        return self._elements


class _TakeLast(Collecting[T, list[T]]):
    __slots__ = ("_elements",)

    def __init__(self, upstream: Stage[T], n: int) -> None:
        super().__init__("take_last", upstream)
        self._elements: deque[T] = deque(maxlen=n)

    def add(self, elements: list[T]) -> None:
        self._elements.extend(elements)

    def result(self) -> list[T]:
        return list(self._elements)


class _Last(Collecting[T, "T | None"]):
    __slots__ = ("_element",)

    def __init__(self, name: str, upstream: Stage[T]) -> None:
        super().__init__(name, upstream)
        self._element: T | None = None

    def add(self, elements: list[T]) -> None:
        self._element = elements[-1]

    def result(self) -> T | None:
        return self._element


class _Head(_Last[T]):
    __slots__ = ()

    async def run(self) -> T | None:
        try:
            chunk = await self.upstream.pull(1)
            if chunk is not None:
                self._take(chunk)
        except BaseException as error:
            await give_up(self.upstream.close, error)
            raise
        await close_fully(self.upstream.close)
        return self.result()


class _Count(Terminal[int]):
    __slots__ = ("upstream",)

    def __init__(self, upstream: Stage[Any]) -> None:
        self.upstream = upstream

    async def run(self) -> int:
        count = 0
        try:
            while (chunk := await self.upstream.pull(PLENTY)) is not None:
                count += len(chunk)
                chunk.written()
        except BaseException as error:
            await give_up(self.upstream.close, error)
            raise
        await close_fully(self.upstream.close)
        return count
