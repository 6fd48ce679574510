"""An outstanding pull: asked for now, taken later, so that a stage can wait for something else meanwhile.

Owns the hand-over. The chunk stays in here until it is taken, so cancelling the one who waits loses nothing; the end
and an error stay. Refuses to hold more than one chunk: that is the back-pressure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.failure import Interrupted, cancel_requested
from teleporter_lab.engine.stage import end_task

if TYPE_CHECKING:
    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.stage import Stage

T = TypeVar("T")

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Starts a task that the run owns."""


class Ahead(Generic[T]):
    """One pull of `upstream`, running in a task of the stream."""

    __slots__ = ("_chunk", "_error", "_spawn", "_task", "ended", "upstream")

    def __init__(self, upstream: Stage[T], spawn: Spawn) -> None:
        self.upstream = upstream
        self.ended = False
        self._spawn = spawn
        self._task: asyncio.Task[None] | None = None
        self._chunk: Chunk[T] | None = None
        self._error: Exception | None = None

    def start(self, n: int) -> asyncio.Task[None]:
        """Asks for up to `n` elements unless a pull is outstanding or over; the task is done when it is there."""
        if self._task is None:
            self._task = self._spawn(self._pull(n))
        return self._task

    async def _pull(self, n: int) -> None:
        try:
            self._chunk = await self.upstream.pull(n)
        except asyncio.CancelledError:
            if cancel_requested():
                raise
            self._error = Interrupted()
        except Exception as error:  # noqa: BLE001 - handed to whoever takes the chunk
            self._error = error

    @property
    def started(self) -> bool:
        return self._task is not None

    @property
    def ready(self) -> bool:
        """Whether `take` has something to give."""
        return self._task is not None and self._task.done()

    def outcome(self, n: int) -> Chunk[T] | Exception | None:
        """What a `ready` pull brought: up to `n` elements of its chunk, None at the end, or its error."""
        chunk = self._chunk
        if chunk is None:
            if self._task is not None and self._task.cancelled():
                raise asyncio.CancelledError
            self.ended = True
            return self._error
        if len(chunk) > n:
            chunk, self._chunk = chunk.split(n)
        else:
            self._task = self._chunk = None
        return chunk

    def take(self, n: int) -> Chunk[T] | None:
        """Like `outcome`, but raises the error."""
        outcome = self.outcome(n)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def next(self, n: int) -> Chunk[T] | None:
        """Waits for the outstanding pull, or a new one of up to `n`, and takes it."""
        task = self.start(n)
        if not task.done():
            await asyncio.wait((task,))
        return self.take(n)

    async def close(self) -> None:
        """Stops an outstanding pull, waits until it has stopped, and closes what is above."""
        try:
            await end_task(self._task)
        finally:
            await self.upstream.close()
