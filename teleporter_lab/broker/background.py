"""Work that nobody waits for. Owns its tasks and ends them; refuses to let one failure reach the others."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

_log = logging.getLogger(__name__)


class Background:
    """Tasks that live inside an `async with`; what is left at its end is cancelled and awaited."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.failed = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def start(self, work: Coroutine[Any, Any, object], name: str) -> asyncio.Task[None]:
        """Run `work`; a failure is logged. At the end of the `async with` and later nothing is begun any more."""
        task = asyncio.create_task(self._supervised(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # a task that is cancelled at once never looks at its work
        if self._closed:
            task.cancel()
        return task

    def statistics(self) -> dict[str, int]:
        """Tasks that run, and how many ended with an error."""
        return {"running": len(self._tasks), "failed": self.failed}

    async def _supervised(self, work: Coroutine[Any, Any, object], name: str) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 -- supervision: the log has it, the broker goes on
            self.failed += 1
            _log.exception("%s failed", name)
