"""A client's way to a broker: where it is found, requests and websockets, errors as the classes the broker raised.

Refuses to know verbs, to retry, to keep state and to go through a proxy: the token is for the broker alone.
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
from teleporter_lab.errors import TeleporterError, Unauthorized, Unreachable, from_body

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

URL_VARIABLE = "TELEPORTER_BROKER_URL"
TOKEN_VARIABLE = "TELEPORTER_BROKER_TOKEN"
DEFAULT_NAME = "default"

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 120.0
"""Longer than the broker waits for an instance that drains."""

JSON = Any
Row = dict[str, Any]


class Connection:
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
        return f"{type(self).__name__}({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give back the connections."""
        await self._http.aclose()

    @asynccontextmanager
    async def socket(self, path: str, params: dict[str, Any] | None = None) -> AsyncGenerator[AsyncIterator[Any]]:
        url = str(httpx.URL(self.url.replace("http", "ws", 1) + path, params=params))
        try:
            async with connect(url, additional_headers=self._headers, proxy=None) as socket:
                yield _messages(socket)
        except InvalidStatus as error:
            raise _error(error.response.status_code, error.response.body, self.url) from error
        except (OSError, WebSocketException) as error:
            raise self._unreachable() from error

    async def call(self, method: str, path: str, **request: Any) -> Any:
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
