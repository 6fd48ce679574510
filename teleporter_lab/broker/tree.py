"""The config tree: what may be kept in it, how it is shown, and that everybody hears of a change.

Owns validation (all mistakes at once), the hiding of secrets, entity tags and ids. Refuses to apply anything: saving is
not a refresh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.broker.documents import ATTEMPTS, Documents
from teleporter_lab.broker.stores.base import ANYTHING
from teleporter_lab.broker.values import JSON, Entry, canonical
from teleporter_lab.config.key import Key, Table
from teleporter_lab.config.nodes import parse_node
from teleporter_lab.config.resolve import mask, unmask
from teleporter_lab.errors import Conflict, InvalidConfig, InvalidInput, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.broker.events import Event, FanOut
    from teleporter_lab.broker.stores.base import Expect, Stores
    from teleporter_lab.config.nodes import BlockModels, Node

ALIAS = "/ns/"
"""How namespaces may be written, too."""

COUNTER = "/counter/config"
"""Where in the runtime table the last id that was given out stands."""


def normal(text: str) -> str:
    """The one form of a config key. Raises InvalidKey or UnknownTable."""
    return str(Key.parse(text))


def shown(entry: Entry) -> dict[str, Any]:
    """`{key, value, etag}` with the secrets hidden; the tag stays that of what is kept."""
    return {"key": entry.key, "value": mask(entry.value), "etag": entry.etag}


class Tree:
    """The verbs of the config table. What they return holds references to secrets: `shown` hides them."""

    def __init__(self, stores: Stores, events: FanOut[Event], blocks: BlockModels) -> None:
        self._documents = Documents(stores.config, normal)
        self._counter = Documents(stores.runtime)
        self._events = events
        self._blocks = blocks

    async def get(self, key: str) -> Entry:
        """Raises InvalidKey and NotFound."""
        return await self._documents.get(key)

    async def find(self, key: str) -> Entry | None:
        """None for nothing. Raises InvalidKey."""
        return await self._documents.find(key)

    async def range(self, pattern: str, start: int = 0, limit: int | None = None) -> list[Entry]:
        """One page of the keys that match a tail regex. Raises InvalidPattern."""
        if pattern.startswith(ALIAS):
            pattern = f"/{Table.NAMESPACE}/{pattern.removeprefix(ALIAS)}"
        return await self._documents.range(pattern, start, limit)

    def node(self, entry: Entry) -> Node:
        """The typed form of an entry. Raises InvalidConfig where what is kept is not valid (any more)."""
        return parse_node(Key.parse(entry.key), entry.value, self._blocks)

    async def save(self, key: str, value: JSON, etag: str | None = None) -> Entry:
        """Keep `value` where it is valid.

        With `etag` only in place of the value that has it (`*`: of any). Raises InvalidKey, InvalidConfig with all
        problems, Conflict for a stale tag.
        """
        for _ in range(ATTEMPTS):
            kept = await self._documents.find(key)
            _check_etag(key, kept, etag)
            checked = self._checked(key, value, kept)
            try:
                return await self._write(key, checked, kept and kept.text)
            except Conflict:
                if etag is not None:
                    raise
        raise Conflict(f"{key} changes all the time: try again.")

    async def swap(self, key: str, expect: JSON, update: JSON) -> Entry:
        """Compare-and-set; `expect` None: nothing may be there. Raises as `save` does."""
        kept = await self._documents.find(key)
        wanted = None if expect is None else canonical(unmask(expect, kept and kept.value))
        return await self._write(key, self._checked(key, update, kept), wanted)

    async def edit(self, key: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Entry:
        """Keep what `change` makes of the value that is there. Raises NotFound and as `save` does."""
        for _ in range(ATTEMPTS):
            kept = await self._documents.get(key)
            value = change(kept.value)
            if value == kept.value:
                return kept
            try:
                return await self._write(key, self._checked(key, value, kept), kept.text)
            except Conflict:
                continue
        raise Conflict(f"{key} changes all the time: try again.")

    async def delete(self, key: str, etag: str | None = None) -> None:
        """Forget `key`. Raises InvalidKey, NotFound, Conflict for a stale tag."""
        kept = await self._documents.get(key)
        _check_etag(key, kept, etag)
        await self._documents.delete(key, ANYTHING if etag is None else kept.text)
        self._events.publish({"type": "config", "key": kept.key, "action": "REMOVE"})

    async def problems(self, key: str, value: JSON) -> tuple[Problem, ...]:
        """Every mistake of `value`, none when it may be saved. Raises InvalidKey."""
        kept = await self._documents.find(key)
        try:
            self._checked(key, value, kept)
        except InvalidConfig as error:
            return error.problems or (Problem("", error.message),)
        except InvalidInput as error:
            return (Problem("", error.message),)
        return ()

    async def next_id(self) -> int:
        """A number that was never given out before, also by another broker on the same store."""
        entry = await self._counter.edit(COUNTER, lambda last: {"last": (last or {"last": 0})["last"] + 1})
        return entry.value["last"]

    def _checked(self, key: str, value: JSON, kept: Entry | None) -> JSON:
        """`value` with its hidden secrets as they are kept. Raises InvalidConfig with all problems."""
        meant = unmask(value, kept and kept.value)
        parse_node(Key.parse(key), meant, self._blocks)
        return meant

    async def _write(self, key: str, value: JSON, expect: Expect) -> Entry:
        entry = await self._documents.write(key, value, expect)
        action = "ADD" if expect is None else "UPDATE"
        self._events.publish({"type": "config", "key": entry.key, "action": action})
        return entry


def _check_etag(key: str, kept: Entry | None, etag: str | None) -> None:
    if etag is None:
        return
    if kept is None:
        raise Conflict(f"{key} is not there any more.")
    if etag not in ("*", kept.etag):
        raise Conflict(f"{key} has another value by now: read it again and repeat the change.")
