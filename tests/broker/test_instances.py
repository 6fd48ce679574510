from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.broker.instances import instance_key
from teleporter_lab.errors import InvalidKey, NotFound
from teleporter_lab.rpc.messages import LogLines, LogTail, Message
from tests.broker.conftest import World, group, partitions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

A, B = "/instance/ns/a", "/instance/ns/b"


async def views(world: World) -> dict[str, tuple[str, list[str], bool]]:
    found = await world.service.instance_views()
    return {view["key"]: (view["status"], view["partitions"], view["ephemeral"]) for view in found}


async def test_instances_that_are_configured_seen_or_here_are_shown(world: World) -> None:
    await world.put({"/group/ns/g": group(B), "/task/ns/t": {}, **partitions(2), A: {}})
    await world.service.refresh("/group/ns/g")
    await world.come(B)
    await world.come("/instance/ns/c", ephemeral=True)
    assert await views(world) == {
        A: ("OFFLINE", [], False),
        B: ("ONLINE", ["/partition/ns/t/p0", "/partition/ns/t/p1"], False),
        "/instance/ns/c": ("ONLINE", [], True),
    }
    await world.go(B)
    await world.go("/instance/ns/c")
    assert (await views(world))[B][0] == "OFFLINE"
    assert "/instance/ns/c" not in await views(world)


async def test_a_record_says_since_when_and_where(world: World) -> None:
    await world.come(A)
    record = await world.service.runtime.get(A)
    assert record.value == {"status": "ONLINE", "at": 1_700_000_000.0, "broker": "/broker/ns/b"}
    await world.service.instances.reported(world.sessions[A], "DRAINING", 7.0)
    assert (await views(world))[A][0] == "DRAINING"


async def test_who_was_online_when_the_broker_died_is_not_online(
    open_world: Callable[[], Awaitable[World]],
) -> None:
    await (await open_world()).come(A)
    assert (await views(await open_world()))[A][0] == "OFFLINE"


async def test_coming_and_going_are_events_and_linking_twice_is_not(world: World) -> None:
    with world.service.events.subscribe() as news:
        await world.come(A)
        await world.service.instances.link(world.sessions[A], ephemeral=False)
        await world.go(A)
        world.service.events.close()
        events = [(event["type"], event["key"], event["status"]) async for event in news]
    assert events == [("instance", A, "ONLINE"), ("instance", A, "OFFLINE")]


async def test_the_log_of_an_instance_is_followed_until_nobody_listens(world: World) -> None:
    remote = await world.come(A)

    async def answer(message: Message) -> Message:
        return LogLines(["old"])

    remote.answer = answer
    log = world.service.log(A, 5)
    assert await anext(log) == ["old"]
    world.sessions[A].log.publish(["new", "newer"])
    assert await anext(log) == ["new", "newer"]
    await log.aclose()
    tails = [message for message in remote.asked if isinstance(message, LogTail)]
    assert tails == [LogTail(A, 5, follow=True), LogTail(A, 0, follow=False)]


async def test_a_log_ends_when_its_instance_leaves(world: World) -> None:
    await world.come(A)
    log = world.service.log(A, 5)
    reading = asyncio.create_task(anext(log))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await world.go(A)
    with pytest.raises(StopAsyncIteration):
        await reading


async def test_only_an_instance_that_is_here_has_a_log(world: World) -> None:
    with pytest.raises(NotFound, match="not connected"):
        await anext(world.service.log(A, 5))
    with pytest.raises(InvalidKey, match="is no instance"):
        world.service.log("/stream/ns/t/s", 5)
    assert instance_key(A) == A
