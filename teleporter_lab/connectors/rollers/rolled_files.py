"""The rolled sink as the engine sees it: a writer that also does something when nothing is written.

Owns the wait for the moment at which a file is complete, and that only one thread at a time is at work. Refuses to
decide anything (`rolled_folder` does).
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from teleporter_lab.connectors.rollers.rolled_folder import RolledFolder
from teleporter_lab.engine.clock import Clock, LoopClock
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from teleporter_lab.connectors.rollers.formats import Format
    from teleporter_lab.connectors.rollers.sink_roller import SinkRoller
    from teleporter_lab.engine.endpoints import Mark

log = logging.getLogger(__name__)

R = TypeVar("R")

LOOK_SECONDS = 30.0
"""How long the wait for a moment goes on without a look at the clock, which people and time servers set."""


def _now() -> datetime:
    return datetime.now(UTC)


class RolledOptions(Protocol):
    """What the `client` blocks of rolled sinks have in common."""

    @property
    def path(self) -> str: ...
    @property
    def exactly_once(self) -> bool: ...


class RolledFiles:
    """A `Writer`, and `Marking`. Its own task completes the file whose time is over, and ends with `close`."""

    blocking = False

    def __init__(
        self,
        folder: RolledFolder,
        clock: Clock | None = None,
        now: Callable[[], datetime] = _now,
        in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self.columnar = folder.columnar
        self._folder = folder
        self._clock = clock or LoopClock()
        self._now = now
        self._in_thread = in_thread
        self._turn = asyncio.Lock()
        self._calls: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._call(lambda: self._folder.open(self._now()))
        self._wait_for_the_moment()

    async def write(self, records: Sequence[Any]) -> None:
        await self._call(lambda: self._folder.write(records, self._now()))
        self._wait_for_the_moment()

    async def marked(self, key: str) -> str | None:
        """The text kept with the records under `key`, None where there is none."""
        return await self._call(lambda: self._folder.marked(key))

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        """Stores records and mark at once. Raises Conflict where another run has gone on, and ConnectorError."""
        await self._call(lambda: self._folder.write(records, self._now(), mark))
        self._wait_for_the_moment()

    async def close(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            await asyncio.wait((timer,))
        await self._call(lambda: self._folder.close(self._now()))

    def statistics(self) -> dict[str, int]:
        """What `RolledFolder.statistics` says."""
        return self._folder.statistics()

    async def _call(self, call: Callable[[], R]) -> R:
        """The outcome of `call` in a thread. It goes on when its waiter is cancelled, and the next one waits for it."""
        task = asyncio.create_task(self._in_turn(call))
        self._calls.add(task)
        task.add_done_callback(self._over)
        await asyncio.wait((task,))
        return task.result()

    async def _in_turn(self, call: Callable[[], R]) -> R:
        async with self._turn:
            return await self._in_thread(call)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits has it; if nobody does any more, it is nobody's

    def _wait_for_the_moment(self) -> None:
        if self._folder.due is not None and (self._timer is None or self._timer.done()):
            self._timer = asyncio.create_task(self._roll_in_time())

    async def _roll_in_time(self) -> None:
        """Completes the unfinished file when its time is over; ends when there is none."""
        while (due := self._folder.due) is not None:
            left = (due - self._now()).total_seconds()
            if left > 0:
                await self._clock.sleep(min(left, LOOK_SECONDS))
                continue
            try:
                await self._call(lambda: self._folder.roll(self._now()))
            except ConnectorError as error:
                log.warning("A file whose time is over is not complete yet: %s", error)
                await self._clock.sleep(LOOK_SECONDS)


def rolled(options: RolledOptions, roller: SinkRoller, form: Format) -> RolledFiles:
    """What a connector declares as `Spec.rolled`. Raises ConnectorError where `path` is no pattern."""
    return RolledFiles(RolledFolder(options.path, roller, form, options.exactly_once))


def refuse_exactly_once(wanted: bool) -> None:
    """Raises ConnectorError for a sink without a roller of which that is wanted."""
    if wanted:
        raise ConnectorError(
            "Files keep positions only beside files that become visible complete: exactlyOnce needs a `roller`."
        )
