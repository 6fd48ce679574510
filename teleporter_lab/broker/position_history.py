"""The history of each source's position: what people changed, and now and then a commit.

Owns the runtime records `/positionlog/ns/task/stream/source/<id>`, whose ids sort by time, how seldom a commit gets
one, and how the history stays small: every change by a person up to CHANGES of them, commits the thinner the older they
are. Refuses to change a position.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.errors import NotFound, TeleporterError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.broker.background import Background
    from teleporter_lab.broker.documents import Documents
    from teleporter_lab.broker.values import JSON

_log = logging.getLogger(__name__)

SAMPLE_SECONDS = 60.0
"""Between two commits of one source that get an entry, at least."""

SAMPLES = 300
"""Entries of commits that one source may have; when there are more, the older ones are thinned."""

FRESH = 100
"""The newest of them are all kept."""

CHANGES = 100
"""Changes by people that are kept; what is older than the last of them is forgotten."""


FIELDS = frozenset(("id", "kind", "at", "position", "read"))
"""What every entry has; what lacks one of them was not written here."""


def log_key(position: str) -> str:
    """What all entries of a position begin with."""
    return f"/positionlog/{position.removeprefix('/position/')}/"


class History:
    """Entries by source. `now` gives seconds of the epoch."""

    def __init__(self, runtime: Documents, background: Background, now: Callable[[], float]) -> None:
        self._runtime = runtime
        self._background = background
        self._now = now
        self._due: dict[str, float] = {}
        """When the next commit of a position may get an entry."""
        self._counts: dict[str, int] = {}
        self._last = 0

    async def entries(self, position: str) -> list[dict[str, Any]]:
        """All of them, the oldest first."""
        found = [entry.value for entry in await self._runtime.below(log_key(position))]
        return [value for value in found if isinstance(value, dict) and value.keys() >= FIELDS]

    def new_id(self) -> str:
        """An id that sorts behind every earlier one."""
        self._last = max(int(self._now() * 1000), self._last + 1)
        return f"{self._last:014d}-{uuid.uuid4().hex[:8]}"

    def committed(self, position: str, record: JSON) -> None:
        """A commit went through. Never waits: once in a while an entry of it is written in the background."""
        now = self._now()
        if now < self._due.get(position, 0.0):
            return
        self._due[position] = now + SAMPLE_SECONDS
        self._background.start(self._sample(position, record, now), f"history of {position}")

    async def add(self, position: str, entry: dict[str, Any]) -> None:
        """Keep an entry, and forget what the bounds say."""
        await self._runtime.write(log_key(position) + entry["id"], entry)
        self._counts[position] = await self._count(position) + 1
        if self._counts[position] > SAMPLES:
            await self._thin(position)

    async def add_commit(self, position: str, record: JSON) -> None:
        """Keep an entry of what is kept now, unless the newest one says the same."""
        entry = commit_entry(self.new_id(), record, self._now())
        newest = (await self.entries(position))[-1:]
        if [_place(each) for each in newest] != [_place(entry)]:
            await self.add(position, entry)

    async def remove(self, position: str, entry: str) -> None:
        """Take back an entry of something that did not happen."""
        with suppress(NotFound):
            await self._runtime.delete(log_key(position) + entry)

    async def forget(self, position: str) -> None:
        """Forget everything about a source."""
        await self._drop(position, [entry["id"] for entry in await self.entries(position)])
        self._due.pop(position, None)
        self._counts.pop(position, None)

    async def _sample(self, position: str, record: JSON, now: float) -> None:
        try:
            if position not in self._counts:  # of an earlier run of the broker
                kept = await self.entries(position)
                self._counts[position] = len(kept)
                if kept and now < kept[-1]["at"] + SAMPLE_SECONDS:
                    return
            await self.add(position, commit_entry(self.new_id(), record, now))
        except TeleporterError as error:
            _log.warning("No entry of a commit in the history of %s: %s", position, error.message)

    async def _count(self, position: str) -> int:
        if position not in self._counts:
            return len(await self._runtime.below(log_key(position))) - 1
        return self._counts[position]

    async def _thin(self, position: str) -> None:
        kept = await self.entries(position)
        await self._drop(position, surplus(kept))
        self._counts[position] = len(kept) - len(surplus(kept))

    async def _drop(self, position: str, ids: Sequence[str]) -> None:
        await asyncio.gather(*(self.remove(position, each) for each in ids))


def commit_entry(entry: str, record: JSON, at: float) -> dict[str, Any]:
    """The entry of a position as it is kept."""
    found = cast("dict[str, Any]", record) if isinstance(record, dict) else {}
    entry_of = {"id": entry, "kind": "commit", "at": at, "position": found.get("position"), "read": read_of(found)}
    return entry_of | {name: found[name] for name in ("epoch", "set") if found.get(name) is not None}


def _place(entry: dict[str, Any]) -> tuple[JSON, ...]:
    return entry["position"], entry["read"], entry.get("set")


def read_of(record: dict[str, Any]) -> int:
    """How many records the ledger of a kept position says were read; 0 where it says nothing that is a number."""
    ledger = record.get("ledger")
    read = cast("dict[str, Any]", ledger).get("read") if isinstance(ledger, dict) else None
    return read if isinstance(read, int) else 0


def surplus(entries: Sequence[dict[str, Any]]) -> list[str]:
    """The ids that may go, of entries by time: every other commit behind the newest FRESH, so that the past thins."""
    changes = [place for place, entry in enumerate(entries) if entry["kind"] != "commit"]
    first = changes[-CHANGES] if len(changes) > CHANGES else 0
    gone = [entry["id"] for entry in entries[:first]]
    commits = [entry["id"] for entry in entries[first:] if entry["kind"] == "commit"]
    if len(commits) + len(changes) > SAMPLES:
        gone += commits[:-FRESH][1::2]
    return gone
