"""Sources that get one element a call: unfold, unfold_async, resource, resource_async.

Owns how such calls become a reader of many (`reading` drives it): what came before an error goes out before it, what
comes from a thread goes out as soon as it is there. None is the end, and nothing is called after it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.failure import FAILURES, failure_of
from teleporter_lab.engine.graph import Source, source
from teleporter_lab.engine.operators import named
from teleporter_lab.engine.stages.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.turnstile import Busy

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")


def unfold(state: S, function: Callable[[S], tuple[S, T] | None]) -> Source[T]:
    """Gives `element` for each `function(state) -> (next state, element)`, and ends when it returns None.

    Emits when: the function has given an element.
    Completes when: the function returns None.
    Supervised: yes, by call. There is no next state without the function, so resume and deadLetter are like retry: the
        same state again.
    """
    name = named("unfold", function)

    def attach(m: Materializer) -> Reading[T]:
        steps = _Unfold(state, function, m.busy)
        return Reading(m, name, lambda: steps, state)

    return source(name, attach)


def unfold_async(state: S, function: Callable[[S], Awaitable[tuple[S, T] | None]]) -> Source[T]:
    """Like `unfold`, for a function that waits. A call that was cancelled is made again with the same state.

    Emits when: the function has given an element, one a chunk.
    Completes when: the function returns None.
    Supervised: yes, by call, like `unfold`.
    """
    name = named("unfold_async", function)

    def attach(m: Materializer) -> Reading[T]:
        steps = _UnfoldAsync(state, function)
        return Reading(m, name, lambda: steps, state)

    return source(name, attach)


def resource(
    open: Callable[[], R], read: Callable[[R], T | None], close: Callable[[R], object], *, blocking: bool = False
) -> Source[T]:
    """What `read(resource)` gives until it returns None; `resource = open()` is made at the first pull, closed once.

    With `blocking` the functions are called in a driver thread, never two at a time; an element does not wait for the
    one after it.

    Emits when: `read` has given an element.
    Completes when: `read` returns None.
    Supervised: yes, by call of `open` and `read`. retry, resume and deadLetter read on; reload closes the resource,
        opens it anew, wherever that begins, and reads on.
    Like: Pekko's unfoldResource.
    """
    name = named("resource", read)

    def attach(m: Materializer) -> Reading[T]:
        def make() -> Any:
            return _InThread(open, read, close, m) if blocking else _OnLoop(open, read, close, m.busy)

        return Reading(m, name, make, 0)

    return source(name, attach)


def resource_async(
    open: Callable[[], Awaitable[R]], read: Callable[[R], Awaitable[T | None]], close: Callable[[R], Awaitable[object]]
) -> Source[T]:
    """Like `resource`, for functions that wait. A `read` that is cancelled is made again and must have lost nothing.

    Emits when: `read` has given an element, one a chunk.
    Completes when: `read` returns None.
    Supervised: yes, by call of `open` and `read`, like `resource`.
    Like: Pekko's unfoldResourceAsync.
    """
    name = named("resource_async", read)

    def attach(m: Materializer) -> Reading[T]:
        return Reading(m, name, lambda: _Waiting(open, read, close), 0)

    return source(name, attach)


class _Steps(Generic[T]):
    """A reader that makes `step` after `step`, as many as fit."""

    __slots__ = ("_busy", "_error", "_over")

    def __init__(self, busy: Busy) -> None:
        self._busy = busy
        self._error: Exception | None = None
        """What came after the elements that were given last."""
        self._over = False

    def step(self, data: list[T]) -> bool:
        """Adds the next element; False at the end."""
        raise AssertionError(f"{type(self).__name__} does not say what it steps through")

    async def read(self, n: int) -> list[T] | None:
        error, self._error = self._error, None
        data: list[T] = []
        if error is None:
            error = self._guarded(data, n)
        if data:
            self._error = error
            return data
        if error is not None:
            raise error
        return None

    def _guarded(self, data: list[T], n: int) -> Exception | None:
        started = time.perf_counter()
        try:
            while len(data) < n and not self._over:
                self._over = not self.step(data)
        except FAILURES as error:
            return failure_of(error)  # nothing is awaited in there, so no cancellation is meant for us
        finally:
            self._busy.seconds += time.perf_counter() - started
        return None


class _Unfold(_Steps[T], Generic[S, T]):
    """Its position is the state."""

    __slots__ = ("_function", "position")

    def __init__(self, state: S, function: Callable[[S], tuple[S, T] | None], busy: Busy) -> None:
        super().__init__(busy)
        self.position = state
        self._function = function

    def step(self, data: list[T]) -> bool:
        given = self._function(self.position)
        if given is None:
            return False
        self.position, element = given
        data.append(element)
        return True

    async def open(self, position: Any) -> None: ...

    async def close(self) -> None: ...


class _UnfoldAsync(Generic[S, T]):
    __slots__ = ("_function", "position")

    def __init__(self, state: S, function: Callable[[S], Awaitable[tuple[S, T] | None]]) -> None:
        self.position = state
        self._function = function

    async def read(self, n: int) -> list[T] | None:
        given = await self._function(self.position)
        if given is None:
            return None
        self.position, element = given
        return [element]

    async def open(self, position: Any) -> None: ...

    async def close(self) -> None: ...


class _OnLoop(_Steps[T], Generic[R, T]):
    """A resource whose functions are quick. Its position counts elements."""

    __slots__ = ("_close", "_open", "_read", "_resources", "position")

    def __init__(
        self, open: Callable[[], R], read: Callable[[R], T | None], close: Callable[[R], object], busy: Busy
    ) -> None:
        super().__init__(busy)
        self._open = open
        self._read = read
        self._close = close
        self._resources: list[R] = []
        """The open one, if any."""
        self.position = 0

    async def open(self, position: Any) -> None:
        self.position = position
        self._resources.append(self._open())

    def step(self, data: list[T]) -> bool:
        element = self._read(self._resources[0])
        if element is None:
            return False
        data.append(element)
        self.position += 1
        return True

    async def close(self) -> None:
        if self._resources:
            self._close(self._resources.pop())


class _Waiting(Generic[R, T]):
    """A resource whose functions are coroutines. Its position counts elements."""

    __slots__ = ("_close", "_open", "_read", "_resources", "position")

    def __init__(
        self,
        open: Callable[[], Awaitable[R]],
        read: Callable[[R], Awaitable[T | None]],
        close: Callable[[R], Awaitable[object]],
    ) -> None:
        self._open = open
        self._read = read
        self._close = close
        self._resources: list[R] = []
        self.position = 0

    async def open(self, position: Any) -> None:
        self.position = position
        self._resources.append(await self._open())

    async def read(self, n: int) -> list[T] | None:
        element = await self._read(self._resources[0])
        if element is None:
            return None
        self.position += 1
        return [element]

    async def close(self) -> None:
        if self._resources:
            await self._close(self._resources.pop())


class _InThread(Generic[R, T]):
    """A resource whose functions block. A thread puts down each element as it comes, and goes on to what was asked.

    A cancelled read goes on in its thread; what it puts down is given by the next one. Position counts elements.
    """

    __slots__ = ("_calls", "_close", "_closing", "_open", "_put_down", "_read", "_reads", "_resources", "_threads",
                 "_waiting", "_wake", "position")  # fmt: skip

    def __init__(
        self, open: Callable[[], R], read: Callable[[R], T | None], close: Callable[[R], object], m: Materializer
    ) -> None:
        self._open = open
        self._read = read
        self._close = close
        self._threads = m.runtime.threads
        self._calls: OneCall[Any] = OneCall(m.runtime.threads)
        self._resources: list[R] = []
        self._put_down: deque[T] = deque()
        self._reads: asyncio.Future[bool] | None = None
        """The call that reads; whether it went on to the end."""
        self._waiting = False
        self._wake = asyncio.Event()
        self._closing = False
        self.position = 0

    async def open(self, position: Any) -> None:
        self.position = position
        await self._calls.call(self._opened)

    def _opened(self) -> None:
        """In a thread, so that what was opened for nobody is closed too."""
        self._resources.append(self._open())

    async def read(self, n: int) -> list[T] | None:
        ready = self._put_down
        while not ready:
            if self._reads is None:
                self._reads = self._threads.submit(self._put, n, asyncio.get_running_loop())
                self._reads.add_done_callback(lambda _: self._wake.set())
            elif self._reads.done():
                reads, self._reads = self._reads, None
                if reads.result():
                    return None
            else:
                await self._wait()
        data = [ready.popleft() for _ in range(min(n, len(ready)))]
        self.position += len(data)
        return data

    async def _wait(self) -> None:
        """Until something was put down or the call has ended; the thread looks at `_waiting` after it put down."""
        self._wake.clear()
        self._waiting = True
        try:
            if not self._put_down and self._reads is not None and not self._reads.done():
                await self._wake.wait()
        finally:
            self._waiting = False

    def _put(self, n: int, loop: asyncio.AbstractEventLoop) -> bool:
        for _ in range(n):
            if self._closing:
                return False
            element = self._read(self._resources[0])
            if element is None:
                return True
            self._put_down.append(element)
            if self._waiting:
                loop.call_soon_threadsafe(self._wake.set)
        return False

    async def close(self) -> None:
        self._closing = True
        if self._reads is not None:
            await asyncio.wait((self._reads,))
            if not self._reads.cancelled():
                self._reads.exception()
        await self._calls.settle()
        if self._resources:
            await self._calls.call(self._close, self._resources.pop())
