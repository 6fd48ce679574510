"""Who gets which partition: one pure function. Owns the rule; refuses to know why somebody is here or away."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def assign(
    partitions: Iterable[str], online: Iterable[str], away: Iterable[str], current: Mapping[str, str]
) -> dict[str, str]:
    """Partition -> instance, for every partition somebody can have.

    An instance in `away` keeps exactly what it has. What is left is spread over `online`: the loads of any two differ
    by at most one, and as many partitions as that allows stay where they are, so an unchanged world changes nothing.
    The result depends on the sets only, not on their order. A partition is missing in it when nobody is online.
    """
    waiting = set(away) - set(online)
    members = sorted(set(online))
    wanted = sorted(set(partitions))
    assigned = {name: current[name] for name in wanted if current.get(name) in waiting}
    free = [name for name in wanted if name not in assigned]
    if not members:
        return assigned
    held = _held(free, members, current)
    quota = _quotas(len(free), held)
    for member, names in held.items():
        assigned.update((name, member) for name in names[: quota[member]])
    rest = iter([name for name in free if name not in assigned])
    for member, names in held.items():
        for _ in range(quota[member] - len(names)):
            assigned[next(rest)] = member
    return assigned


def _held(free: list[str], members: list[str], current: Mapping[str, str]) -> dict[str, list[str]]:
    """What each member has now of the partitions that are to be spread."""
    held: dict[str, list[str]] = {member: [] for member in members}
    for name in free:
        owner = current.get(name)
        if owner in held:
            held[owner].append(name)
    return held


def _quotas(count: int, held: Mapping[str, list[str]]) -> dict[str, int]:
    """How many each may have: the odd ones go to those who hold the most, since that moves the least."""
    base, odd = divmod(count, len(held))
    by_load = sorted(held, key=lambda member: (-len(held[member]), member))
    return {member: base + (place < odd) for place, member in enumerate(by_load)}
