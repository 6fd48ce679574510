"""Positions of sources, as people see and change them: read, set, reset, rewind.

Owns the rules of a change: it is a compare-and-set against what the person saw, it is previewed and in the history, and
what runs is not changed under its feet. A change carries an id, which later commits carry on; a commit of a run that
began before it finds another record than it expects and is refused. Refuses to commit (`service` does).
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from teleporter_lab.broker.assignments import stream_of
from teleporter_lab.broker.position_history import read_of
from teleporter_lab.broker.position_preview import Lines, Place, Preview
from teleporter_lab.broker.values import canonical, etag
from teleporter_lab.config.key import Key, Table
from teleporter_lab.errors import Conflict, ConnectorError, InvalidInput, InvalidKey, NotFound, UnknownConnector

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from teleporter_lab.broker.documents import Documents
    from teleporter_lab.broker.position_history import History
    from teleporter_lab.broker.streams import Streams
    from teleporter_lab.broker.tree import Tree
    from teleporter_lab.broker.values import JSON

LONGEST = 1024 * 1024
"""Bytes of a position that somebody sets."""

SHOWN = ("position", "ledger", "epoch", "at", "set", "by")
"""Fields of a kept record."""


class Distances(Protocol):
    """Who knows how far apart two positions of a category are."""

    def distance(self, category: str, start: JSON, end: JSON) -> int | None:
        """Records from `start` on to `end`, None where nobody can tell.

        Raises ConnectorError for what is no position, and UnknownConnector.
        """
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where to: exactly one of a position, the start, a moment (seconds of the epoch), records back, an entry's id."""

    position: JSON = None
    start: bool = False
    moment: float | None = None
    records: int | None = None
    entry: str | None = None

    def __post_init__(self) -> None:
        """Raises InvalidInput for none or several of them."""
        given = [self.position is not None, self.start, self.moment, self.records, self.entry]
        if sum(each is not None and each is not False for each in given) != 1:
            raise InvalidInput("Say where to: one position, one moment, one number of records back or one entry.")
        if self.records is not None and self.records < 1:
            raise InvalidInput("The number of records to go back is at least 1.")


