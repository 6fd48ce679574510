"""Who could run what: groups, their tasks and instances, and which partition a stream falls into. Pure.

Owns the structure that is in force: what was read at the start or applied by a refresh, not what was saved since.
Refuses to know who is online (`sessions`) and who owns what (`assignments`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from teleporter_lab.config.key import Key, Table
from teleporter_lab.config.nodes import GroupNode, InstanceNode, Node, PartitionNode, TaskNode
from teleporter_lab.config.tail_regex import TailRegex

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STRUCTURE = (Table.GROUP, Table.TASK, Table.INSTANCE, Table.PARTITION)
"""The tables a topology is made of."""

OFFLINE_DELAY = 60.0
"""Seconds an absent instance keeps its partitions where its group does not say."""

REMEMBERED = 200_000
"""Streams whose partition is remembered; more are looked up again."""


@dataclass(frozen=True)
class Group:
    """What is spread over whom. `delay` in seconds, may be infinite."""

    key: str
    tasks: frozenset[str] = frozenset()
    instances: frozenset[str] = frozenset()
    delay: float = OFFLINE_DELAY


@dataclass(frozen=True)
class Partition:
    """A share of a task's streams: those that one of `patterns` matches."""

    key: str
    patterns: tuple[TailRegex, ...]

    def matches(self, stream: str) -> bool:
        """Raises InvalidPattern when a pattern takes too long."""
        return any(pattern.matches(stream) for pattern in self.patterns)


@dataclass(frozen=True)
class Topology:
    """All groups and partitions. A task without a group, and a stream without a partition, is run by nobody."""

    groups: Mapping[str, Group] = field(default_factory=dict[str, Group])
    partitions: Mapping[str, tuple[Partition, ...]] = field(default_factory=dict[str, tuple[Partition, ...]])
    """The partitions of each task, by key."""
    _known: dict[str, str | None] = field(default_factory=dict[str, "str | None"], compare=False, repr=False)

    def group_of(self, task: str) -> Group | None:
        """The group that has `task`."""
        return next((group for group in self.groups.values() if task in group.tasks), None)

    def groups_with(self, instance: str) -> list[Group]:
        """The groups whose partitions `instance` may get."""
        return [group for group in self.groups.values() if instance in group.instances]

    def of_group(self, group: Group) -> list[str]:
        """The keys of all partitions that are spread over `group`."""
        return [partition.key for task in sorted(group.tasks) for partition in self.partitions.get(task, ())]

    def partition_of(self, stream: str) -> str | None:
        """The partition that has `stream`: of several that match, the first by key."""
        if stream not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            among = self.partitions.get(str(Key.parse(stream).task), ())
            self._known[stream] = next((each.key for each in among if each.matches(stream)), None)
        return self._known[stream]

    def changed_groups(self, other: Topology) -> set[str]:
        """The groups that are not the same in `other`, with their partitions."""
        keys = set(self.groups) | set(other.groups)
        return {key for key in keys if self._slice(key) != other._slice(key)}

    def _slice(self, key: str) -> tuple[Group | None, list[tuple[Partition, ...]]]:
        group = self.groups.get(key)
        tasks = sorted(group.tasks) if group else ()
        return group, [self.partitions.get(task, ()) for task in tasks]


def build(nodes: Iterable[tuple[Key, Node]]) -> Topology:
    """The topology that these nodes describe; nodes of other tables are not looked at.

    A task belongs to the group it names, else to the first group that lists it; an instance to every group that
    lists it and to the one it names. A group that is named and not there exists, with the default delay.
    """
    delays: dict[str, float] = {}
    tasks: dict[str, set[str]] = defaultdict(set)
    instances: dict[str, set[str]] = defaultdict(set)
    named: dict[str, str] = {}
    partitions: dict[str, list[Partition]] = defaultdict(list)
    for key, node in sorted(nodes, key=lambda item: item[0]):
        match node:
            case GroupNode():
                delays[str(key)] = node.instance_offline_re_balance_time
                tasks[str(key)].update(node.tasks or ())
                instances[str(key)].update(node.instances or ())
            case TaskNode() if node.group:
                named[str(key)] = node.group
            case InstanceNode() if node.group:
                instances[node.group].add(str(key))
            case PartitionNode():
                patterns = tuple(TailRegex.parse(text) for text in node.keys or ())
                partitions[str(key.task)].append(Partition(str(key), patterns))
            case _:
                pass
    owned = _one_group_each(tasks, named)
    groups = {
        key: Group(
            key, frozenset(owned.get(key, ())), frozenset(instances.get(key, ())), delays.get(key, OFFLINE_DELAY)
        )
        for key in sorted({*delays, *owned, *instances})
    }
    return Topology(groups, {task: tuple(found) for task, found in partitions.items()})


def _one_group_each(listed: Mapping[str, set[str]], named: Mapping[str, str]) -> dict[str, set[str]]:
    """Group -> tasks, every task in one group only."""
    home = dict(named)
    for group in sorted(listed):
        for task in listed[group]:
            home.setdefault(task, group)
    owned: dict[str, set[str]] = defaultdict(set)
    for task, group in home.items():
        owned[group].add(task)
    return owned
