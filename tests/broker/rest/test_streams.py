from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.broker.conftest import World, group, partitions

if TYPE_CHECKING:
    import httpx

A = "/instance/ns/a"
KEY = "/stream/ns/t/s0"


@pytest.fixture
async def running(world: World) -> World:
    await world.put({"/group/ns/g": group(A), "/task/ns/t": {}, **partitions(2), KEY: {}, "/stream/ns/t/s1": {}})
    await world.service.refresh("/group/ns/g")
    await world.come(A)
    return world


async def test_streams_are_listed(http: httpx.AsyncClient, running: World) -> None:
    views = (await http.get("/streams")).json()
    assert [(view["key"], view["instance"], view["partition"]) for view in views] == [
        (KEY, A, "/partition/ns/t/p0"),
        ("/stream/ns/t/s1", A, "/partition/ns/t/p1"),
    ]
    assert len((await http.get("/streams", params={"key": "/stream/ns/t/.*1", "limit": 1})).json()) == 1
    assert (await http.get("/streams", params={"key": "/task/"})).status_code == 422


@pytest.mark.parametrize("command", ["start", "stop", "restart", "refresh"])
async def test_a_command_answers_with_the_streams_view(http: httpx.AsyncClient, running: World, command: str) -> None:
    answer = await http.post(f"/streams/{command}", json={"key": KEY})
    assert answer.status_code == 200
    assert answer.json()["key"] == KEY
    assert answer.json()["wanted"] == ("STOPPED" if command == "stop" else "NORMAL")


async def test_a_command_that_cannot_be(http: httpx.AsyncClient, running: World) -> None:
    assert (await http.post("/streams/explode", json={"key": KEY})).status_code == 422
    assert (await http.post("/streams/start", json={"key": "/stream/ns/t/unknown"})).status_code == 404
    assert (await http.post("/streams/start", json={"key": "/task/ns/t"})).status_code == 422
    assert (await http.post("/streams/start", json={})).status_code == 422
    await running.go(A)
    assert (await http.post("/streams/restart", json={"key": KEY})).status_code == 409


async def test_instances_are_listed(http: httpx.AsyncClient, running: World) -> None:
    assert (await http.get("/instances")).json() == [
        {
            "key": A,
            "status": "ONLINE",
            "at": 1_700_000_000.0,
            "partitions": ["/partition/ns/t/p0", "/partition/ns/t/p1"],
            "ephemeral": False,
        }
    ]
