"""Stages that hold elements back for a time, or leave out what does not come in time; `timing` has their methods.

Owns what is held and when it is due. Whatever was waiting goes on waiting, for no longer than before, when a pull is
cancelled and made again.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.reservoir import Pieces, Reservoir, leave_out
from teleporter_lab.engine.stage import Stage, Through, close_fully

if TYPE_CHECKING:
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stages.weighing import Weighed

A = TypeVar("A")
T = TypeVar("T")


class Delayed(Reservoir[A, T], Generic[A, T]):
    """Elements held with their times. Subclasses say when what came is due."""

    __slots__ = ("_size", "due", "held")

    def __init__(self, upstream: Stage[A], m: Materializer, size: int) -> None:
        super().__init__(upstream, m)
        self._size = size
        self.held: Pieces[T] = Pieces()
        self.due: deque[tuple[float, int]] = deque()
        """When the next elements are due, and how many."""

    def room(self) -> int:
        return self._size - self.held.count

    async def give(self, n: int) -> Chunk[T] | None:
        fit = self.pace.fit(n)
        while True:
            if not self.due:
                if self.over:
                    return self.end()
                await self.more()
            elif (early := self.due[0][0] - self.clock.now()) > 0:
                await self.clock.sleep(early)
            else:
                break
        await self.pace.turn()
        chunk = self.held.give(self._count_due(fit))
        self._take_off(len(chunk))
        self.pace.gave(len(chunk))
        return chunk

    def _count_due(self, n: int) -> int:
        """How many of the first elements are due, at most `n`."""
        now, count = self.clock.now(), 0
        for at, elements in self.due:
            if at > now or count >= n:
                break
            count += elements
        return min(count, n)

    def _take_off(self, n: int) -> None:
        """The first `n` elements wait no more."""
        while n > 0:
            at, elements = self.due.popleft()
            if elements > n:
                self.due.appendleft((at, elements - n))
            n -= elements


class Delay(Delayed[T, T]):
    """Each chunk is due some seconds after it came."""

    __slots__ = ("_seconds",)

    def __init__(self, upstream: Stage[T], m: Materializer, seconds: float, size: int) -> None:
        super().__init__(upstream, m, size)
        self._seconds = seconds

    def keep(self, chunk: Chunk[T]) -> None:
        self.due.append((self.clock.now() + self._seconds, len(chunk)))
        self.held.add(chunk)


class DelayWith(Delayed["tuple[T, float]", T], Generic[T]):
    """Each element is due when it says, and all before it were."""

    __slots__ = ()

    def __init__(self, upstream: Weighed[T], m: Materializer, size: int) -> None:
        super().__init__(upstream, m, size)

    def keep(self, chunk: Chunk[tuple[T, float]]) -> None:
        now = self.clock.now()
        self.due.extend((now + seconds, 1) for _, seconds in chunk.data)
        self.held.add(Chunk([element for element, _ in chunk.data], chunk.tokens))


class _Begins(Through[T, T]):
    """Knows when its time is over; it begins with the first pull."""

    __slots__ = ("_seconds", "_until", "clock")

    def __init__(self, upstream: Stage[T], m: Materializer, seconds: float) -> None:
        super().__init__(upstream)
        self.clock = m.clock
        self._seconds = seconds
        self._until = inf

    def left(self) -> float:
        """Seconds until the time is over."""
        now = self.clock.now()
        if self._until == inf:
            self._until = now + self._seconds
        return self._until - now


class InitialDelay(_Begins[T]):
    __slots__ = ()

    async def pull(self, n: int) -> Chunk[T] | None:
        while (left := self.left()) > 0:
            await self.clock.sleep(left)
        return await self.upstream.pull(n)


class DropWithin(_Begins[T]):
    __slots__ = ()

    async def pull(self, n: int) -> Chunk[T] | None:
        self.left()
        while (chunk := await self.upstream.pull(n)) is not None and self.left() > 0:
            leave_out(chunk)
        return chunk


class TakeWithin(_Begins[T]):
    __slots__ = ("_ahead",)

    def __init__(self, upstream: Stage[T], m: Materializer, seconds: float) -> None:
        super().__init__(upstream, m, seconds)
        self._ahead = Ahead(upstream, m.spawn)

    async def pull(self, n: int) -> Chunk[T] | None:
        left = self.left()
        if left > 0 and not self._ahead.ended:
            task = self._ahead.start(n)
            if task.done() or await self.clock.wait((task,), left):
                return self._ahead.take(n)
        if self._ahead.ended:
            return self._ahead.take(n)
        await close_fully(self._ahead.close)
        return None

    async def on_close(self) -> None:
        await self._ahead.close()
