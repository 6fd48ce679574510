"""One running piece of a stream: pulled from below, closed from below.

Owns the contract of `pull` and `close`. Every stage keeps it: never more elements than asked for; None is the end and
stays the end; an error is raised once everything before it went out, and stays; a cancelled pull loses nothing, the
next one goes on; nobody pulls after `close`, and `close` reaches the source exactly once. Refuses to know how stages
are put together (`graph`) or driven (`run`).
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from teleporter_lab.engine.chunk import Chunk

T = TypeVar("T")
A = TypeVar("A")
M = TypeVar("M")

PLENTY = 1 << 30
"""The demand of a sink that takes what comes; the pace of the island decides how much that is."""


class Stage(Generic[T]):
    """Gives chunks when pulled. Subclasses write `pull` and, where they hold something, `on_close`."""

    __slots__ = ("_closed",)

    def __init__(self) -> None:
        self._closed = False

    async def pull(self, n: int) -> Chunk[T] | None:
        """1 to `n` elements, as soon as there is one; None at the end. Raises what a stage above failed with."""
        raise AssertionError(f"{type(self).__name__} does not say how it is pulled")

    async def close(self) -> None:
        """Nobody will pull again: lets go of everything, here and above. A second call does nothing."""
        if not self._closed:
            self._closed = True
            await self.on_close()

    async def on_close(self) -> None:
        """What `close` does, once."""


class Through(Stage[T], Generic[A, T]):
    """A stage with one stage above it."""

    __slots__ = ("upstream",)

    def __init__(self, upstream: Stage[A]) -> None:
        super().__init__()
        self.upstream = upstream

    async def on_close(self) -> None:
        await self.upstream.close()


class AtMost(Through[T, T]):
    """Asks for `most` elements at a time, so that nothing above works on larger chunks."""

    __slots__ = ("_most",)

    def __init__(self, upstream: Stage[T], most: int) -> None:
        super().__init__(upstream)
        self._most = most

    async def pull(self, n: int) -> Chunk[T] | None:
        return await self.upstream.pull(min(n, self._most))


class Terminal(Generic[M]):
    """The lower end of a stream: drives everything above it."""

    async def run(self) -> M:
        """Pulls to the end and gives the sink's result; closes what is above, however it ends."""
        raise AssertionError(f"{type(self).__name__} does not say how it runs")


AnyStage = Stage[Any]


async def close_each(*closings: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Calls each, also after one failed or was broken off, then raises what failed; a lone failure comes out bare."""
    failures: list[Exception] = []
    broken_off: asyncio.CancelledError | None = None
    for close in closings:
        try:
            await close()
        except asyncio.CancelledError as error:
            broken_off = error
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise ExceptionGroup("Several parts of the stream did not close.", failures)
    if broken_off is not None:
        raise broken_off


async def close_fully(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Calls `close` and waits for its end, also when cancelled meanwhile; a second cancellation breaks off what hangs.

    A stream is cancelled while it closes more often than one thinks: a failing task cancels the others.
    """
    closing = asyncio.create_task(close())
    cancelled: asyncio.CancelledError | None = None
    while not closing.done():
        try:
            await asyncio.wait((closing,))
        except asyncio.CancelledError as error:
            if cancelled is not None:
                closing.cancel()
            cancelled = error
    if cancelled is None or not closing.cancelled():
        closing.result()
    if cancelled is not None:
        raise cancelled


_GIVEN_UP: ContextVar[bool] = ContextVar("given_up", default=False)


async def give_up(close: Callable[[], Coroutine[Any, Any, None]], error: BaseException) -> None:
    """Closes fully, for a sink that has failed or was cancelled with `error` and so has not got all it wants.

    Where the stream splits above it, the others must not go on alone: they would confirm records it has never seen.
    That closing fails too is a note on `error`, which is what counts.
    """
    mark = _GIVEN_UP.set(True)
    try:
        await close_fully(close)
    except Exception as failure:  # noqa: BLE001 - noted on the error that counts
        error.add_note(f"Closing did not go well either: {failure!r}")
    finally:
        _GIVEN_UP.reset(mark)


def given_up() -> bool:
    """Whether what is being closed now is closed by a sink that gives up."""
    return _GIVEN_UP.get()


_SWITCHED_OFF: ContextVar[bool] = ContextVar("switched_off", default=False)


async def switch_off(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Closes fully, for a kill switch: what is above has not given all that is wanted, it is not to be read on.

    Of sub-streams above it all end, and what they have not got stays un-confirmed.
    """
    mark = _SWITCHED_OFF.set(True)
    try:
        await close_fully(close)
    finally:
        _SWITCHED_OFF.reset(mark)


def switched_off() -> bool:
    """Whether what is being closed now is closed by a kill switch."""
    return _SWITCHED_OFF.get()


_STOPPED: WeakSet[asyncio.Task[Any]] = WeakSet()


def stop(task: asyncio.Task[Any]) -> None:
    """Cancels a task of the stream that has nothing more to do; whoever owns the run does not take it for a failure."""
    _STOPPED.add(task)
    task.cancel()


def was_stopped(task: asyncio.Task[Any]) -> bool:
    """Whether `stop` has cancelled it."""
    return task in _STOPPED


async def end_task(task: asyncio.Task[Any] | None) -> None:
    """Stops `task` where it still runs, and waits until it has ended. Its outcome is nobody's any more.

    Cancelled meanwhile it waits on; a second cancellation leaves what hangs.
    """
    if task is None or task.done():
        return
    stop(task)
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise
