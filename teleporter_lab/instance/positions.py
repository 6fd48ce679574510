"""Where the sources of a stream are: read at the start, committed while it runs.

Owns the record under `/position/…` and the commit loop. A commit is a compare-and-set against the record this run last
knew, and carries the epoch of its assignment: whoever was overtaken is refused. Only the gap-free confirmed prefix of
the window is committed, together with the ledger of exactly those records, so that it survives a kill.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.engine.ack import Ledger
from teleporter_lab.errors import Conflict, ConnectorError, NotFound
from teleporter_lab.instance.link import AWAY
from teleporter_lab.rpc.messages import KeyValue, KVGet, PositionCommit

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.config.key import Key
    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.engine.endpoints import Position
    from teleporter_lab.instance.link import Link

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
"""Pause before the last commit of a run is tried again while the broker is away."""

REMEMBERED = 100
"""Commits without an answer that are remembered."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A position as it is kept: its text is what the next commit must find."""

    position: Position | None
    ledger: Ledger
    text: str | None


def position_key(source: Key) -> str:
    """The runtime key of a source's position: `/position/ns/task/stream/source`."""
    return "/position/" + "/".join(source.segments)


def parse_record(text: str, key: str) -> Committed:
    """The record kept under `key`. Raises ConnectorError when it is not of our making."""
    try:
        record = cast("dict[str, Any]", json.loads(text))
        counts = cast("dict[str, int]", record.get("ledger") or {})
        known = Ledger().as_dict()
        ledger = Ledger(**{name: _whole(count) for name, count in counts.items() if name in known})
        return Committed(record["position"], ledger, text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConnectorError(
            f'What is kept under {key} is no position: write {{"position": …}} there, or delete it.'
        ) from error


def _whole(count: object) -> int:
    if not isinstance(count, int):
        raise TypeError(f"{count!r} is no whole number")
    return int(count)


async def load(link: Link, source: Key) -> Committed:
    """The position that was committed last; none when there is none. Raises Unreachable, ConnectorError."""
    key = position_key(source)
    text = await _kept(link, key)
    return Committed(None, Ledger(), None) if text is None else parse_record(text, key)


async def _kept(link: Link, key: str) -> str | None:
    try:
        return cast("KeyValue", await link.request(KVGet("runtime", key))).value
    except NotFound:
        return None


class Committer:
    """Commits the progress of one window. Not for use by two tasks at once."""

    def __init__(self, link: Link, source: Key, window: AckWindow, base: Committed, epoch: Callable[[], int]) -> None:
        self.window = window
        self._link = link
        self._key = position_key(source)
        self._base = base.ledger
        self._text = base.text
        self._epoch = epoch
        self._count = 0
        self._unanswered: deque[str] = deque(maxlen=REMEMBERED)
        self.commits = 0
        """Commits of this run that went through."""

    def ledger(self) -> Ledger:
        """Everything read so far, this run and the committed part of earlier ones."""
        whole = self._base.copy()
        whole.add(self.window.ledger())
        return whole

    async def commit(self) -> bool:
        """Commits what is new; whether there was anything. Raises Conflict when another one has committed."""
        progress = self.window.progress
        if progress is None or progress.count == self._count:
            return False
        ledger = self._base.copy()
        ledger.add(progress.ledger)
        count = progress.count
        update = json.dumps(
            {"at": time.time(), "epoch": self._epoch(), "ledger": ledger.as_dict(), "position": progress.position},
            separators=(",", ":"),
            sort_keys=True,
        )
        try:
            await self._send(update)
        except Conflict:
            if not await self._has_arrived():
                raise
            await self._send(update)
        self._text = update
        self._count = count
        self._unanswered.clear()
        self.commits += 1
        return True

    async def _send(self, update: str) -> None:
        self._unanswered.append(update)
        try:
            await self._link.request(PositionCommit(self._key, self._text, update, self._epoch()))
        except Conflict:
            self._unanswered.pop()
            raise

    async def _has_arrived(self) -> bool:
        """Whether what is kept now is a commit of our own, whose answer was lost or not waited for."""
        text = await _kept(self._link, self._key)
        kept = None if text is None else json.loads(text)
        if kept is None or all(json.loads(sent) != kept for sent in self._unanswered):
            return False
        self._text = text
        return True

    async def finish(self, clock: Clock) -> None:
        """Commits what is left, however long the broker is away: a source that has ended is not read again for that."""
        while True:
            try:
                await self.commit()
            except AWAY as error:
                log.warning("%s: the end is not committed yet: %s", self._key, error)
                await clock.sleep(RETRY_SECONDS)
            else:
                return

    async def keep_committing(self, clock: Clock, interval: float) -> None:
        """Commits each `interval` seconds. A broker that does not answer only delays: the next round tries again."""
        while True:
            await clock.sleep(interval)
            try:
                await self.commit()
            except AWAY as error:
                log.warning("%s: not committed, will try again: %s", self._key, error)
