from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.errors import InvalidKey, Problem, TemplateError
from teleporter_lab.rpc.messages import ConfigChangeNotify, Done, Message
from tests.broker.conftest import Remote, World, group, partitions, settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from teleporter_lab.broker.stores.base import Stores

A, B, C = "/instance/ns/a", "/instance/ns/b", "/instance/ns/c"


def notified(remote: Remote) -> list[tuple[str, str]]:
    return [(message.key, message.action) for message in remote.asked if isinstance(message, ConfigChangeNotify)]


async def two(world: World) -> tuple[Remote, Remote]:
    await world.put({"/group/ns/g": group(A, B), "/task/ns/t": {}, **partitions(2)})
    await world.put({"/stream/ns/t/s0": {}, "/stream/ns/t/s1": {}})
    await world.service.refresh("/group/ns/g")
    return await world.come(A), await world.come(B)


async def test_a_refresh_reaches_only_the_concerned(world: World) -> None:
    remotes = dict(zip((A, B), await two(world), strict=True))
    for number in range(2):
        owner = world.owners()[f"/partition/ns/t/p{number}"]
        result = await world.service.refresh(f"/stream/ns/t/s{number}")
        assert result == {"key": f"/stream/ns/t/s{number}", "notified": [owner], "problems": []}
        assert notified(remotes[owner]) == [(f"/stream/ns/t/s{number}", "UPSERT")]
    result = await world.service.refresh("/task/ns/t")
    assert result["notified"] == [A, B]


async def test_linked_addresses_reach_who_linked_them(world: World) -> None:
    _a, b = await two(world)
    world.sessions[A].uses.add("/address/ns/db")
    await world.put({"/address/ns/db": {"category": "kafka", "client": {"topics": "x"}}})
    assert (await world.service.refresh("/address/ns/db"))["notified"] == [A]
    assert notified(b) == []


async def test_a_deleted_stream_is_removed_and_its_state_forgotten(world: World) -> None:
    await two(world)
    owner = world.owners()["/partition/ns/t/p0"]
    await world.service.runtime.write("/stream/ns/t/s0", {"status": "RUNNING"})
    await world.service.tree.delete("/stream/ns/t/s0")
    await world.service.refresh("/stream/ns/t/s0")
    remote = world.sessions[owner].peer
    assert isinstance(remote, Remote)
    assert notified(remote) == [("/stream/ns/t/s0", "REMOVE")]
    assert await world.service.runtime.find("/stream/ns/t/s0") is None


async def test_problems_of_an_instance_come_back(world: World) -> None:
    remotes = dict(zip((A, B), await two(world), strict=True))

    async def refuse(message: Message) -> Message:
        if isinstance(message, ConfigChangeNotify):
            raise TemplateError("It does not compile.", (Problem("template", "line 3"), Problem("cron", "no cron")))
        return Done()

    remotes[world.owners()["/partition/ns/t/p0"]].answer = refuse
    result = await world.service.refresh("/stream/ns/t/s0")
    assert [problem["path"] for problem in result["problems"]] == ["template", "cron"]


async def test_an_instance_that_goes_meanwhile_is_a_problem_of_that_refresh_alone(world: World) -> None:
    await two(world)
    owner = world.owners()["/partition/ns/t/p0"]
    remote = world.sessions[owner].peer
    assert isinstance(remote, Remote)
    remote.closed = True
    result = await world.service.refresh("/stream/ns/t/s0")
    assert [problem["message"] for problem in result["problems"]] == [
        f"{owner}: The connection to {owner} ended before it answered."
    ]


async def test_a_stream_is_enough_to_bring_its_new_structure_into_force(world: World) -> None:
    a = await world.come(A)
    await world.put({"/group/ns/g": group(A), "/task/ns/t": {}, **partitions(1), "/stream/ns/t/s0": {}})
    assert world.owners() == {}
    result = await world.service.refresh("/stream/ns/t/s0")
    assert result["notified"] == [A]
    assert world.owners() == {"/partition/ns/t/p0": A}
    assert notified(a) == [("/stream/ns/t/s0", "UPSERT")]


async def test_what_is_kept_and_not_valid_any_more_is_a_problem(world: World, stores: Stores) -> None:
    await two(world)
    await stores.config.write("/stream/ns/t/s0", '{"zap":1,"cron":5}')
    result = await world.service.refresh("/stream/ns/t/s0")
    assert result["notified"] == []
    assert {problem["path"] for problem in result["problems"]} == {"zap", "cron"}


async def test_one_broken_document_does_not_keep_a_broker_from_starting(
    open_world: Callable[[], Awaitable[World]], stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    await stores.config.write("/group/ns/broken", '{"tasks":5}')
    await stores.config.write("/group/ns/g", f'{{"tasks":["/task/ns/t"],"instances":["{A}"]}}')
    await stores.config.write("/partition/ns/t/p0", '{"keys":["/stream/ns/t/"]}')
    with caplog.at_level(logging.ERROR):
        world = await open_world()
    assert "/group/ns/broken is not in force" in caplog.text
    await world.come(A)
    assert world.owners() == {"/partition/ns/t/p0": A}


@pytest.mark.parametrize("key", ["/namespace/ns", "/broker/ns/b", "/stream/no/such/stream"])
async def test_what_concerns_nobody_notifies_nobody(world: World, key: str) -> None:
    await two(world)
    assert await world.service.refresh(key) == {"key": key, "notified": [], "problems": []}


async def test_a_malformed_key_is_refused(world: World) -> None:
    with pytest.raises(InvalidKey):
        await world.service.refresh("/stream/x")


async def test_what_was_saved_last_is_in_force_whatever_was_read_meanwhile(
    world: World, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first refresh reads the old group slowly; the second one must not be undone by it."""
    await world.put({"/group/ns/g": group(A), "/task/ns/t": {}, **partitions(2)})
    await world.come(A)
    await world.come(B)
    read, go_on = stores.config.range, asyncio.Event()

    async def slow(prefix: str, start: int = 0, limit: int | None = None) -> Any:
        found = await read(prefix, start, limit)
        if prefix == "/group/" and not go_on.is_set():
            await go_on.wait()
        return found

    monkeypatch.setattr(stores.config, "range", slow)
    first = asyncio.create_task(world.service.refresh("/group/ns/g"))
    await settled()
    await world.put({"/group/ns/g": group(B)})
    second = asyncio.create_task(world.service.refresh("/group/ns/g"))
    await settled()
    go_on.set()
    await asyncio.gather(first, second)
    assert set(world.owners().values()) == {B}


async def test_a_hundred_refreshes_at_once_lose_nothing(world: World) -> None:
    remotes = await two(world)
    keys = [f"/stream/ns/t/s{number % 2}" for number in range(100)]
    results: list[dict[str, Any]] = await asyncio.gather(*(world.service.refresh(key) for key in keys))
    assert all(len(result["notified"]) == 1 and not result["problems"] for result in results)
    assert sum(len(notified(remote)) for remote in remotes) == 100
