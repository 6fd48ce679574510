"""Reading ahead: a task of its own reads what is above a stage, and whoever pulls takes what was kept.

Owns that task and the two waits between it and the puller. It is started by the first pull, asks for no more than
there is room for, goes on when a pull is cancelled, and ends with the stage. An error from above comes after
everything that was kept. Refuses to know what is kept, and how much: `Buffer`, `Gather`, `Delay`, `Batch` do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk, Held, account_change
from teleporter_lab.engine.stage import Stage, Through, end_task
from teleporter_lab.engine.supervision import attempt

if TYPE_CHECKING:
    from teleporter_lab.engine.run import Materializer

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


class Reservoir(Through[A, B], Generic[A, B]):
    """Subclasses say how much may be read (`room`), keep what came (`keep`), and wait for it to hand it out (`give`).

    `over` and `failure` say that nothing more comes, and why; `asked` is the demand of the pull that is waiting.
    """

    __slots__ = ("_idle", "_reader", "_spawn", "_waiting", "asked", "clock", "failure", "over", "pace")

    def __init__(self, upstream: Stage[A], m: Materializer) -> None:
        super().__init__(upstream)
        self.clock = m.clock
        self.pace = m.passing()
        self.asked = 0
        self.over = False
        self.failure: Exception | None = None
        self._spawn = m.spawn
        self._reader: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._waiting: asyncio.Future[None] | None = None

    def room(self) -> int:
        """How many elements may be asked for now; none: the task waits until `read_on`."""
        raise AssertionError(f"{type(self).__name__} does not say how much it reads")

    def keep(self, chunk: Chunk[A]) -> None:
        """Takes what came, at most what `room` said."""
        raise AssertionError(f"{type(self).__name__} does not keep anything")

    async def give(self, n: int) -> Chunk[B] | None:
        """What `pull` gives; nothing may leave what is kept before the last await."""
        raise AssertionError(f"{type(self).__name__} does not say what it gives")

    async def pull(self, n: int) -> Chunk[B] | None:
        self.asked = n
        self.read_on()
        try:
            return await self.give(n)
        finally:
            self.asked = 0
            if self._reader is not None:
                self.read_on()

    def read_on(self) -> None:
        """There may be room: starts the task, or wakes it."""
        if self.over or self.room() <= 0:
            return
        if self._reader is None:
            self._reader = self._spawn(self._read())
        else:
            rouse(self._idle)

    async def more(self, seconds: float | None = None) -> bool:
        """Waits until something was kept or nothing more comes; False when `seconds` were over first."""
        self._waiting = asyncio.get_running_loop().create_future()
        if seconds is not None:
            return await self.clock.wait((self._waiting,), seconds)
        await self._waiting
        return True

    def end(self) -> None:
        """Nothing is left to give: raises what the stage above failed with."""
        if self.failure is not None:
            raise self.failure

    async def _read(self) -> None:
        while not self.over:
            room = self.room()
            if room <= 0:
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
                continue
            outcome = await attempt(self.upstream, room)
            if isinstance(outcome, Chunk):
                self.keep(outcome)
            else:
                self.over, self.failure = True, outcome
            rouse(self._waiting)

    async def on_close(self) -> None:
        try:
            await end_task(self._reader)
        finally:
            await self.upstream.close()


def rouse(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


class Pieces(Held[T]):
    """Chunks in a line, which may be left out from both ends. Rows are joined; batches of columns go out one by one."""

    __slots__ = ("_columns",)

    count: int

    def __init__(self) -> None:
        super().__init__()
        self._columns = False

    def add(self, chunk: Chunk[T]) -> None:
        self._columns = self._columns or type(chunk.data) is not list
        super().add(chunk)

    def give(self, n: int) -> Chunk[T]:
        """1 to `n` of the first elements; there is at least one."""
        return self.take(min(n, len(self._chunks[0]) if self._columns else self.count))

    def drop_first(self, n: int) -> None:
        """Leaves out the first `n` elements, n <= count: they are counted as filtered."""
        while n > 0:
            part = self.take(min(n, len(self._chunks[0])))
            n -= len(part)
            leave_out(part)

    def drop_last(self, n: int) -> None:
        """Leaves out the last `n` elements, n <= count: they are counted as filtered."""
        while n > 0:
            part = self.pop_last(n)
            n -= len(part)
            leave_out(part)

    def pop_last(self, n: int) -> Chunk[T]:
        """1 to `n` of the last elements; there is at least one."""
        part = self._chunks.pop()
        if len(part) > n:
            rest, part = part.split(len(part) - n)
            self._chunks.append(rest)
        self.count -= len(part)
        return part


def leave_out(chunk: Chunk[T]) -> None:
    """All elements of `chunk` are counted as filtered and confirmed."""
    account_change(chunk.tokens, len(chunk), 0)
    chunk.confirm()
