from __future__ import annotations

import pytest

from teleporter_lab.broker.assignments import Assignments, stream_of, task_of
from teleporter_lab.broker.documents import Documents
from teleporter_lab.broker.stores.memory import MemoryStore
from teleporter_lab.broker.topology import Group, Partition, Topology
from teleporter_lab.config.tail_regex import TailRegex
from teleporter_lab.errors import Conflict, InvalidKey

A, B = "/instance/ns/a", "/instance/ns/b"
P0, P1 = "/partition/ns/t/p0", "/partition/ns/t/p1"
G = "/group/ns/g"
POSITION = "/position/ns/t/s0/in"


def topology() -> Topology:
    partitions = tuple(Partition(key, (TailRegex.parse(f"/stream/ns/t/s{n}"),)) for n, key in enumerate((P0, P1)))
    return Topology({G: Group(G, frozenset({"/task/ns/t"}))}, {"/task/ns/t": partitions})


@pytest.fixture
def runtime() -> Documents:
    return Documents(MemoryStore())


@pytest.fixture
def assignments(runtime: Documents) -> Assignments:
    found = Assignments(runtime, lambda: 7.0)
    found.topology = topology()
    return found


async def test_owners_are_kept_in_memory_and_on_disk(runtime: Documents, assignments: Assignments) -> None:
    await assignments.give({P0: A, P1: B}, await assignments.next_epoch(G, [P0, P1]))
    assert assignments.owners() == {P0: A, P1: B}
    assert (assignments.owner(P0), assignments.owner("/partition/ns/t/p9"), assignments.owner(None)) == (A, None, None)
    assert assignments.owned(A) == {"/task/ns/t": [P0]}
    assert (await runtime.get(P0)).value == {"instance": A, "epoch": 1, "at": 7.0}
    again = Assignments(runtime, lambda: 8.0)
    await again.load()
    assert again.owners() == assignments.owners()
    assert again.epoch(G) == 1


async def test_an_owner_who_is_nobody_is_forgotten(runtime: Documents, assignments: Assignments) -> None:
    await assignments.give({P0: A, P1: A}, 1)
    await runtime.delete(P1)
    await assignments.give({P0: None, P1: None}, 2)
    assert assignments.owners() == {}
    assert await runtime.range("/partition/") == []


async def test_an_epoch_is_later_than_all_before(assignments: Assignments) -> None:
    await assignments.give({P0: A}, 50)
    assert await assignments.next_epoch(G, [P0]) == 51
    assert await assignments.next_epoch(G, []) == 52
    assert await assignments.next_epoch("/group/ns/other", []) == 1


async def test_what_exists_no_more_is_an_orphan(assignments: Assignments) -> None:
    await assignments.give({P0: A, "/partition/ns/t/gone": A, "/partition/ns/other/p": B}, 1)
    assert assignments.orphans() == ["/partition/ns/other/p", "/partition/ns/t/gone"]


async def test_only_the_owner_of_the_epoch_commits(assignments: Assignments) -> None:
    await assignments.give({P0: A}, 3)
    assignments.check_commit(POSITION, A, 3)
    assignments.check_commit(POSITION, A, 4)
    with pytest.raises(Conflict, match="commit of epoch 2"):
        assignments.check_commit(POSITION, A, 2)
    for instance, position in ((B, POSITION), (A, "/position/ns/t/s1/in"), (A, "/position/ns/other/s0/in")):
        with pytest.raises(Conflict, match="is not run by"):
            assignments.check_commit(position, instance, 9)


async def test_only_the_owner_puts_records_aside(assignments: Assignments) -> None:
    await assignments.give({P0: A}, 3)
    assignments.check_letters("/stream/ns/t/s0", A)
    for instance, stream in ((B, "/stream/ns/t/s0"), (A, "/stream/ns/t/s1"), (A, "/stream/ns/other/s0")):
        with pytest.raises(Conflict, match="its records were not put aside"):
            assignments.check_letters(stream, instance)


def test_keys_are_derived() -> None:
    assert task_of(P0) == "/task/ns/t"
    assert stream_of(POSITION) == "/stream/ns/t/s0"
    for wrong in ("", "/position/ns/t/s0", "/stream/ns/t/s0/in", "/position/ns/t/s0/in/more"):
        with pytest.raises(InvalidKey, match="is no position"):
            stream_of(wrong)
