from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.streams import COUNTS
from teleporter_lab.errors import (
    Conflict,
    InvalidConfig,
    InvalidKey,
    InvalidPattern,
    LogicError,
    NotFound,
    Problem,
    TemplateError,
)
from teleporter_lab.rpc.messages import ConfigChangeNotify, Done, Message, StreamCommand, StreamState
from tests.broker.conftest import Remote, World, group, partitions
from tests.broker.letters import letters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

A, B = "/instance/ns/a", "/instance/ns/b"
KEY = "/stream/ns/t/s0"


def state(status: str = "RUNNING", instance: str = A, key: str = KEY, **more: Any) -> StreamState:
    fields = {"since": 5.0, "restarts": 1, "error": "", "counts": {"read": 3}, "rate": 2.5} | more
    return StreamState(key, instance, status, **fields)


async def running(world: World) -> Remote:
    documents = {"/group/ns/g": group(A, B), "/task/ns/t": {}, **partitions(1), KEY: {}, "/stream/ns/t/x": {}}
    await world.put(documents)
    await world.service.refresh("/group/ns/g")
    return await world.come(A)


async def test_a_stream_that_nobody_runs_is_shown(world: World) -> None:
    await world.put({KEY: {}})
    view = await world.service.streams.get(KEY)
    assert (
        view
        | {
            "key": KEY,
            "status": "NORMAL",
            "wanted": "NORMAL",
            "instance": "",
            "partition": "",
            "since": 0.0,
            "restarts": 0,
            "error": "",
            "counts": dict.fromkeys(COUNTS, 0),
            "rate": 0.0,
            "dead_letters": 0,
        }
        == view
    )
    with pytest.raises(NotFound):
        await world.service.streams.get("/stream/ns/t/unknown")
    with pytest.raises(InvalidKey, match="is no stream"):
        await world.service.streams.get("/task/ns/t")


async def test_a_view_is_what_the_owner_reported_last(world: World) -> None:
    await running(world)
    await world.service.streams.changed(A, state())
    view = await world.service.streams.get(KEY)
    assert (view["status"], view["instance"], view["partition"]) == ("RUNNING", A, "/partition/ns/t/p0")
    assert (view["counts"]["read"], view["counts"]["written"], view["rate"]) == (3, 0, 2.5)
    world.service.streams.measured(A, [state(counts={"read": 9}, rate=7.0)])
    view = await world.service.streams.get(KEY)
    assert (view["counts"]["read"], view["rate"]) == (9, 7.0)


async def test_what_another_than_the_owner_says_is_not_believed(world: World) -> None:
    await running(world)
    await world.service.streams.changed(B, state(instance=B))
    await world.service.streams.changed(A, state(instance=B))
    await world.service.streams.changed(A, state(key="/stream/ns/t/x"))
    assert (await world.service.streams.get(KEY))["status"] == "NORMAL"
    assert await world.service.runtime.range("/stream/") == []


async def test_a_state_survives_the_broker_but_not_the_instance(
    open_world: Callable[[], Awaitable[World]],
) -> None:
    world = await open_world()
    await running(world)
    await world.service.streams.changed(A, state("FAILURE", error="broken"))
    again = await open_world()
    assert (await again.service.streams.get(KEY))["status"] == "NORMAL", "its instance is not here"
    await again.come(A)
    view = await again.service.streams.get(KEY)
    assert (view["status"], view["error"], view["restarts"]) == ("FAILURE", "broken", 1)


async def test_a_page_of_streams(world: World) -> None:
    await world.put({f"/stream/ns/t/s{number}": {} for number in range(5)})
    streams = world.service.streams
    assert [view["key"] for view in await streams.range("/stream/ns/", 1, 2)] == ["/stream/ns/t/s1", "/stream/ns/t/s2"]
    assert [view["key"] for view in await streams.range("/stream/ns/t/.*4")] == ["/stream/ns/t/s4"]
    assert len(await streams.range()) == 5
    with pytest.raises(InvalidPattern, match="begin it with /stream/"):
        await streams.range("/source/")