@dataclass(frozen=True, slots=True)
class Change:
    """How a change is made. `etag`: only where the position is still the one with it. `restart`: stop what runs, and
    start it again. `message` and `by` stand in the history."""

    etag: str | None = None
    restart: bool = False
    message: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a position: its text, None for nothing, and the fields that can be read."""

    key: str
    text: str | None
    record: dict[str, Any]

    @property
    def marker(self) -> str | None:
        """The id of the last change by a person."""
        found = self.record.get("set")
        return found if isinstance(found, str) else None

    @property
    def etag(self) -> str:
        """Changes with every commit; the part before the dot only when somebody sets the position."""
        return f"{self.marker or 0}.{etag(self.text or '')}"

    @property
    def problem(self) -> str:
        """What is wrong with the record, empty for nothing."""
        if self.text is None or "position" in self.record:
            return ""
        return "What is kept here is no position: set or reset it."


class Positions:
    """The verbs. A position is named by its key or by that of its source."""

    def __init__(
        self,
        tree: Tree,
        runtime: Documents,
        streams: Streams,
        history: History,
        distances: Distances,
        now: Callable[[], float],
    ) -> None:
        self._tree = tree
        self._runtime = runtime
        self._streams = streams
        self._history = history
        self._distances = distances
        self._now = now

    async def range(
        self, pattern: str = "/position/", start: int = 0, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """One page of the positions that are kept, by key. Raises InvalidPattern."""
        for table in ("/source/", "/stream/"):
            if pattern.startswith(table):
                pattern = f"/position/{pattern.removeprefix(table)}"
        if not pattern.startswith("/position"):
            raise InvalidInput(f"{pattern[:80]!r} is no pattern over positions: begin it with /position/ or /source/.")
        found = await self._runtime.range(pattern, start, limit)
        return await asyncio.gather(*(self._view(_kept(entry.key, entry.text)) for entry in found))

    async def get(self, key: str) -> dict[str, Any]:
        """One position; `position` None: at the start. Raises InvalidKey, NotFound for no source and no position."""
        return await self._view(await self._find(key))

    async def history(self, key: str, start: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """One page of the entries of a source, the newest first. Raises InvalidKey."""
        found = (await self._history.entries(position_key(key)))[::-1]
        return found[start : None if limit is None else start + limit]

    async def preview(self, key: str, target: Target) -> dict[str, Any]:
        """What a change would do: the position now, `target`, its `entry` in the history, the preview. Changes nothing.

        Raises InvalidKey, NotFound, InvalidInput.
        """
        kept = await self._find(key)
        _, place, preview = await self._resolve(kept, target)
        view = await self._view(kept)
        return view | {"target": place.position, "entry": place.entry, "preview": preview.body()}

    async def change(self, key: str, target: Target, how: Change) -> dict[str, Any]:
        """Set a position, which is null for the start. Returns the position after it, with preview and the entry's id.

        Raises InvalidKey, NotFound, InvalidInput, Conflict for a stale tag, where others were faster, and where the
        stream runs and `restart` is not wanted; what the instance says against stopping or starting.
        """
        kept = await self._find(key)
        runs = await self._runs(kept.key)
        _check(kept, how.etag, runs=bool(runs) and how.restart)
        if runs and not how.restart:
            raise Conflict(f"{stream_of(kept.key)} runs on {runs}: stop it before, or have it restarted (`restart`).")
        if not runs:
            done = await self._apply(kept, target, how)
            if how.restart:
                await self._start(kept.key)
        else:
            async with self._stopped(kept.key):
                now = await self._find(kept.key)
                if now.marker != kept.marker:
                    raise _overtaken(kept.key)
                done = await self._apply(now, target, how)
        entry = await self._runtime.find(kept.key)
        return await self._view(_kept(kept.key, entry.text if entry else None)) | done

    async def _apply(self, kept: Kept, target: Target, how: Change) -> dict[str, Any]:
        """The change itself. The history has it before it happens, so that none is without a trace."""
        now, place, preview = await self._resolve(kept, target)
        if place.position is None and "by" in kept.record and kept.record.get("position") is None:
            return {"preview": preview.body(), "id": None}
        if kept.record and "by" not in kept.record:  # else its entry is there already
            await self._history.add_commit(kept.key, kept.record)
        entry = self._entry(kept, target, how, place, preview, now)
        await self._history.add(kept.key, entry)
        try:
            await self._runtime.write(kept.key, self._record(kept, place.position, entry["id"], how.by), kept.text)
        except BaseException:
            await self._history.remove(kept.key, entry["id"])
            raise
        return {"preview": preview.body(), "id": entry["id"]}

    def _record(self, kept: Kept, position: JSON, marker: str, by: str) -> dict[str, Any]:
        """The ledger goes on: what was read was read."""
        before: dict[str, Any] = {"ledger": kept.record.get("ledger") or {}, "epoch": kept.record.get("epoch", 0)}
        return before | {"at": self._now(), "position": position, "set": marker, "by": by}

    def _entry(
        self, kept: Kept, target: Target, how: Change, place: Place, preview: Preview, now: Place
    ) -> dict[str, Any]:
        name, at, read = self._history.new_id(), self._now(), read_of(kept.record)
        kind = "reset" if place.position is None else "set" if target.position is not None else "rewind"
        known = preview.records is not None
        line = now.line if known else name
        offset = now.coordinate - (preview.records or 0) - read if known else 0
        told = {"by": how.by, "message": how.message, "old": now.position, "preview": preview.body()}
        where = {"position": place.position, "read": read, "set": name, "line": line, "offset": offset}
        return {"id": name, "kind": kind, "at": at} | where | told

    async def _resolve(self, kept: Kept, target: Target) -> tuple[Place, Place, Preview]:
        """The place now, the place that `target` means, and the preview of going there."""
        entries = await self._history.entries(kept.key)
        lines = Lines(entries)
        now = lines.now(kept.record.get("position"), read_of(kept.record), kept.marker)
        place = _place(lines, entries, now, target)
        if target.position is not None and len(canonical(target.position).encode()) > LONGEST:
            raise InvalidInput(f"A position has at most {LONGEST:,} bytes.")
        category = await self._category(kept.key)
        if category and target.position is not None:
            self._check_position(category, target.position)
        distance = partial(self._distances.distance, category) if category else None
        return now, place, lines.preview(now, place.position, distance)

    def _check_position(self, category: str, position: JSON) -> None:
        """A connector that can measure from a position to itself knows one when it sees one."""
        try:
            self._distances.distance(category, position, position)
        except UnknownConnector:  # it is not installed here: its instance will judge
            return
        except ConnectorError as error:
            raise InvalidInput(error.message) from error

    async def _category(self, position: str) -> str:
        entry = await self._tree.find(source_of(position))
        category = entry.value.get("category") if entry else None
        return category if isinstance(category, str) else ""

    async def _find(self, key: str) -> Kept:
        key = position_key(key)
        entry = await self._runtime.find(key)
        if entry is None and await self._tree.find(source_of(key)) is None:
            raise NotFound(f"There is no source {source_of(key)}, and no position is kept of it.")
        return _kept(key, entry.text if entry else None)

    async def _view(self, kept: Kept) -> dict[str, Any]:
        stream = await self._stream(kept.key)
        shown = {name: kept.record.get(name) for name in SHOWN}
        where = {"key": kept.key, "source": source_of(kept.key), "stream": stream_of(kept.key)}
        state = {"status": stream.get("status", ""), "instance": stream.get("instance", "")}
        return where | shown | state | {"etag": kept.etag, "problem": kept.problem}

    async def _stream(self, position: str) -> dict[str, Any]:
        try:
            return await self._streams.get(stream_of(position))
        except NotFound:  # a position outlives the config of its stream
            return {}

    async def _runs(self, position: str) -> str:
        """The instance that runs the stream now, empty for none that is online."""
        stream = await self._stream(position)
        return stream["instance"] if stream.get("status") == "RUNNING" else ""

    async def _start(self, position: str) -> None:
        """Start a stream that is wanted and has somebody to run it."""
        stream = await self._stream(position)
        if stream and stream["wanted"] != "STOPPED" and self._streams.online(stream["key"]):
            await self._streams.order(stream["key"], "restart")

    @asynccontextmanager
    async def _stopped(self, position: str) -> AsyncGenerator[None]:
        """The stream is drained and stopped inside the block, and starts again behind it whatever happened."""
        stream = stream_of(position)
        try:
            await self._streams.order(stream, "stop")
            yield
        finally:
            await self._streams.order(stream, "restart")


def position_key(text: str) -> str:
    """`/position/…` for the key of a position or of a source. Raises InvalidKey for that of anything else."""
    key = Key.parse(f"/source/{text.removeprefix('/position/')}" if text.startswith("/position/") else text)
    if key.table is not Table.SOURCE:
        raise InvalidKey(f"{text[:80]} is no source: write /source/ns/task/stream/name, or /position/ instead of it.")
    return "/".join(("", "position", *key.segments))


def source_of(position: str) -> str:
    """The key of a position's source."""
    return f"/source/{position.removeprefix('/position/')}"


