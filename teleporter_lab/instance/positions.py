"""Where the sources of a stream are: read at the start, changed by each commit.

Owns the record under `/position/…`. A commit is a compare-and-set against the record this run last knew, and carries
the epoch of its assignment: whoever was overtaken is refused. Position and ledger are one record, so that the counts
survive a kill. Refuses to say when to commit (`committer` does).
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.engine.ack import Ledger
from teleporter_lab.errors import Conflict, ConnectorError, NotFound
from teleporter_lab.rpc.messages import KeyValue, KVGet, PositionCommit

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.config.key import Key
    from teleporter_lab.engine.endpoints import Position
    from teleporter_lab.instance.link import Link

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Committed:
    """A position as it is kept: its text is what the next commit must find."""

    position: Position | None
    ledger: Ledger
    text: str | None
    set_by: str | None = None
    """The id of the change by a person that it goes on from; every later commit carries it on."""
    fresh: bool = False
    """Whether nothing was committed since that change."""


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
        return Committed(record["position"], ledger, text, _text(record.get("set")), "by" in record)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConnectorError(
            f'What is kept under {key} is no position: write {{"position": …}} there, or delete it.'
        ) from error


def parse_note(text: str, key: str) -> Committed | None:
    """What a note says of the source whose position is under `key`; None where it is no note, or of another source."""
    try:
        note = cast("dict[str, Any]", json.loads(text))
        return parse_record(text, key) if note["key"] == key else None
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, ConnectorError) as error:
        log.info("What is kept beside a position is no note of ours: %r", error)
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


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


class PositionRecord:
    """The record of one source, for the one run that may change it. Not for use by two tasks at once."""

    def __init__(self, link: Link, source: Key, base: Committed, epoch: Callable[[], int]) -> None:
        self._link = link
        self._key = position_key(source)
        self._text = base.text
        self._marker = {} if base.set_by is None else {"set": base.set_by}
        self._epoch = epoch
        self._unanswered: str | None = None
        """Sent, and maybe kept."""

    def text(self, position: Position, ledger: Ledger) -> str:
        """What is to be kept, as JSON."""
        return self._json({"ledger": ledger.as_dict(), "position": position})

    def note(self, ledger: Ledger) -> str:
        """The same for a system that keeps the position itself, perhaps of several sources: with the key instead of it.

        So it is short, however many parts a position has.
        """
        return self._json({"ledger": ledger.as_dict(), "position": None, "key": self._key})

    def _json(self, record: dict[str, Any]) -> str:
        whole = record | self._marker | {"at": time.time(), "epoch": self._epoch()}
        return json.dumps(whole, separators=(",", ":"), sort_keys=True)

    async def commit(self, update: str) -> None:
        """Puts `update` in the place of what this run knows to be kept. Raises Conflict when something else is.

        One before it that had no answer is sent once more first: so there is only one of which nobody knows whether it
        has arrived, however long the broker is away.
        """
        if self._unanswered is not None:
            await self._send(self._unanswered)
        await self._send(update)

    async def _send(self, update: str) -> None:
        self._unanswered = update
        try:
            await self._link.request(PositionCommit(self._key, self._text, update, self._epoch()))
        except Conflict:
            if not await self._has_arrived(update):
                raise
        self._text, self._unanswered = update, None

    async def _has_arrived(self, update: str) -> bool:
        """Whether what is kept now is this, sent before by ourselves."""
        text = await _kept(self._link, self._key)
        try:
            return text is not None and json.loads(text) == json.loads(update)
        except ValueError:
            return False
