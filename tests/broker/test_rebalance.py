from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.errors import LogicError
from teleporter_lab.rpc.messages import Done, Message, TaskState
from tests.broker.conftest import World, group, partitions, settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

A, B, C = "/instance/ns/a", "/instance/ns/b", "/instance/ns/c"
GROUP = "/group/ns/g"
TASK = "/task/ns/t"


async def of_two(world: World, count: int = 4, delay: str = "1.minutes") -> None:
    await world.put({GROUP: group(A, B, C, delay=delay), TASK: {}, **partitions(count)})
    await world.service.refresh(GROUP)


async def test_partitions_are_spread_over_who_is_online(world: World) -> None:
    await of_two(world)
    assert world.owners() == {}
    a = await world.come(A)
    assert set(world.owners().values()) == {A}
    assert len(a.shares()[TASK]) == 4
    b = await world.come(B)
    assert Counter(world.owners().values()) == {A: 2, B: 2}
    assert sorted(a.shares()[TASK] + b.shares()[TASK]) == sorted(partitions(4))


async def test_who_returns_within_the_delay_finds_everything_as_it_was(world: World) -> None:
    await of_two(world)
    await world.come(A)
    b = await world.come(B)
    before = world.owners()
    await world.go(A)
    await world.clock.advance(59)
    asked = len(b.asked)
    a = await world.come(A)
    await world.clock.advance(120)
    assert world.owners() == before
    assert len(b.asked) == asked
    assert a.shares()[TASK] == sorted(name for name, owner in before.items() if owner == A)


async def test_who_stays_away_loses_its_partitions_after_the_delay(world: World) -> None:
    await of_two(world)
    await world.come(A)
    b = await world.come(B)
    await world.go(A)
    await world.clock.advance(59)
    assert Counter(world.owners().values()) == {A: 2, B: 2}
    await world.clock.advance(1)
    assert set(world.owners().values()) == {B}
    assert len(b.shares()[TASK]) == 4


async def test_an_infinite_delay_moves_nothing_ever(world: World) -> None:
    await of_two(world, delay="Inf")
    await world.come(A)
    await world.come(B)
    before = world.owners()
    await world.go(A)
    await world.clock.advance(10**9)
    assert world.owners() == before


async def test_what_an_ephemeral_instance_had_is_free_at_once(world: World) -> None:
    await of_two(world)
    await world.come(A)
    await world.come(B, ephemeral=True)
    await world.go(B)
    assert set(world.owners().values()) == {A}


async def test_a_newcomer_does_not_take_what_somebody_away_may_come_back_for(world: World) -> None:
    await of_two(world)
    await world.come(A)
    await world.come(B)
    kept = {name for name, owner in world.owners().items() if owner == A}
    await world.go(A)
    await world.come(C)
    assert {name for name, owner in world.owners().items() if owner == A} == kept
    assert Counter(world.owners().values()) == {A: 2, B: 1, C: 1}


async def test_a_partition_is_given_only_when_its_former_owner_has_stopped(world: World) -> None:
    await of_two(world)
    a = await world.come(A)
    stopped = asyncio.Event()
    told: list[TaskState] = []

    async def slow(message: Message) -> Message:
        assert isinstance(message, TaskState)
        told.append(message)
        await stopped.wait()
        return Done()

    a.answer = slow
    b = await world.come(B)
    assert [len(state.partitions) for state in told] == [2]
    assert set(world.owners().values()) == {A}
    assert b.shares() == {}
    stopped.set()
    await settled()
    assert Counter(world.owners().values()) == {A: 2, B: 2}
    assert sorted(b.shares()[TASK] + told[0].partitions) == sorted(partitions(4))


async def test_a_revocation_that_fails_moves_nothing_and_is_tried_again(world: World) -> None:
    await of_two(world)
    a = await world.come(A)

    async def refuse(message: Message) -> Message:
        raise LogicError("It does not stop.")

    a.answer = refuse
    b = await world.come(B)
    assert set(world.owners().values()) == {A}
    assert b.shares()[TASK] == []
    a.answer = None
    await world.clock.advance(15)
    assert Counter(world.owners().values()) == {A: 2, B: 2}


async def test_an_instance_that_goes_while_it_is_asked_to_stop_keeps_its_partitions(world: World) -> None:
    await of_two(world)
    a = await world.come(A)
    asked = asyncio.Event()

    async def vanish(message: Message) -> Message:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    a.answer = vanish
    coming = asyncio.create_task(world.come(B))
    await asked.wait()
    await coming
    assert set(world.owners().values()) == {A}


