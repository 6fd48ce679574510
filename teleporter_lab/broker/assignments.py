"""Who owns which partition: the record of it, with epochs.

Owns the runtime records `/partition/...` `{instance, epoch, at}` and `/group/...` `{epoch, at}`, and says no to commits
of former owners. Refuses to decide who should own what (`assign`) and to talk to instances (`rebalance`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from teleporter_lab.broker.topology import Topology
from teleporter_lab.errors import Conflict, InvalidKey, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from teleporter_lab.broker.documents import Documents


@dataclass(frozen=True)
class Owner:
    """Since when, in seconds of the epoch, and as which epoch an instance owns a partition."""

    instance: str
    epoch: int
    at: float


class Assignments:
    """Owners by partition, in memory as on disk, and the topology that is in force."""

    def __init__(self, runtime: Documents, now: Callable[[], float]) -> None:
        self._runtime = runtime
        self._now = now
        self._owners: dict[str, Owner] = {}
        self._epochs: dict[str, int] = {}
        self.topology = Topology()

    async def load(self) -> None:
        """Read what an earlier run of the broker decided."""
        for entry in await self._runtime.range("/partition/"):
            value = entry.value
            self._owners[entry.key] = Owner(value["instance"], value["epoch"], value["at"])
        for entry in await self._runtime.range("/group/"):
            self._epochs[entry.key] = entry.value["epoch"]

    def owners(self) -> Mapping[str, str]:
        """Partition -> instance."""
        return {partition: owner.instance for partition, owner in self._owners.items()}

    def owner(self, partition: str | None) -> str | None:
        """The instance that has `partition`."""
        owner = self._owners.get(partition or "")
        return owner.instance if owner else None

    def owned(self, instance: str) -> dict[str, list[str]]:
        """Task -> partitions, of one instance."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for partition in sorted(self._owners):
            if self._owners[partition].instance == instance:
                found[task_of(partition)].append(partition)
        return found

    def orphans(self) -> list[str]:
        """Partitions that are owned and exist no more, or whose task is in no group."""
        known = {partition for group in self.topology.groups.values() for partition in self.topology.of_group(group)}
        return sorted(set(self._owners) - known)

    def epoch(self, group: str) -> int:
        """The last epoch of a group, 0 before its first."""
        return self._epochs.get(group, 0)

    async def next_epoch(self, group: str, partitions: Iterable[str]) -> int:
        """A new epoch, later than the group's and than that of each of these partitions, on disk."""
        earlier = [self._owners[each].epoch for each in partitions if each in self._owners]
        epoch = 1 + max([self.epoch(group), *earlier])
        self._epochs[group] = epoch
        if group:
            await self._runtime.write(group, {"epoch": epoch, "at": self._now()})
        return epoch

    async def give(self, moves: Mapping[str, str | None], epoch: int) -> None:
        """Record new owners; None: nobody, the partition is forgotten."""
        await asyncio.gather(*(self._give(partition, instance, epoch) for partition, instance in moves.items()))

    async def _give(self, partition: str, instance: str | None, epoch: int) -> None:
        if instance is None:
            with suppress(NotFound):  # where an operator deleted the record
                await self._runtime.delete(partition)
            self._owners.pop(partition, None)
            return
        owner = Owner(instance, epoch, self._now())
        await self._runtime.write(partition, {"instance": instance, "epoch": epoch, "at": owner.at})
        self._owners[partition] = owner

    def check_commit(self, position: str, instance: str, epoch: int) -> None:
        """Raise Conflict where an instance that commits `position` does not own its stream (any more)."""
        stream = stream_of(position)
        owner = self._owner(stream)
        if owner is None or owner.instance != instance:
            raise Conflict(f"{stream} is not run by {instance}: its position was not changed.")
        if epoch < owner.epoch:
            raise Conflict(
                f"{stream} was given to {instance} anew, as epoch {owner.epoch}: "
                f"its position was not changed by a commit of epoch {epoch}."
            )

    def check_letters(self, stream: str, instance: str) -> None:
        """Raise Conflict where an instance puts records of a stream aside that it does not own (any more)."""
        owner = self._owner(stream)
        if owner is None or owner.instance != instance:
            raise Conflict(f"{stream} is not run by {instance}: its records were not put aside.")

    def _owner(self, stream: str) -> Owner | None:
        return self._owners.get(self.topology.partition_of(stream) or "")


def task_of(partition: str) -> str:
    """The task of a partition, as text."""
    _, _, namespace, task, _ = partition.split("/")
    return f"/task/{namespace}/{task}"


def stream_of(position: str) -> str:
    """The stream that `/position/ns/task/stream/source` belongs to. Raises InvalidKey."""
    segments = position.split("/")
    if len(segments) != 6 or segments[1] != "position":
        raise InvalidKey(f"{position[:80]!r} is no position: write /position/ns/task/stream/source.")
    return f"/stream/{segments[2]}/{segments[3]}/{segments[4]}"
