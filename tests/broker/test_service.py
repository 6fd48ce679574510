from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.errors import UnknownConnector, UnknownTable
from tests.broker.conftest import group, partitions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.broker.conftest import World

A = "/instance/ns/a"


async def test_forms_come_from_the_catalogue(world: World) -> None:
    assert "client" in world.service.schema("source")["properties"]
    assert world.service.schema("source", "kafka") != world.service.schema("source")
    with pytest.raises(UnknownTable, match="namespace"):
        world.service.schema("nonsense")
    with pytest.raises(UnknownConnector):
        world.service.schema("source", "nonsense")


async def test_the_numbers_of_each_part(world: World) -> None:
    await world.come(A)
    with world.service.events.subscribe():
        assert world.service.statistics() == {
            "events": {"listeners": 1, "dropped": 0},
            "sessions": {"open": 1, "online": 1},
            "streams": {"reported": 0},
            "background": {"running": 1, "failed": 0},
        }


async def test_the_end_says_goodbye_to_instances_and_listeners(open_world: Callable[[], Awaitable[World]]) -> None:
    world = await open_world()
    await world.put({"/group/ns/g": group(A), "/task/ns/t": {}, **partitions(1)})
    await world.service.refresh("/group/ns/g")
    remote = await world.come(A)
    with world.service.events.subscribe() as news:
        await world.service.__aexit__(None, None, None)
        async with asyncio.timeout(10):
            assert [event async for event in news] == []
    assert remote.closed
    assert (await (await open_world()).service.runtime.get("/partition/ns/t/p0")).value["instance"] == A