async def test_stop_and_start_hold_for_the_future_and_reach_the_owner(world: World) -> None:
    remote = await running(world)
    view = await world.service.command(KEY, "stop")
    assert view["wanted"] == "STOPPED"
    assert (await world.service.tree.get(KEY)).value["status"] == "STOPPED"
    view = await world.service.command(KEY, "start")
    assert view["wanted"] == "NORMAL"
    await world.service.command(KEY, "restart")
    commands = [message.action for message in remote.asked if isinstance(message, StreamCommand)]
    assert commands == ["stop", "start", "restart"]


async def test_commands_without_an_owner(world: World) -> None:
    await world.put({KEY: {}})
    assert (await world.service.command(KEY, "stop"))["status"] == "STOPPED"
    with pytest.raises(Conflict, match="no instance has its partition"):
        await world.service.command(KEY, "restart")
    await world.service.command(KEY, "start")
    await running(world)
    await world.go(A)
    with pytest.raises(Conflict, match=f"{A} is not connected"):
        await world.service.command(KEY, "restart")
    with pytest.raises(NotFound):
        await world.service.command("/stream/ns/t/unknown", "start")


async def test_an_order_says_nothing_about_the_future(world: World) -> None:
    remote = await running(world)
    assert world.service.streams.online(KEY) == A
    await world.service.streams.order(KEY, "stop")
    assert [message.action for message in remote.asked if isinstance(message, StreamCommand)] == ["stop"]
    assert (await world.service.streams.get(KEY))["wanted"] == "NORMAL"
    await world.go(A)
    assert world.service.streams.online(KEY) == ""
    with pytest.raises(Conflict, match="run by no instance that is connected"):
        await world.service.streams.order(KEY, "stop")


async def test_a_view_has_the_number_of_dead_letters(world: World) -> None:
    await running(world)
    await world.service.put_aside(world.sessions[A], KEY, letters(3))
    assert (await world.service.streams.get(KEY))["dead_letters"] == 3
    with world.service.events.subscribe() as news:
        await world.service.streams.changed(A, state())
        assert (await anext(news))["dead_letters"] == 3


async def test_what_the_instance_says_against_it_comes_back(world: World) -> None:
    remote = await running(world)

    async def refuse(message: Message) -> Message:
        raise LogicError("The logic returns no graph.")

    remote.answer = refuse
    with pytest.raises(LogicError, match="no graph"):
        await world.service.command(KEY, "start")


async def test_a_refresh_as_a_command_raises_its_problems(world: World) -> None:
    remote = await running(world)
    assert (await world.service.command(KEY, "refresh"))["key"] == KEY
    assert ConfigChangeNotify(KEY, "UPSERT") in remote.asked

    async def refuse(message: Message) -> Message:
        if isinstance(message, ConfigChangeNotify):
            raise TemplateError("It does not compile.", (Problem("template", "line 3"),))
        return Done()

    remote.answer = refuse
    with pytest.raises(InvalidConfig, match="goes on") as caught:
        await world.service.command(KEY, "refresh")
    assert caught.value.problems == (Problem("template", "line 3"),)


async def test_a_removed_stream_is_forgotten(world: World) -> None:
    await running(world)
    await world.service.streams.changed(A, state())
    assert await world.service.runtime.find(KEY)
    await world.service.streams.changed(A, state("REMOVE"))
    assert await world.service.runtime.find(KEY) is None
    await world.service.streams.forget(KEY)


async def test_states_are_events(world: World) -> None:
    await running(world)
    with world.service.events.subscribe() as news:
        await world.service.streams.changed(A, state())
        event = await anext(news)
    assert event["type"] == "stream"
    assert (event["key"], event["status"], event["partition"]) == (KEY, "RUNNING", "/partition/ns/t/p0")
