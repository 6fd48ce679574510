"""The brokers of this machine as the server extension sees them: found by connection file, started, stopped, asked.

Owns the broker's token on its way there and what of a connection file may be shown. Refuses to speak to anything but
a broker of a connection file, and to block the loop of the server: files and commands go to threads.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from jupyter_server.utils import url_path_join
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClientConnection, websocket_connect

from teleporter_lab.errors import DaemonError, InvalidInput, NotRunning, Unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.daemon.connection_file import ConnectionFile

NAME = r"([A-Za-z0-9_.-]+)"
"""The names of brokers, as one group of a regular expression."""

DEFAULT = "default"
"""The broker that listens on the ports everybody knows; others are given free ones."""

COMMAND = (sys.executable, "-m", "teleporter_lab")

_UNREACHABLE = (OSError, HTTPClientError, StreamClosedError)


class Brokers:
    """The brokers of this machine, by name. `command` is the command line that starts and stops them."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = tuple(command)

    @cached_property
    def http(self) -> AsyncHTTPClient:
        """A client of our own: the shared one of the process allows ten requests at once for all extensions."""
        return AsyncHTTPClient(force_instance=True, max_clients=64)

    async def find(self, name: str) -> ConnectionFile:
        """Raises NotRunning when no connection file has that name, DaemonError when it is garbage."""
        from teleporter_lab.daemon.connection_file import ConnectionFile

        file = await asyncio.to_thread(ConnectionFile.read, "broker", name)
        if file is None:
            raise NotRunning(f"No broker named {name!r} is running here.")
        return file

    async def all(self) -> list[dict[str, Any]]:
        """All brokers with a connection file, each with whether it lives."""
        from teleporter_lab.daemon.connection_file import ConnectionFile

        files = await asyncio.to_thread(ConnectionFile.all, "broker")
        alive = await asyncio.gather(*(self._alive(file) for file in files))
        return [shown(file, lives) for file, lives in zip(files, alive, strict=True)]

    async def start(self, name: str) -> dict[str, Any]:
        """Start a detached broker, and show it. Raises DaemonError with what the command said."""
        ports = () if name == DEFAULT else ("--port=0", "--rpc-port=0")
        await self._run("broker", "start", f"--name={name}", *ports, "--json")
        file = await self.find(name)
        return shown(file, await self._alive(file))

    async def stop(self, name: str) -> None:
        """Raises NotRunning, or DaemonError with what the command said."""
        await self.find(name)
        await self._run("broker", "stop", f"--name={name}")

    async def send(self, file: ConnectionFile, request: HTTPRequest) -> HTTPResponse:
        """The broker's answer, whatever its status. Raises Unreachable."""
        request.headers["Authorization"] = f"Bearer {file.token}"
        try:
            response = await self.http.fetch(request, raise_error=False)
        except _UNREACHABLE as error:
            raise Unreachable(f"The broker {file.name!r} does not answer: {error}.") from error
        if response.code == HTTPStatus.UNAUTHORIZED:
            # A 401 of ours would send the browser to the login page of the Jupyter server.
            raise Unreachable(f"Another program than the broker {file.name!r} of the connection file answers.")
        return response

    async def connect(self, file: ConnectionFile, path: str, query: str) -> WebSocketClientConnection:
        """Raises Unreachable."""
        url = url_path_join(file.url.replace("http", "ws", 1), path) + query
        request = HTTPRequest(url, headers={"Authorization": f"Bearer {file.token}"}, connect_timeout=5)
        try:
            return await websocket_connect(request, ping_interval=30, ping_timeout=20)
        except _UNREACHABLE as error:
            raise Unreachable(f"The broker {file.name!r} does not open {path}: {error}.") from error

    async def _alive(self, file: ConnectionFile) -> bool:
        """An authenticated answer with the id of the file; a pid alone would prove nothing."""
        request = HTTPRequest(url_path_join(file.url, "health/ready"), connect_timeout=1, request_timeout=2)
        try:
            response = await self.send(file, request)
        except Unreachable:
            return False
        return response.code == HTTPStatus.OK and object_of(response.body).get("id") == file.id

    async def _run(self, *arguments: str) -> None:
        """Run the command line in a thread, so that a start that hangs holds nobody up."""
        try:
            done = await asyncio.to_thread(
                subprocess.run,
                [*self._command, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DaemonError(f"`broker {arguments[1]}` did not finish: {error}.") from error
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}")[-1000:]
            raise DaemonError(said)


def check_name(name: object) -> str:
    """`name` where it can be a broker's; raises InvalidInput."""
    if isinstance(name, str) and re.fullmatch(NAME, name):
        return name
    raise InvalidInput('A broker needs a "name" of letters, digits, "_", "." and "-".')


def shown(file: ConnectionFile, alive: bool) -> dict[str, Any]:
    """What the browser may know of a broker: all but its token."""
    return {
        "name": file.name,
        "url": file.url,
        "pid": file.pid,
        "id": file.id,
        "started": file.started,
        "version": file.package,
        "alive": alive,
    }


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object of a body, `{}` for anything else."""
    try:
        value: Any = json.loads(body or b"{}")
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
