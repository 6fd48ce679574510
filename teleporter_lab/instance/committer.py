"""Commits of one source: when they are made, and that the ledger adds up in each.

Owns the commit loop. It is woken by the first record that is confirmed after a commit, and commits at the latest one
interval later, or at once when many records wait for it; where nothing happens it does nothing. A commit is awaited and
tried again until it went through, never two at a time. Where the system of the source keeps positions itself it is told
first, then our own store. Refuses to know how a position is kept (`positions` does).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from teleporter_lab.engine.backoff import Backoff
from teleporter_lab.engine.clock import LoopClock
from teleporter_lab.errors import ConnectorError
from teleporter_lab.instance.link import AWAY
from teleporter_lab.instance.positions import PositionRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from teleporter_lab.config.key import Key
    from teleporter_lab.engine.ack import AckWindow, Progress
    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.engine.ledger import Ledger
    from teleporter_lab.instance.link import Link
    from teleporter_lab.instance.positions import Committed

log = logging.getLogger(__name__)

AGAIN: Final = Backoff(0.5, 10.0)
"""Pauses before a commit that did not go through is tried again."""

AGES: Final = ("oldest_age", "commit_lag")
"""Numbers about acks of which a stream with several sources shows the largest."""

LAST_TRIES: Final = 8
"""How often the last commit of a run is tried at a system that refuses it: about a minute. The broker is waited for."""


class Committer:
    """Commits the progress of one window, whose `on_change` it takes.

    `reader` gives the present reader of the source; one that has `commit` is told every position before our store is.
    """

    def __init__(
        self,
        link: Link,
        source: Key,
        window: AckWindow,
        base: Committed,
        epoch: Callable[[], int],
        reader: Callable[[], object] | None = None,
    ) -> None:
        self.window = window
        self._source = str(source)
        self._record = PositionRecord(link, source, base, epoch)
        self._base = base.ledger
        self._reader = reader
        self._clock: Clock = LoopClock()
        self._turn = asyncio.Lock()
        self._count = 0
        """Records of this run that are committed."""
        self._told = 0
        """Records of this run that the system of the source knows to be done."""
        self._most = window.size // 2 + 1
        self._news = asyncio.Event()
        self._much: asyncio.Future[None] | None = None
        """Ends the present interval early."""
        self._behind: float | None = None
        """Since when something waits for a commit."""
        self._settling: list[tuple[int, asyncio.Future[None]]] = []
        """Who waits for so many records to be confirmed."""
        self._off = (0, 0)
        """What the last ledger was wrong by: in flight, carried."""
        self.commits = 0
        """Commits of this run that went through."""
        self.alarms = 0
        """How often the ledger did not add up."""
        window.on_change = self._changed

    def ledger(self) -> Ledger:
        """Everything read so far, this run and the committed part of earlier ones."""
        whole = self._base.copy()
        whole.add(self.window.ledger())
        return whole

    def record(self, progress: Progress) -> str:
        """What is kept for `progress`: JSON with the position, and the ledger of all runs by then."""
        return self._record.text(progress.position, self._whole(progress))

    def note(self, progress: Progress) -> str:
        """What is kept for it by a system that has the position."""
        return self._record.note(self._whole(progress))

    def _whole(self, progress: Progress) -> Ledger:
        ledger = self._base.copy()
        ledger.add(progress.ledger)
        return ledger

    def acks(self) -> dict[str, float]:
        """How confirmation and commits are doing; records, times in seconds, counts of this run."""
        window, now = self.window.statistics(), self._clock.now()
        return {
            "unconfirmed": window.unconfirmed,
            "oldest_age": 0.0 if window.oldest is None else round(max(0.0, now - window.oldest), 3),
            "redelivered": window.redelivered,
            "late": window.late,
            "commits": self.commits,
            "commit_lag": 0.0 if self._behind is None else round(max(0.0, now - self._behind), 3),
        }

    def _changed(self) -> None:
        """The window's prefix has grown, or a delivery was refused. It is called for each chunk."""
        confirmed = self.window.confirmed
        if confirmed == self._count:
            return
        self._news.set()
        much = self._much
        if much is not None and confirmed - self._count >= self._most and not much.done():
            much.set_result(None)
        for target, settled in self._settling:
            if confirmed >= target and not settled.done():
                settled.set_result(None)

    async def commit(self) -> bool:
        """Commits what is new; whether there was anything. Raises Conflict when another one has committed.

        ConnectorError when the system of the source does not accept it.
        """
        async with self._turn:
            progress = self.window.progress
            if progress is None or progress.count == self._count:
                self._behind = None
                return False
            self._check(progress.ledger)
            await self._tell_source(progress)
            await self._record.commit(self.record(progress))
            self._count = progress.count
            self._behind = None
            self.commits += 1
            return True

    async def _tell_source(self, progress: Progress) -> None:
        commit = getattr(None if self._reader is None else self._reader(), "commit", None)
        if commit is not None and progress.count != self._told:
            await commit(progress.position, self.note(progress))
            self._told = progress.count

    async def _through(self, clock: Clock, tries: int | None = None) -> None:
        """Commits until it went through. After `tries` raises what a system outside refuses it with."""
        failed = 0
        while True:
            try:
                await self.commit()
            except (*AWAY, ConnectorError) as error:
                failed += 1
                if tries is not None and failed >= tries and isinstance(error, ConnectorError):
                    raise
                if failed & (failed - 1) == 0:
                    log.warning("%s: not committed, will try again (%d): %s", self._source, failed, error)
                await clock.sleep(AGAIN.delay(failed - 1))
            else:
                return

    async def finish(self, clock: Clock) -> None:
        """Commits what is left, however long the broker is away: a source that has ended is not read again for that.

        Raises ConnectorError when the system of the source keeps refusing it. Looks for what is lacking at the end.
        """
        self._clock = clock
        await self._through(clock, LAST_TRIES)
        lacking = self.window.opened - self.window.confirmed
        if self.window.exhausted and lacking:
            self._alarm(f"its source has ended, and {lacking:,} of its records are neither written nor accounted for")

    async def keep_committing(self, clock: Clock, interval: float, most: int | None = None) -> None:
        """Commits at the latest `interval` seconds after something was confirmed, or when `most` records wait for it.

        `most` is half of what the window holds where it is None. Raises Conflict.
        """
        self._clock = clock
        self._most = most or self._most
        while True:
            await self._news.wait()
            self._news.clear()
            self._behind = clock.now()
            self._much = asyncio.get_running_loop().create_future()
            if self.window.confirmed - self._count < self._most:
                await clock.wait((self._much,), interval)
            self._much = None
            await self._through(clock)

    async def settled(self) -> None:
        """Returns when every record that was given out so far is confirmed and committed.

        Takes as long as the slowest sink does. Raises Conflict.
        """
        target = self.window.opened
        while self._count < target:
            if self.window.confirmed < target:
                await self._confirmed(target)
            await self._through(self._clock)

    async def _confirmed(self, target: int) -> None:
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (target, confirmed)
        self._settling.append(waiting)
        try:
            await confirmed
        finally:
            self._settling.remove(waiting)

    def _check(self, ledger: Ledger) -> None:
        """Of a committed prefix nothing is in flight; whatever is different now is one more alarm."""
        off = (ledger.in_flight, ledger.carried)
        if off not in (self._off, (0, 0)):
            self._alarm(f"in what is committed, {ledger.sentence()}")
        self._off = off

    def _alarm(self, what: str) -> None:
        self.alarms += 1
        if self.alarms == 1:
            log.error("%s: the ledger does not add up: %s.", self._source, what)


def acks_of(committers: Iterable[Committer]) -> dict[str, float]:
    """`acks` of all sources of a stream: ages are those of the oldest, the rest is added up."""
    whole: dict[str, float] = {}
    for committer in committers:
        for name, value in committer.acks().items():
            before = whole.get(name, 0)
            whole[name] = max(before, value) if name in AGES else before + value
    return whole
