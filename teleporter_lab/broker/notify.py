"""Which instances a change concerns: one pure function, the rule of a refresh. Refuses to tell anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from teleporter_lab.config.key import Key, Table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from teleporter_lab.broker.topology import Topology


def concerned(
    key: Key, topology: Topology, owners: Mapping[str, str], links: Mapping[str, Collection[str]]
) -> frozenset[str]:
    """The keys of the instances that must hear that `key` changed, online or not.

    `owners` is partition -> instance, `links` address or variable -> the instances that use it. Raises InvalidPattern
    when the pattern of a partition takes too long.
    """
    text = str(key)
    match key.table:
        case Table.INSTANCE:
            return frozenset({text})
        case Table.GROUP:
            group = topology.groups.get(text)
            return group.instances if group else frozenset()
        case Table.TASK:
            group = topology.group_of(text)
            running = (owners.get(partition.key) for partition in topology.partitions.get(text, ()))
            return _known(running) | (group.instances if group else _known(()))
        case Table.PARTITION:
            return _known([owners.get(text)])
        case Table.STREAM | Table.SOURCE | Table.SINK:
            partition = topology.partition_of(str(key.stream))
            return _known([owners.get(partition)]) if partition else frozenset()
        case Table.ADDRESS | Table.VARIABLE:
            return frozenset(links.get(text, ()))
        case Table.NAMESPACE | Table.BROKER:
            return frozenset()


def _known(instances: Iterable[str | None]) -> frozenset[str]:
    return frozenset(each for each in instances if each)
