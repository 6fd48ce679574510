"""The HTTP server under a REST door, in this process. Owns its socket and its end; refuses to handle signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import math
import socket
from typing import TYPE_CHECKING

import uvicorn

from teleporter_lab.errors import DaemonError, PortInUse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from fastapi import FastAPI


class _Server(uvicorn.Server):
    """uvicorn without its hold on signals, and with a sign that it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """uvicorn would take the handlers and raise the signal again when it has ended: we end by ourselves."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises PortInUse, or DaemonError where `host` cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"Another program listens on {host}:{port}: choose another port with --port, or 0 for a free one."
            ) from error
        raise DaemonError(f"Cannot listen on {host}:{port}: {error}.") from error
    # Connections inherit it; without it an answer on a kept connection waits some 40 ms for the client's delayed ACK.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


def url_of(bound: socket.socket) -> str:
    """Where a client on this machine reaches a bound socket."""
    return address_url(*bound.getsockname()[:2])


def address_url(host: str, port: int) -> str:
    """The URL of a numeric address; the one that stands for all addresses becomes loopback."""
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://{address}:{port}" if address.version == 4 else f"http://[{address}]:{port}"


@contextlib.asynccontextmanager
async def serving(app: FastAPI, bound: socket.socket, drain: float) -> AsyncGenerator[asyncio.Task[None]]:
    """Serve `app` on `bound` for the length of the block; at its end open requests get `drain` seconds.

    Yields the task that serves: when it ends inside the block, the server broke.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=1024 * 1024,
        server_header=False,
        timeout_graceful_shutdown=None if math.isinf(drain) else math.ceil(drain),
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([bound]), name="web")
    listening = asyncio.create_task(server.listening.wait())
    try:
        await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
        yield task
    finally:
        listening.cancel()
        server.should_exit = True
        await task