def _kept(key: str, text: str | None) -> Kept:
    kept = Kept(key, text, {})
    value: Any = None if text is None else json.loads(text)
    return replace(kept, record=cast("dict[str, Any]", value)) if isinstance(value, dict) else kept


def _check(kept: Kept, tag: str | None, *, runs: bool) -> None:
    """Raise Conflict for a stale tag. Under a stream that runs the position moves on: there only a change counts."""
    if tag is None or tag == kept.etag:
        return
    if not runs or tag.partition(".")[0] != kept.etag.partition(".")[0]:
        raise _overtaken(kept.key)


def _overtaken(key: str) -> Conflict:
    return Conflict(f"{key} is another one by now: look at it again and repeat the change.")


def _place(lines: Lines, entries: list[dict[str, Any]], now: Place, target: Target) -> Place:
    """Raises NotFound for what the history does not have."""
    if target.start or target.position is not None:
        return Place(target.position, now.line, 0)
    if target.records is not None:
        found = lines.back(now, target.records)
        if found is None:
            raise NotFound(
                f"No place in the history is {target.records:,} records back or more: reset goes to the start."
            )
        return found
    wanted = [e for e in entries if (e["id"] == target.entry if target.entry else e["at"] <= (target.moment or 0.0))]
    if not wanted:
        what = f"no entry {target.entry[:80]!r}" if target.entry else "nothing of that time or before"
        raise NotFound(f"The history has {what}: look at it, or set a position.")
    return Place(wanted[-1]["position"], now.line, 0, wanted[-1]["id"], wanted[-1]["at"])