async def test_epochs_grow_with_every_move_and_survive_a_restart(
    open_world: Callable[[], Awaitable[World]],
) -> None:
    world = await open_world()
    await of_two(world)
    a = await world.come(A)
    first = [message.epoch for message in a.asked if isinstance(message, TaskState)]
    b = await world.come(B)
    second = [message.epoch for message in b.asked if isinstance(message, TaskState)]
    assert max(first) < min(second)
    again = await open_world()
    assert again.owners() == world.owners()
    c = await again.come(C)
    assert Counter(again.owners().values()) == {A: 2, B: 2}, "former owners may still come back"
    await again.clock.advance(61)
    assert set(again.owners().values()) == {C}
    assert min(m.epoch for m in c.asked if isinstance(m, TaskState) and m.partitions) > max(second)


async def test_nothing_moves_when_a_restarted_broker_finds_everybody_again(
    open_world: Callable[[], Awaitable[World]],
) -> None:
    world = await open_world()
    await of_two(world)
    await world.come(A)
    await world.come(B)
    records = await world.service.runtime.range("/partition/")
    again = await open_world()
    await again.come(B)
    await again.come(A)
    await again.clock.advance(1000)
    assert await again.service.runtime.range("/partition/") == records


async def test_a_deleted_partition_is_taken_away_and_forgotten(world: World) -> None:
    await of_two(world)
    a = await world.come(A)
    await world.service.tree.delete("/partition/ns/t/p1")
    assert len(world.owners()) == 4, "saving is not applying"
    result = await world.service.refresh("/partition/ns/t/p1")
    assert result["notified"] == [A]
    assert "/partition/ns/t/p1" not in world.owners()
    assert a.shares()[TASK] == ["/partition/ns/t/p0", "/partition/ns/t/p2", "/partition/ns/t/p3"]
    assert len(await world.service.runtime.range("/partition/")) == 3


async def test_a_task_that_changes_its_group_moves(world: World) -> None:
    await of_two(world)
    other = {"/group/ns/h": group(B, tasks=())}
    await world.put({**other, GROUP: group(A)})
    await world.service.refresh(GROUP)
    await world.service.refresh("/group/ns/h")
    a, b = await world.come(A), await world.come(B)
    assert set(world.owners().values()) == {A}
    await world.put({TASK: {"group": "/group/ns/h"}})
    await world.service.refresh(TASK)
    assert set(world.owners().values()) == {B}
    assert a.shares()[TASK] == []
    assert len(b.shares()[TASK]) == 4


async def test_an_instance_that_leaves_its_group_loses_what_it_had(world: World) -> None:
    await of_two(world)
    a = await world.come(A)
    await world.come(B)
    await world.put({GROUP: group(B)})
    await world.service.refresh(GROUP)
    assert set(world.owners().values()) == {B}
    assert a.shares()[TASK] == []


async def test_an_instance_that_names_its_group_is_a_member(world: World) -> None:
    await world.put({GROUP: group(), TASK: {}, **partitions(2), A: {"group": GROUP}})
    await world.service.refresh(GROUP)
    await world.come(A)
    assert set(world.owners().values()) == {A}


async def test_partitions_of_two_tasks_are_spread_as_one(world: World) -> None:
    tasks = ("/task/ns/t", "/task/ns/u")
    await world.put({GROUP: group(A, B, tasks=tasks), TASK: {}, "/task/ns/u": {}})
    await world.put({**partitions(3), **partitions(3, "u")})
    await world.service.refresh(GROUP)
    a, b = await world.come(A), await world.come(B)
    assert Counter(world.owners().values()) == {A: 3, B: 3}
    for remote, instance in ((a, A), (b, B)):
        told = sorted(name for share in remote.shares().values() for name in share)
        assert told == sorted(name for name, owner in world.owners().items() if owner == instance)


@pytest.mark.parametrize("count", [1, 2, 7])
async def test_many_who_come_at_once_share_evenly(world: World, count: int) -> None:
    everybody = [f"/instance/ns/i{n}" for n in range(count)]
    await world.put({GROUP: group(*everybody), TASK: {}, **partitions(20)})
    await world.service.refresh(GROUP)
    await asyncio.gather(*(world.come(instance) for instance in everybody))
    await settled()
    loads = Counter(world.owners().values())
    assert sum(loads.values()) == 20
    assert max(loads.values()) - min(loads.values()) <= 1
    for instance in everybody:
        remote = world.sessions[instance].peer
        told = remote.shares().get(TASK, [])  # type: ignore[attr-defined]
        assert told == sorted(name for name, owner in world.owners().items() if owner == instance)
