"""The websockets `/events` and `/log`. Owns the end of either side; a slow reader loses the oldest, never memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, WebSocket
from starlette.websockets import WebSocketDisconnect

from teleporter_lab.broker.instances import instance_key
from teleporter_lab.broker.rest.parameters import TheService
from teleporter_lab.errors import Unreachable

router = APIRouter()

GOING_AWAY = 1001
INTERNAL = 1011


@router.websocket("/events")
async def events(socket: WebSocket, service: TheService) -> None:
    """Every change of config, stream and instance, as it happens."""
    with service.events.subscribe() as news:
        await socket.accept()  # from here on the client misses nothing
        await _until_disconnected(socket, _send(socket, news))


@router.websocket("/log")
async def log(
    socket: WebSocket,
    service: TheService,
    instance: Annotated[str, Query()],
    lines: Annotated[int, Query(ge=0, le=10_000)] = 100,
) -> None:
    """The log of an instance: `{lines}` of the last ones, then of new ones."""
    service.sessions.require(instance_key(instance))
    await socket.accept()
    await _until_disconnected(socket, _send_log(socket, service.log(instance, lines)))


async def _send(socket: WebSocket, items: AsyncIterator[Any]) -> None:
    async for item in items:
        await socket.send_json(item)
    await socket.close(GOING_AWAY)


async def _send_log(socket: WebSocket, news: AsyncGenerator[list[str], None]) -> None:
    try:
        async with aclosing(news):
            async for lines in news:
                await socket.send_json({"lines": lines})
    except Unreachable as error:
        await socket.close(INTERNAL, error.message[:100])
        return
    await socket.close(GOING_AWAY)


async def _until_disconnected(socket: WebSocket, sending: Any) -> None:
    """Send until there is nothing more or the other side goes; what it says is not listened to."""
    sender = asyncio.create_task(sending)
    listener = asyncio.create_task(_listen(socket))
    try:
        await asyncio.wait({sender, listener}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sender, listener):
            task.cancel()
        with suppress(asyncio.CancelledError, WebSocketDisconnect):
            await sender
        with suppress(asyncio.CancelledError, WebSocketDisconnect):
            await listener


async def _listen(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
