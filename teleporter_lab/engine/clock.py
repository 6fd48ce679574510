"""Time, injected: the loop's own clock here, virtual time in `teleporter_lab.testing`.

Owns waiting. Refuses calendar time: whoever writes a timestamp asks `time.time` itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class Clock(Protocol):
    """Seconds that only grow, and two ways to wait for them."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait(self, futures: Iterable[asyncio.Future[Any]], timeout: float | None = None) -> bool:
        """Waits until one of `futures` is done (True) or `timeout` seconds passed (False); cancels none of them."""
        ...


class LoopClock:
    """The clock of the running event loop."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, futures: Iterable[asyncio.Future[Any]], timeout: float | None = None) -> bool:
        done, _ = await asyncio.wait(set(futures), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
