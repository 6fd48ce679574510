"""Virtual time for tests: nothing waits, and a second lasts as long as it takes to say so.

Owns a clock that keeps the engine's `Clock` protocol. Refuses to run by itself: time passes with `advance`.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

SETTLE = 50
"""Passes of the loop after which whatever could run without time has run."""


class FakeClock:
    """Seconds from 0 on. `sleeps` keeps every wait that was asked for, in order."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = count()
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []
        self.sleeps: list[float] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await self._timer(seconds)

    async def wait(self, futures: Iterable[asyncio.Future[Any]], timeout: float | None = None) -> bool:
        waited = set(futures)
        timer = None if timeout is None else self._timer(timeout)
        if timer is not None:
            await asyncio.wait({*waited, timer}, return_when=asyncio.FIRST_COMPLETED)
            timer.cancel()
        else:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        return any(future.done() for future in waited)

    def _timer(self, seconds: float) -> asyncio.Future[None]:
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (self._now + max(0.0, seconds), next(self._order), timer))
        return timer

    async def advance(self, seconds: float) -> None:
        """Lets `seconds` pass: timers ring in their order, and what they wake runs before the next one rings."""
        end = self._now + seconds
        await self.settle()
        while self._timers and self._timers[0][0] <= end + 1e-12:
            at, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, at)
            if not timer.done():
                timer.set_result(None)
            await self.settle()
        self._now = end

    async def settle(self) -> None:
        """Lets everything run that waits for no time."""
        for _ in range(SETTLE):
            await asyncio.sleep(0)
