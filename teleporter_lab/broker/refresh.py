"""Applying what was saved: the verb refresh, and the reading of the structure at the start.

Owns the steps: read, move partitions, tell the instances concerned, gather what they say. Refuses to decide who is
concerned: `notify` does.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Literal

from teleporter_lab.broker.notify import concerned
from teleporter_lab.broker.topology import STRUCTURE, Topology, build
from teleporter_lab.config.key import Key, Table
from teleporter_lab.errors import InvalidConfig, Problem, TeleporterError
from teleporter_lab.rpc.messages import ConfigChangeNotify

if TYPE_CHECKING:
    from teleporter_lab.broker.assignments import Assignments
    from teleporter_lab.broker.rebalance import Rebalance
    from teleporter_lab.broker.sessions import Sessions
    from teleporter_lab.broker.streams import Streams
    from teleporter_lab.broker.tree import Tree
    from teleporter_lab.config.nodes import Node

_log = logging.getLogger(__name__)

IN_PARTITION = (Table.STREAM, Table.SOURCE, Table.SINK)


class Refresh:
    """Brings saved changes to the instances that they concern."""

    def __init__(
        self, tree: Tree, assignments: Assignments, rebalance: Rebalance, sessions: Sessions, streams: Streams
    ) -> None:
        self._tree = tree
        self._assignments = assignments
        self._rebalance = rebalance
        self._sessions = sessions
        self._streams = streams
        self._reading = asyncio.Lock()

    async def begin(self) -> None:
        """Put in force what is saved."""
        await self._rebalance.begin(await self._read())

    async def apply(self, text: str) -> dict[str, Any]:
        """`{key, notified, problems}`: the online instances that were told, and what they say against the change.

        Groups, tasks, partitions and instances are read anew where the key is one of theirs, or a stream that no
        partition in force has. Raises InvalidKey.
        """
        key = Key.parse(text)
        entry = await self._tree.find(str(key))
        if entry is not None:
            try:
                self._tree.node(entry)
            except InvalidConfig as error:
                return _result(key, (), error.problems or (Problem("", error.message),))
        before = self._concerned(key)
        problems = await self._restructure(key)
        instances = sorted((before | self._concerned(key)) & self._sessions.online())
        action = "REMOVE" if entry is None else "UPSERT"
        answers = await asyncio.gather(*(self._notify(instance, str(key), action) for instance in instances))
        if entry is None and key.table is Table.STREAM:
            await self._streams.forget(str(key))
        return _result(key, instances, [*problems, *(problem for found in answers for problem in found)])

    async def _restructure(self, key: Key) -> list[Problem]:
        lost = key.table in IN_PARTITION and not self._assignments.topology.partition_of(str(key.stream))
        if key.table not in STRUCTURE and not lost:
            return []
        async with self._reading:  # what was read later must not be replaced by what was read before
            changed = self._rebalance.replace(await self._read())
        return await self._rebalance.run_all(changed)

    def _concerned(self, key: Key) -> frozenset[str]:
        return concerned(key, self._assignments.topology, self._assignments.owners(), self._sessions.links())

    async def _notify(self, instance: str, key: str, action: Literal["UPSERT", "REMOVE"]) -> tuple[Problem, ...]:
        try:
            await self._sessions.request(instance, ConfigChangeNotify(key, action))
        except TeleporterError as error:
            return error.problems or (Problem("", f"{instance}: {error.message}"),)
        return ()

    async def _read(self) -> Topology:
        """The structure as saved; what is not valid any more is left out, and named in the log."""
        nodes: list[tuple[Key, Node]] = []
        for table in STRUCTURE:
            for entry in await self._tree.range(f"/{table}/"):
                try:
                    nodes.append((Key.parse(entry.key), self._tree.node(entry)))
                except InvalidConfig as error:
                    _log.error("%s is not in force: %s", entry.key, error)
        return build(nodes)


def _result(key: Key, notified: list[str] | tuple[()], problems: list[Problem] | tuple[Problem, ...]) -> dict[str, Any]:
    return {
        "key": str(key),
        "notified": list(notified),
        "problems": [{"path": problem.path, "message": problem.message} for problem in problems],
    }
