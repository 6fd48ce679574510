"""What an instance was asked to do and is not through with yet.

Owns those tasks. What was begun is finished, also when nobody waits for it any more: the broker that asked for a
restart may be lost between the stop and the start. A failure reaches the one who waits, and the log; no other task.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from teleporter_lab.errors import TeleporterError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

log = logging.getLogger(__name__)


class Work:
    """Tasks of an instance, until `close`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begins `work`. Raises Unreachable after `close`."""
        if self._closed:
            work.close()
            raise Unreachable("The instance stops.")
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """The result of `work`, which goes on when the one who waits here is cancelled. Raises what it raises."""
        return await asyncio.shield(self.start(work, name))

    async def close(self) -> None:
        """Cancels what is not through, and waits for it. Nothing is begun any more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def statistics(self) -> dict[str, int]:
        return {"running": len(self._tasks)}

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, TeleporterError):
            log.warning("%s failed: %s", task.get_name(), error)
        elif error is not None:
            log.error("%s failed.", task.get_name(), exc_info=error)
