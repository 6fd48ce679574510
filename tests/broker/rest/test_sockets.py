"""Websockets over a real socket."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from teleporter_lab.rpc.messages import LogLines, Message
from teleporter_lab.web.server import bind, serving, url_of
from tests.broker.conftest import TOKEN, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

A = "/instance/ns/a"


@pytest.fixture
async def url(app: FastAPI, world: World) -> AsyncIterator[str]:
    with bind("127.0.0.1", 0) as bound:
        async with serving(app, bound, drain=5):
            yield url_of(bound).replace("http", "ws")
    assert len(world.service.events) == 0, "who is gone listens no more"


def opened(url: str, **headers: str) -> connect:
    return connect(url, additional_headers={"Authorization": f"Bearer {TOKEN}", **headers}, proxy=None)


async def heard(socket: ClientConnection) -> Any:
    async with asyncio.timeout(10):
        return json.loads(await socket.recv())


async def test_changes_are_heard_as_they_happen(world: World, url: str) -> None:
    async with opened(f"{url}/events") as one, opened(f"{url}/events") as two:
        await world.put({"/namespace/ns": {}})
        await world.come(A)
        for socket in (one, two):
            assert await heard(socket) == {"type": "config", "key": "/namespace/ns", "action": "ADD"}
            assert await heard(socket) == {"type": "instance", "key": A, "status": "ONLINE"}
        await one.send("what a client says is not listened to")
        await one.send(b"\xff")
        await world.put({"/namespace/other": {}})
        assert (await heard(one))["key"] == "/namespace/other"


async def test_the_end_of_the_broker_ends_the_sockets(world: World, url: str) -> None:
    async with opened(f"{url}/events") as socket:
        world.service.events.close()
        with pytest.raises(ConnectionClosed):
            await heard(socket)
        assert socket.close_code == 1001


async def test_a_log_is_sent_line_by_line(world: World, url: str) -> None:
    remote = await world.come(A)

    async def answer(message: Message) -> Message:
        return LogLines(["old"])

    remote.answer = answer
    async with opened(f"{url}/log?instance={A}&lines=5") as socket:
        assert await heard(socket) == {"lines": ["old"]}
        world.sessions[A].log.publish(["new"])
        assert await heard(socket) == {"lines": ["new"]}
        await world.go(A)
        with pytest.raises(ConnectionClosed):
            await heard(socket)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/events", {"Authorization": "Bearer wrong"}, 401),
        ("/events", {"Origin": "http://localhost:8888"}, 403),
        (f"/log?instance={A}", {}, 404),
        ("/log?instance=nonsense", {}, 422),
        ("/log", {}, 422),
        (f"/log?instance={A}&lines=-1", {}, 422),
    ],
)
async def test_a_socket_that_is_refused_says_why(url: str, path: str, headers: dict[str, str], status: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with opened(f"{url}{path}", **headers):
            pass
    assert caught.value.response.status_code == status
    assert set(json.loads(caught.value.response.body or b"")) == {"code", "message", "problems"}
