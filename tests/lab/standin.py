"""A broker's HTTP side, small and real, on loopback: what the server extension is tried against.

Owns just what a relay can get wrong: headers, queries, statuses, sockets. Holds no configuration.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket

from teleporter_lab.daemon.connection_file import ConnectionFile

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "a-token-that-nobody-may-see"


class StandIn:
    """One running broker: what it was asked, what its sockets were asked, and what `/events` says."""

    def __init__(self, file: ConnectionFile) -> None:
        self.file = file
        self.seen: list[Request] = []
        self.sockets: list[dict[str, str]] = []
        self.said: list[str] = []
        self.heard: list[str] = []
        self.closed = threading.Event()

    def app(self) -> FastAPI:
        api = FastAPI()
        api.add_api_route("/health/ready", self._ready)
        api.add_api_route("/page", self._page)
        api.add_api_route("/{path:path}", self._echo, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
        api.add_api_websocket_route("/events", self._events)
        api.add_api_websocket_route("/log", self._log)
        return api

    async def _ready(self, request: Request) -> Response:
        return answer(request, {"status": "ready", "id": self.file.id})

    async def _page(self) -> Response:
        return Response("<script>alert(1)</script>", media_type="text/html")

    async def _echo(self, path: str, request: Request) -> Response:
        self.seen.append(request)
        body = (await request.body()).decode()
        return answer(request, {"path": path, "method": request.method, "query": request.url.query, "body": body})

    async def _events(self, socket: WebSocket) -> None:
        self.sockets.append(dict(socket.headers))
        if socket.headers.get("authorization") == f"Bearer {TOKEN}":
            await socket.accept()
            for text in self.said:
                await socket.send_text(text)
        await socket.close()

    async def _log(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.query_params["instance"])
        async for text in socket.iter_text():
            self.heard.append(text)
        self.closed.set()


def answer(request: Request, value: dict[str, Any]) -> Response:
    """`value` for the one with the token; `?status=` chooses the status."""
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return Response('{"code": "unauthorized"}', 401, media_type="application/json")
    status = int(request.query_params.get("status", 200))
    headers = {"ETag": '"7"', "Set-Cookie": "broker=1"}
    return Response("" if status == 204 else json.dumps(value), status, headers, "application/json")


def running(name: str = "default") -> Iterator[StandIn]:
    """Serve from a thread until the generator is closed."""
    config = uvicorn.Config(FastAPI(), host="127.0.0.1", port=0, log_level="error", ws="websockets-sansio")
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    broker = StandIn(ConnectionFile.new("broker", name, url=url, rpc="", token=TOKEN, log=""))
    config.app = broker.app()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    while not server.started:
        time.sleep(0.005)
    broker.file.write()
    yield broker
    server.should_exit = True
    thread.join()
    broker.file.remove()
