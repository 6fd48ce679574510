"""Virtual time for tests: nothing waits, and a second lasts as long as it takes to say so.

Owns a clock that keeps the engine's `Clock` protocol. Time passes when the test says so (`advance`), or by itself from
timer to timer while something runs to its end (`run`). Refuses to know threads: it cannot see that one is at work, so a
test has either timers or driver threads.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

T = TypeVar("T")

PASSES = 50
"""Passes of a loop that does not show its queue, after which whatever could run without time has run."""

MOST_PASSES = 1_000_000
"""Passes after which a loop that never comes to rest is an error."""


class FakeClock:
    """Seconds from 0 on. `sleeps` keeps every sleep that was asked for, in order."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = count()
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []
        self.sleeps: list[float] = []

    def now(self) -> float:
        return self._now

    @property
    def timers(self) -> list[float]:
        """When the timers that somebody still waits for will ring, the next one first."""
        return sorted(at for at, _, timer in self._timers if not timer.done())

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await (self._timer(seconds) if seconds > 0 else asyncio.sleep(0))

    async def wait(self, futures: Iterable[asyncio.Future[Any]], timeout: float | None = None) -> bool:
        waited = set(futures)
        timer = [] if timeout is None else [self._timer(timeout)]
        try:
            await asyncio.wait({*waited, *timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for ringing in timer:
                ringing.cancel()
        return any(future.done() for future in waited)

    def _timer(self, seconds: float) -> asyncio.Future[None]:
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (self._now + max(0.0, seconds), next(self._order), timer))
        return timer

    async def advance(self, seconds: float) -> None:
        """Lets `seconds` pass: timers ring in their order, and what they wake runs before the next one rings."""
        end = self._now + seconds
        await self.settle()
        while self._next() <= end + 1e-12:
            self._ring()
            await self.settle()
        self._now = end

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; whenever nothing else can run, time passes to the next timer."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await self.settle()
                if not task.done() and not self.timers:
                    await asyncio.wait((task,), timeout=0.001)  # for a driver thread, or for ever
                elif not task.done():
                    self._ring()
        finally:
            task.cancel()
            await asyncio.wait((task,))
        return task.result()

    def _next(self) -> float:
        """When the next timer rings; timers that nobody waits for are dropped."""
        while self._timers and self._timers[0][2].done():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else float("inf")

    def _ring(self) -> None:
        self._now = max(self._now, self._next())
        heapq.heappop(self._timers)[2].set_result(None)

    async def settle(self) -> None:
        """Lets everything run that waits for no time."""
        loop: Any = asyncio.get_running_loop()
        queue = getattr(loop, "_ready", None)
        if queue is None:
            for _ in range(PASSES):
                await asyncio.sleep(0)
            return
        for _ in range(MOST_PASSES):
            await asyncio.sleep(0)
            if not queue:
                return
        raise AssertionError("The loop does not come to rest: something is always ready to run.")
