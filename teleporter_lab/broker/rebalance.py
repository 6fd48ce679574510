"""Moving partitions between instances: revoke, wait until they have stopped, record, give.

Owns the order of these steps, one run at a time for each group, and the time an absent instance keeps what it has.
Refuses to decide who gets what: `assign` does. An instance that does not confirm a revocation keeps its partitions; the
move is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from teleporter_lab.broker.assign import assign
from teleporter_lab.broker.assignments import task_of
from teleporter_lab.broker.topology import Group, Topology
from teleporter_lab.errors import Problem, TeleporterError, Unreachable
from teleporter_lab.rpc.messages import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from teleporter_lab.broker.assignments import Assignments
    from teleporter_lab.broker.background import Background
    from teleporter_lab.broker.sessions import Sessions
    from teleporter_lab.engine.clock import Clock

_log = logging.getLogger(__name__)

RETRY_SECONDS = 15.0
"""After which a move is tried again that an instance did not confirm."""

EARLY = 0.001
"""Seconds by which a timer may be early."""

NO_GROUP = ""
"""Stands for the partitions that belong to no group any more: they are taken from everybody."""


class Rebalance:
    """Keeps owners and groups in line while instances come and go."""

    def __init__(self, assignments: Assignments, sessions: Sessions, background: Background, clock: Clock) -> None:
        self._assignments = assignments
        self._sessions = sessions
        self._background = background
        self._clock = clock
        self._gone: dict[str, float] = {}
        self._timers: dict[str, list[asyncio.Task[None]]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._due: defaultdict[str, set[str]] = defaultdict(set)

    async def begin(self, topology: Topology) -> None:
        """Put the first topology in force: former owners are away, and may come back within their groups' delay."""
        await self._assignments.load()
        self._assignments.topology = topology
        for instance in set(self._assignments.owners().values()):
            self._leave(instance)

    def replace(self, topology: Topology) -> set[str]:
        """Put another topology in force; returns the groups that `run_all` must bring in line with it."""
        changed = self._assignments.topology.changed_groups(topology)
        self._assignments.topology = topology
        if self._assignments.orphans():
            changed.add(NO_GROUP)
        return changed

    async def run_all(self, groups: Iterable[str]) -> list[Problem]:
        """`run` for each of `groups`."""
        found = await asyncio.gather(*(self.run(group) for group in sorted(groups)))
        return [problem for problems in found for problem in problems]

    def came(self, instance: str) -> None:
        """An instance is online: tell it what it has, and give it its share."""
        self._gone.pop(instance, None)
        for timer in self._timers.pop(instance, ()):
            timer.cancel()
        for group in self._groups_of(instance):
            self._background.start(self.run(group, {instance}), f"rebalance {group}")

    def went(self, instance: str, ephemeral: bool) -> None:
        """An instance is offline. What an ephemeral one had is free at once."""
        if not ephemeral:
            self._leave(instance)
        for group in self._groups_of(instance):
            self._background.start(self.run(group), f"rebalance {group}")

    async def run(self, group: str, greet: Iterable[str] = ()) -> list[Problem]:
        """Bring the owners of one group in line; the instances in `greet` are told all they have in it.

        Runs of one group follow each other; those that wait are done in one. Returns what instances answered.
        """
        self._due[group].update(greet)
        async with self._locks[group]:
            if group not in self._due:
                return []
            return await self._run(group, self._due.pop(group))

    async def _run(self, key: str, greet: set[str]) -> list[Problem]:
        topology = self._assignments.topology
        group = topology.groups.get(key, Group(key))
        moves = self._moves(topology, group)
        epoch = self._assignments.epoch(key)
        if moves:
            epoch = await self._assignments.next_epoch(key, moves)
            for partition in await self._revoke(moves, epoch):
                del moves[partition]
            await self._assignments.give(moves, epoch)
        told = {(instance, task_of(partition)) for partition, instance in moves.items() if instance}
        told |= {(instance, task) for instance in greet for task in group.tasks}
        return await self._tell(told, epoch)

    def _moves(self, topology: Topology, group: Group) -> dict[str, str | None]:
        """Partition -> its new owner, for those that change it."""
        if group.key == NO_GROUP:
            return dict.fromkeys(self._assignments.orphans())
        online = group.instances & self._sessions.online()
        current = self._assignments.owners()
        target = assign(topology.of_group(group), online, self._away(group), current)
        return {partition: owner for partition, owner in target.items() if current.get(partition) != owner}

    def _away(self, group: Group) -> set[str]:
        """The members that are offline and may still come back."""
        oldest = self._clock.now() + EARLY - group.delay
        return {each for each in group.instances if each in self._gone and self._gone[each] > oldest}

    async def _revoke(self, moves: Mapping[str, str | None], epoch: int) -> set[str]:
        """Take from their online owners what moves; returns what could not be taken."""
        losing: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        online = self._sessions.online()
        for partition in moves:
            owner = self._assignments.owner(partition)
            if owner in online:
                losing[owner, task_of(partition)].add(partition)
        asked = list(losing)
        answers = await asyncio.gather(
            *(self._state(instance, task, losing[instance, task], epoch) for instance, task in asked)
        )
        failed = [place for place, problem in zip(asked, answers, strict=True) if problem]
        for _, task in failed:
            self._later(RETRY_SECONDS, self._group_key(task))
        return {partition for place in failed for partition in losing[place]}

    async def _tell(self, told: set[tuple[str, str]], epoch: int) -> list[Problem]:
        online = self._sessions.online()
        asked = sorted(place for place in told if place[0] in online)
        answers = await asyncio.gather(*(self._state(instance, task, set(), epoch) for instance, task in asked))
        return [problem for problem in answers if problem]

    async def _state(self, instance: str, task: str, without: set[str], epoch: int) -> Problem | None:
        """Tell an instance all it has of a task, less `without`, and wait until that is so."""
        owned = self._assignments.owned(instance).get(task, [])
        partitions = [partition for partition in owned if partition not in without]
        try:
            await self._sessions.request(instance, TaskState(task, partitions, epoch))
        except Unreachable as error:
            _log.warning("%s was not told its share of %s: %s", instance, task, error.message)
            return Problem(task, error.message)
        except TeleporterError as error:
            _log.warning("%s did not take its share of %s: %s", instance, task, error.message)
            return Problem(task, f"{instance}: {error.message}")
        return None

    def _leave(self, instance: str) -> None:
        self._gone[instance] = self._clock.now()
        groups = [group for group in self._assignments.topology.groups_with(instance) if group.delay < float("inf")]
        self._timers[instance] = [self._later(group.delay, group.key) for group in groups]

    def _later(self, seconds: float, group: str) -> asyncio.Task[None]:
        async def wait() -> None:
            await self._clock.sleep(seconds)
            # a task of its own: who cancels the timer must not cut a move in two
            self._background.start(self.run(group), f"rebalance {group}")

        return self._background.start(wait(), f"timer of {group}")

    def _groups_of(self, instance: str) -> set[str]:
        """The groups that `instance` is a member of or still owns something of."""
        owned = {self._group_key(task) for task in self._assignments.owned(instance)}
        return owned | {group.key for group in self._assignments.topology.groups_with(instance)}

    def _group_key(self, task: str) -> str:
        group = self._assignments.topology.group_of(task)
        return group.key if group else NO_GROUP
