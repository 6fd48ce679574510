"""The one place where the engine meets threads: drivers that block are called here, a chunk at a time.

Owns the pool. Refuses single elements: a hop to a thread costs 20 to 50 µs, so whoever calls hands over a chunk.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar

from teleporter_lab.engine.failure import StoppedIteration

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 32
"""Driver calls that may block at the same moment; more of them wait in line."""


class DriverThreads:
    """Threads shared by all streams of a process. An async context manager; leaving waits for running calls."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]:
        """Starts `call` in a thread; the future is its outcome. Cancelling the future does not stop the thread."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="teleporter-driver")
        return asyncio.wrap_future(self._pool.submit(_outcome, call, *args, **kwargs))

    def close(self) -> None:
        """Drops the threads; running calls end in their own time."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, wait=True)


def _outcome(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return call(*args, **kwargs)
    except StopIteration as error:  # no future can carry it: its waiter would wait for ever
        raise StoppedIteration from error


class OneCall(Generic[R]):
    """A driver that allows one call at a time, and whose call outlives a waiter that was cancelled.

    Whoever was cancelled makes the same call again, with the same arguments or as good ones.
    """

    __slots__ = ("_running", "_threads")

    def __init__(self, threads: DriverThreads) -> None:
        self._threads = threads
        self._running: asyncio.Future[Any] | None = None

    async def call(self, call: Callable[..., R], *args: Any) -> R:
        """The outcome of `call(*args)`; if a cancelled call is still running, its outcome is what is given."""
        if self._running is None:
            self._running = self._threads.submit(call, *args)
        running = self._running
        await asyncio.wait((running,))
        self._running = None
        return running.result()

    async def settle(self) -> None:
        """Waits until no call is running; what it gave or raised is dropped, as nobody is there to take it."""
        running = self._running
        if running is not None:
            await asyncio.wait((running,))
            self._running = None
            if not running.cancelled():
                running.exception()
