"""Where the sources of a stream are: read at the start, committed while it runs.

Owns the record under `/position/…` and the commit loop. A commit is a compare-and-set against the record this run last
knew, and carries the epoch of its assignment: whoever was overtaken is refused. Only the gap-free confirmed prefix of
the window is committed, together with the ledger of exactly those records, so that it survives a kill.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.engine.ack import Ledger
from teleporter_lab.errors import ConnectionLost, ConnectorError, NotFound, StoreError, Unreachable
from teleporter_lab.rpc.messages import KeyValue, KVGet, PositionCommit

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.config.key import Key
    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.engine.endpoints import Position
    from teleporter_lab.instance.link import Link

log = logging.getLogger(__name__)


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
        return Committed(record["position"], Ledger(**{k: v for k, v in counts.items() if k in known}), text)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConnectorError(
            f'What is kept under {key} is no position: write {{"position": …}} there, or delete it.'
        ) from error


async def load(link: Link, source: Key) -> Committed:
    """The position that was committed last; none when there is none. Raises Unreachable, ConnectorError."""
    key = position_key(source)
    try:
        answer = await link.request(KVGet("runtime", key))
    except NotFound:
        return Committed(None, Ledger(), None)
    return parse_record(cast("KeyValue", answer).value, key)


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
        await self._link.request(PositionCommit(self._key, self._text, update, self._epoch()))
        self._text = update
        self._count = count
        self.commits += 1
        return True

    async def keep_committing(self, clock: Clock, interval: float) -> None:
        """Commits each `interval` seconds. A broker that does not answer only delays: the next round tries again."""
        while True:
            await clock.sleep(interval)
            try:
                await self.commit()
            except (Unreachable, ConnectionLost, StoreError, TimeoutError) as error:
                log.warning("%s: not committed, will try again: %s", self._key, error)
