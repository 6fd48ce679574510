"""The one REST client of a broker, async. Owns the verbs as methods and where a broker is found.

It raises the classes the broker raised, and Unreachable when nobody answers. Refuses to retry, to keep state and to go
through a proxy: the token is for the broker alone.

    async with Client.find() as client:
        await client.save("/namespace/shop", {})
"""

from __future__ import annotations

import json
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, cast

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.errors import NotFound, TeleporterError, Unauthorized, Unreachable, from_body

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

URL_VARIABLE = "TELEPORTER_BROKER_URL"
TOKEN_VARIABLE = "TELEPORTER_BROKER_TOKEN"
DEFAULT_NAME = "default"

CONNECT_SECONDS = 5.0
PROBE_SECONDS = 5.0
ANSWER_SECONDS = 120.0
"""Longer than the broker waits for an instance that drains."""

JSON = Any
Row = dict[str, Any]


class Client:
    """A broker at `url`. Close it, or use it in `async with`."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = ANSWER_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.credentials = (self.url, token)
        """Two clients with the same ones speak to the same broker."""
        self._headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers=self._headers,
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            transport=transport,
            trust_env=False,
        )

    @classmethod
    def find(cls, name: str | None = None, *, url: str | None = None, token: str | None = None) -> Self:
        """The broker at `url`, else at TELEPORTER_BROKER_URL, else the one called `name` on this machine.

        A `name` that is given goes before the environment. Raises Unreachable where there is none, Unauthorized where a
        URL comes without a token.
        """
        if not url and name is None:
            url = os.environ.get(URL_VARIABLE)
        if url:
            token = token or os.environ.get(TOKEN_VARIABLE)
            if not token:
                raise Unauthorized(f"The broker at {url} needs a token: set {TOKEN_VARIABLE}.")
            return cls(url, token)
        name = name or DEFAULT_NAME
        file = ConnectionFile.read("broker", name)
        if file is None:
            command = "teleporter-lab broker start" + ("" if name == DEFAULT_NAME else f" --name {name}")
            raise Unreachable(f"No broker {name} runs on this machine: start it with `{command}`.")
        return cls(file.url, file.token)

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give back the connections."""
        await self._http.aclose()

    # ---- the config tree

    async def get(self, key: str, *, raw: bool = False) -> Row:
        """`{key, value, etag}`; `raw` shows references to secrets. Raises NotFound."""
        return await self._call("GET", "/config", params={"key": key, "raw": raw})

    async def range(self, pattern: str, start: int = 0, limit: int = 100, *, raw: bool = False) -> list[Row]:
        """One page of the entries whose key matches a tail regex, by key."""
        return await self._call(
            "GET", "/config/range", params={"key": pattern, "start": start, "limit": limit, "raw": raw}
        )

    async def save(self, key: str, value: JSON, *, etag: str | None = None) -> Row:
        """Keep a value; with `etag` only in place of the one that has it. Raises InvalidConfig, Conflict."""
        headers = {"If-Match": f'"{etag}"'} if etag else {}
        return await self._call("POST", "/config", json={"key": key, "value": value}, headers=headers)

    async def swap(self, key: str, expect: JSON, update: JSON) -> Row:
        """Compare-and-set; `expect` None: nothing may be there. Raises Conflict."""
        return await self._call("POST", "/config/atomic", json={"key": key, "expect": expect, "update": update})

    async def delete(self, key: str, *, etag: str | None = None) -> None:
        """Forget a key. Raises NotFound, Conflict."""
        headers = {"If-Match": f'"{etag}"'} if etag else {}
        await self._call("DELETE", "/config", params={"key": key}, headers=headers)

    async def refresh(self, key: str) -> Row:
        """Apply what is saved: `{key, notified, problems}`."""
        return await self._call("GET", "/config/notify", params={"key": key})

    async def next_id(self) -> int:
        """A number that nobody got before."""
        return (await self._call("GET", "/config/id"))["id"]

    # ---- forms

    async def validate(self, key: str, value: JSON) -> list[Row]:
        """Every mistake of a value: `[{path, message}]`."""
        return (await self._call("POST", "/validate", json={"key": key, "value": value}))["problems"]

    async def schema(self, table: str, category: str | None = None) -> Row:
        """The JSON Schema of a table, with the `client` block of a connector."""
        return await self._call("GET", f"/schema/{table}" + (f"/{category}" if category else ""))

    async def connectors(self) -> list[Row]:
        """Every connector, and what it can be."""
        return await self._call("GET", "/connectors")

    # ---- streams and instances

    async def streams(self, pattern: str = "/stream/", start: int = 0, limit: int = 100) -> list[Row]:
        """One page of streams with status, instance, counts and rate."""
        return await self._call("GET", "/streams", params={"key": pattern, "start": start, "limit": limit})

    async def stream(self, key: str) -> Row:
        """One stream with status, instance, counts and rate. Raises NotFound."""
        exactly = key.replace(".", r"\.") + "$"
        for found in await self.streams(exactly, limit=1):
            return found
        raise NotFound(f"Nothing is kept under {key}.")

    async def command(self, command: str, key: str) -> Row:
        """`start`, `stop`, `restart` or `refresh` a stream; its view after that."""
        return await self._call("POST", f"/streams/{command}", json={"key": key})

    async def start(self, key: str) -> Row:
        """Start a stream, now and whenever an instance has it."""
        return await self.command("start", key)

    async def stop(self, key: str) -> Row:
        """Stop a stream until somebody starts it."""
        return await self.command("stop", key)

    async def restart(self, key: str) -> Row:
        """Stop and start a stream."""
        return await self.command("restart", key)

    async def instances(self) -> list[Row]:
        """All instances with status and partitions."""
        return await self._call("GET", "/instances")

    async def runtime_get(self, key: str) -> Row:
        """`{key, value, etag}` of the runtime table. Raises NotFound."""
        return await self._call("GET", "/runtime", params={"key": key})

    async def runtime_range(self, pattern: str, start: int = 0, limit: int = 100) -> list[Row]:
        """One page of the runtime table."""
        return await self._call("GET", "/runtime/range", params={"key": pattern, "start": start, "limit": limit})

    async def runtime_delete(self, key: str) -> None:
        """Forget a key of the runtime table. Raises NotFound."""
        await self._call("DELETE", "/runtime", params={"key": key})

    # ---- the broker

    async def ready(self) -> Row:
        """`{status, id, name, version, pid, instances}`."""
        return await self._call("GET", "/health/ready")

    async def identity(self) -> Row:
        """`{id, name, version, pid}` of the daemon that answers, ready or not."""
        return await self._call("GET", "/health/identity")

    async def shutdown(self) -> None:
        """Make the broker drain and end; returns when it has begun."""
        await self._call("POST", "/shutdown")

    async def events(self) -> AsyncIterator[Row]:
        """Changes of config, streams and instances as they happen, until the broker ends. Raises Unreachable."""
        async with self._socket("/events") as messages:
            async for message in messages:
                yield message

    async def log(self, instance: str, lines: int = 100) -> AsyncIterator[list[str]]:
        """The log of an instance: its last lines, then new ones, until it leaves. Raises NotFound, Unreachable."""
        async with self._socket("/log", {"instance": instance, "lines": lines}) as messages:
            async for message in messages:
                yield message["lines"]

    @asynccontextmanager
    async def _socket(self, path: str, params: dict[str, Any] | None = None) -> AsyncGenerator[AsyncIterator[Any]]:
        url = str(httpx.URL(self.url.replace("http", "ws", 1) + path, params=params))
        try:
            async with connect(url, additional_headers=self._headers, proxy=None) as socket:
                yield _messages(socket)
        except InvalidStatus as error:
            raise _error(error.response.status_code, error.response.body, self.url) from error
        except (OSError, WebSocketException) as error:
            raise self._unreachable() from error

    async def _call(self, method: str, path: str, **request: Any) -> Any:
        try:
            response = await self._http.request(method, path, **request)
        except httpx.TimeoutException as error:
            raise Unreachable(f"The broker at {self.url} did not answer in time.") from error
        except httpx.TransportError as error:
            raise self._unreachable() from error
        if response.is_error:
            raise _error(response.status_code, response.content, self.url)
        return response.json() if response.content else None

    def _unreachable(self) -> Unreachable:
        return Unreachable(f"No broker answers at {self.url}: is it running?")


async def probe(file: ConnectionFile) -> str:
    """The id that the daemon of a connection file answers with. Raises a TeleporterError when it does not."""
    async with Client(file.url, file.token, timeout=PROBE_SECONDS) as client:
        return (await client.identity())["id"]


async def shutdown(file: ConnectionFile) -> None:
    """Tell the daemon of a connection file to end. Raises a TeleporterError when it does not answer."""
    async with Client(file.url, file.token, timeout=PROBE_SECONDS) as client:
        await client.shutdown()


async def _messages(socket: Any) -> AsyncIterator[Any]:
    try:
        async for text in socket:
            yield json.loads(text)
    except ConnectionClosed as error:
        raise Unreachable("The connection to the broker broke.") from error


def _error(status: int, content: bytes | bytearray | None, url: str) -> TeleporterError:
    """The error that the broker answered with; whoever else answers there says something else."""
    try:
        body: object = json.loads(content or b"")
    except ValueError:
        body = None
    if isinstance(body, dict) and "code" in body and "message" in body:
        return from_body(cast("dict[str, Any]", body))
    return Unreachable(f"What answers at {url} is no broker: it said {status}.")
