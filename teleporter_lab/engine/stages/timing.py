"""Operators that look at the clock: grouped_within, throttle, idle_timeout.

Owns their methods and stages. All of them ask the injected clock, so that tests run in virtual time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk, Held
from teleporter_lab.engine.operators import Operators
from teleporter_lab.engine.stage import Stage, Through, end_task
from teleporter_lab.engine.supervision import attempt

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


class Timing(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def grouped_within(self, n: int, seconds: float) -> Flow[In, list[Out]]:
        """Lists of up to `n` elements, given out when full or `seconds` after their first element came.

        Tokens: a list answers for every record in it. Before an error the elements held go out as a last list.
        """
        if n < 1 or seconds <= 0:
            raise ValueError(f"grouped_within needs n >= 1 and seconds > 0, not {n} and {seconds}")
        return self.then(f"grouped_within({n}, {seconds}s)", lambda m, up: GroupedWithin(up, m, n, seconds))

    def throttle(self, elements: int, per: float) -> Flow[In, Out]:
        """Lets at most `elements` pass in each `per` seconds; what is above waits.

        Bursts: an idle time is made up for by at most `elements` at once.
        """
        if elements < 1 or per <= 0:
            raise ValueError(f"throttle needs elements >= 1 and per > 0, not {elements} and {per}")
        return self.then(f"throttle({elements}/{per}s)", lambda m, up: Throttle(up, m, elements, per))

    def idle_timeout(self, seconds: float) -> Flow[In, Out]:
        """Fails with TimeoutError when a pull brings nothing for `seconds`."""
        return self.then(f"idle_timeout({seconds}s)", lambda m, up: IdleTimeout(up, m, seconds))


class Gather(Through[T, T]):
    """Joins small chunks to one of up to the demand, waiting `seconds` at the most after its first element.

    A task of its own collects, as much as is wanted and no more; it goes on when the one who pulls is cancelled.
    """

    __slots__ = ("_clock", "_deadline", "_failure", "_held", "_idle", "_over", "_seconds", "_spawn", "_task", "_wake",
                 "_want")  # fmt: skip

    def __init__(self, upstream: Stage[T], m: Materializer, seconds: float) -> None:
        super().__init__(upstream)
        self._clock = m.clock
        self._spawn = m.spawn
        self._seconds = seconds
        self._held: Held[T] = Held()
        self._deadline = 0.0
        self._want = 0
        self._over = False
        self._failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._wake: asyncio.Future[None] | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        self.collect(n)
        while self._held.count < n and not self._over and await self._more():
            pass
        self._want = 0
        if self._held.count:
            return self._held.take(min(n, self._held.count))
        if self._failure is not None:
            raise self._failure
        return None

    def collect(self, n: int) -> None:
        """Gathers up to `n` elements for the next pull, while its caller does something else."""
        self._want = n
        if self._task is None:
            self._task = self._spawn(self._collect())
        else:
            _rouse(self._idle)

    async def _collect(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._over:
            room = self._want - self._held.count
            if room > 0:
                self._keep(await attempt(self.upstream, room))
                _rouse(self._wake)
            else:
                self._idle = loop.create_future()
                await self._idle

    def _keep(self, chunk: Chunk[T] | Exception | None) -> None:
        if not isinstance(chunk, Chunk):
            self._over, self._failure = True, chunk
            return
        if not self._held.count:
            self._deadline = self._clock.now() + self._seconds
        self._held.add(chunk)

    async def _more(self) -> bool:
        """Whether something came before the time was up."""
        left = self._deadline - self._clock.now() if self._held.count else None
        if left is not None and left <= 0:
            return False
        self._wake = asyncio.get_running_loop().create_future()
        return await self._clock.wait((self._wake,), left)

    async def on_close(self) -> None:
        try:
            await end_task(self._task)
        finally:
            await self.upstream.close()


def _rouse(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


class GroupedWithin(Through[T, list[T]]):
    __slots__ = ("_size",)

    def __init__(self, upstream: Stage[T], m: Materializer, size: int, seconds: float) -> None:
        super().__init__(Gather(upstream, m, seconds))
        self._size = size

    async def pull(self, n: int) -> Chunk[list[T]] | None:
        chunk = await self.upstream.pull(self._size)
        if chunk is None:
            return None
        if chunk.tokens:
            chunk.tokens[-1].account("merged", len(chunk) - 1)
        return Chunk([list(chunk.data)], chunk.tokens)


class Throttle(Through[T, T]):
    __slots__ = ("_at", "_clock", "_elements", "_left", "_per")

    def __init__(self, upstream: Stage[T], m: Materializer, elements: int, per: float) -> None:
        super().__init__(upstream)
        self._clock = m.clock
        self._elements = elements
        self._per = per
        self._left = float(elements)
        self._at = m.clock.now()

    async def pull(self, n: int) -> Chunk[T] | None:
        allowed = await self._allowed()
        chunk = await self.upstream.pull(min(n, allowed))
        if chunk is not None:
            self._left -= len(chunk)
        return chunk

    async def _allowed(self) -> int:
        """How many elements may pass now, waiting until it is at least one."""
        while True:
            now = self._clock.now()
            rate = self._elements / self._per
            self._left = min(float(self._elements), self._left + (now - self._at) * rate)
            self._at = now
            if self._left >= 1.0 - 1e-9:
                return max(1, int(self._left))
            await self._clock.sleep((1.0 - self._left) / rate)


class IdleTimeout(Through[T, T]):
    __slots__ = ("_ahead", "_clock", "_failure", "_seconds")

    def __init__(self, upstream: Stage[T], m: Materializer, seconds: float) -> None:
        super().__init__(upstream)
        self._clock = m.clock
        self._seconds = seconds
        self._ahead = Ahead(upstream, m.spawn)
        self._failure: TimeoutError | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._failure is not None:
            raise self._failure
        task = self._ahead.start(n)
        if not task.done() and not await self._clock.wait((task,), self._seconds):
            self._failure = TimeoutError(f"No element came for {self._seconds} s.")
            raise self._failure
        return self._ahead.take(n)

    async def on_close(self) -> None:
        await self._ahead.close()
