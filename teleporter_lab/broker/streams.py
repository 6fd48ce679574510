"""The streams of all instances: how each is doing, and the commands start, stop and restart.

Owns the last state that an instance reported and the view that people get. Refuses to run anything: the owner of the
stream's partition does. A state that comes from another instance than the owner is not believed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from teleporter_lab.config.key import Key, Table
from teleporter_lab.errors import Conflict, InvalidKey, InvalidPattern, NotFound
from teleporter_lab.rpc.messages import StreamCommand, StreamState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from teleporter_lab.broker.assignments import Assignments
    from teleporter_lab.broker.documents import Documents
    from teleporter_lab.broker.events import Event, FanOut
    from teleporter_lab.broker.sessions import Sessions
    from teleporter_lab.broker.tree import Tree
    from teleporter_lab.broker.values import Entry

Command = Literal["start", "stop", "restart"]
COUNTS = ("read", "written", "filtered", "skipped", "dead_lettered", "expanded", "merged", "in_flight")
STOPPED = "STOPPED"
NORMAL = "NORMAL"
REMOVED = "REMOVE"
WANTED: dict[str, str] = {"start": NORMAL, "stop": STOPPED}
"""The wanted status that a command leaves in the config, so that it holds over a restart."""


class LetterCounts(Protocol):
    """Who knows how many dead letters a stream has."""

    async def count(self, stream: str) -> int:
        """How many there are."""
        ...

    def known(self, stream: str) -> int:
        """The same where that is known without looking, else 0."""
        ...


class Streams:
    """Views of streams, and commands to them."""

    def __init__(
        self,
        tree: Tree,
        runtime: Documents,
        assignments: Assignments,
        sessions: Sessions,
        events: FanOut[Event],
        letters: LetterCounts,
    ) -> None:
        self._tree = tree
        self._runtime = runtime
        self._assignments = assignments
        self._sessions = sessions
        self._events = events
        self._letters = letters
        self._states: dict[str, StreamState] = {}

    async def range(self, pattern: str = "/stream/", start: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """One page of views, by key. Raises InvalidPattern for a pattern over another table."""
        if not pattern.startswith("/stream"):
            raise InvalidPattern(f"{pattern[:80]!r} is no pattern over streams: begin it with /stream/.")
        return await asyncio.gather(*(self._view(entry) for entry in await self._tree.range(pattern, start, limit)))

    async def get(self, key: str) -> dict[str, Any]:
        """The view of one stream. Raises InvalidKey, NotFound."""
        return await self._view(await self._tree.get(stream_key(key)))

    async def command(self, key: str, command: Command) -> dict[str, Any]:
        """Start, stop or restart a stream, and return its view.

        Start and stop hold for the future, also where nobody can run the stream now. Raises InvalidKey, NotFound,
        Conflict for a restart where nobody runs it, Unreachable when its instance does not answer, and what the
        instance says against it.
        """
        key = stream_key(key)
        if wanted := WANTED.get(command):
            await self._tree.edit(key, lambda value: value | {"status": wanted})
        owner = self._owner(key)
        if owner in self._sessions.online():
            await self._sessions.request(owner, StreamCommand(key, command, 0.0))
        elif command == "restart":
            why = f"its instance {owner} is not connected" if owner else "no instance has its partition"
            raise Conflict(f"{key} cannot be restarted: {why}.")
        return await self.get(key)

    def online(self, key: str) -> str:
        """The instance that has a stream and is online, empty for none."""
        owner = self._owner(key)
        return owner if owner in self._sessions.online() else ""

    async def order(self, key: str, action: Literal["stop", "restart"]) -> None:
        """Stop or restart a stream at its instance, without a word about the future.

        Raises Conflict where none is online, Unreachable when it does not answer, and what it says against it.
        """
        owner = self.online(key)
        if not owner:
            raise Conflict(f"{key} is run by no instance that is connected.")
        await self._sessions.request(owner, StreamCommand(key, action, 0.0))

    async def changed(self, instance: str, state: StreamState) -> None:
        """Keep and publish a state, when it comes from the owner; it survives a restart of the broker."""
        if not self._take(instance, state):
            return
        if state.status == REMOVED:
            await self.forget(state.key)
        else:
            await self._runtime.write(state.key, _plain(state))

    def measured(self, instance: str, states: Iterable[StreamState]) -> None:
        """Take counts and rates; they are published, and kept in memory only."""
        for state in states:
            self._take(instance, state)

    async def forget(self, key: str) -> None:
        """A stream is gone for good, and so is what was known of it."""
        self._states.pop(key, None)
        with suppress(NotFound):  # it never reported
            await self._runtime.delete(key)

    def statistics(self) -> dict[str, int]:
        """Streams that reported since the broker runs."""
        return {"reported": len(self._states)}

    def _take(self, instance: str, state: StreamState) -> bool:
        key = state.key if state.key in self._states else stream_key(state.key)
        if state.instance != instance or self._owner(key) != instance:
            return False
        self._states[key] = state
        if len(self._events):
            more = {"partition": self._partition(key), "dead_letters": self._letters.known(key)}
            self._events.publish({"type": "stream", **_plain(state), **more})
        return True

    async def _view(self, entry: Entry) -> dict[str, Any]:
        owner = self._owner(entry.key)
        wanted = entry.value.get("status") or NORMAL
        view = await self._reported(entry.key)
        if owner not in self._sessions.online() or view["instance"] != owner:
            view["status"] = STOPPED if wanted == STOPPED else NORMAL
            view["rate"], view["acks"] = 0.0, {}
        place = {"key": entry.key, "instance": owner or "", "partition": self._partition(entry.key)}
        return {**view, **place, "wanted": wanted, "dead_letters": await self._letters.count(entry.key)}

    async def _reported(self, key: str) -> dict[str, Any]:
        if state := self._states.get(key):
            return _plain(state)
        kept = await self._runtime.find(key)
        blank = StreamState(key, "", NORMAL, 0.0, 0, "", {}, 0.0)
        return _plain(blank) | (kept.value if kept else {})

    def _partition(self, key: str) -> str:
        return self._assignments.topology.partition_of(key) or ""

    def _owner(self, key: str) -> str:
        return self._assignments.owner(self._partition(key)) or ""


def stream_key(text: str) -> str:
    """The normal form of a stream's key. Raises InvalidKey for that of anything else."""
    key = Key.parse(text)
    if key.table is not Table.STREAM:
        raise InvalidKey(f"{text} is no stream: write /stream/ns/task/name.")
    return str(key)


def _plain(state: StreamState) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(state)
    del value["t"]
    value["counts"] = dict.fromkeys(COUNTS, 0) | state.counts
    return value
