"""Where a deployed stream is to run, as the config documents that say so. Pure.

Owns the smallest change of groups, tasks and partitions that makes an instance or a group run a stream. Refuses to save
anything (`deploy` does).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from teleporter_lab.config.key import Key, Table
from teleporter_lab.errors import InvalidKey
from teleporter_lab.instance.ownership import patterns_of, streams_of

Documents = Mapping[Key, dict[str, Any]]


def place(stream: Key, target: Key, existing: Documents) -> dict[Key, dict[str, Any]]:
    """The documents to save so that `target` (an instance or a group) runs `stream`; those that are right are left out.

    An instance gets a group of its own name, beside one that it may belong to already. Raises InvalidKey for a target
    of another table.
    """
    if target.table not in {Table.INSTANCE, Table.GROUP}:
        raise InvalidKey(f"A stream is deployed to an instance or a group, for example /instance/{stream.ns}/one.")
    wanted: dict[Key, dict[str, Any]] = {}
    if target.table is Table.INSTANCE:
        group = target.parent.child(Table.GROUP, target.name) if target.parent else target
        wanted[target] = {"group": str(group), **existing.get(target, {})}
        wanted[group] = _with(existing.get(group, {}), "instances", str(target))
    else:
        group = target
        wanted[group] = dict(existing.get(group, {}))
    wanted[group] = _with(wanted[group], "tasks", str(stream.task))
    for other, value in existing.items():
        if other.table is Table.GROUP and other != group and str(stream.task) in (value.get("tasks") or ()):
            wanted[other] = {**value, "tasks": [task for task in value["tasks"] if task != str(stream.task)]}
    wanted[stream.task] = {**existing.get(stream.task, {}), "group": str(group)}
    if not _covered(stream, existing):
        partition = stream.task.child(Table.PARTITION, "all")
        everything = f"/stream/{stream.ns}/{stream.task.name}/.*"
        wanted[partition] = _with(existing.get(partition, {}), "keys", everything)
    return {key: value for key, value in wanted.items() if existing.get(key) != value}


def _with(value: dict[str, Any], field: str, item: str) -> dict[str, Any]:
    items = list(value.get(field) or ())
    return {**value, field: items if item in items else [*items, item]}


def _covered(stream: Key, existing: Documents) -> bool:
    partitions = {k: v for k, v in existing.items() if k.table is Table.PARTITION and k.task == stream.task}
    return bool(streams_of([stream], patterns_of(partitions), map(str, partitions)))
