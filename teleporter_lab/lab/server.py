"""The extension of jupyter_server: lists, starts and stops brokers, and relays the browser's requests to them.

Owns the addresses below `teleporter-lab/`, who may use them, and what passes either way. Refuses to pass on a cookie
or a token of the Jupyter server, and to read what it relays: it knows nothing of configuration or streams.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

import tornado.web
from jupyter_core.paths import jupyter_path
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import url_path_join
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from teleporter_lab.errors import TeleporterError
from teleporter_lab.lab.backlog import Backlog
from teleporter_lab.lab.brokers import NAME, Brokers, check_name, object_of

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from jupyter_server.serverapp import ServerApp

    from teleporter_lab.daemon.connection_file import ConnectionFile

AUTH_RESOURCE = "teleporter"
"""What an authorizer is asked about: `read` to look, `write` to change; a deployer may allow just one."""

SETTING = "teleporter_lab_brokers"
"""Where the web application keeps its `Brokers`."""

_EFFECTS = frozenset({"config/notify", "config/id"})
"""Reads of the broker that change something. The browser must POST them: a GET needs neither the right to write nor
an XSRF token."""

_NOT_PASSED_ON = frozenset({"token", "_xsrf", "no_track_activity"})
"""Query names that are meant for the Jupyter server."""

_PASSED_TO_BROKER = ("Accept", "Content-Type", "If-Match", "If-None-Match")
_PASSED_TO_BROWSER = ("ETag",)
_PASSED_TYPES = ("application/json", "text/plain")


class _Handler(APIHandler):
    """Errors leave as `{code, message, problems}`, as the broker's do."""

    auth_resource = AUTH_RESOURCE
    _track_activity = False  # a panel that polls is no user at work: a hub may cull the server

    @property
    def brokers(self) -> Brokers:
        return self.settings[SETTING]

    async def answer(self, work: Awaitable[Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        """Finish with the JSON of what `work` gives, or with its error."""
        try:
            result = await work
        except TeleporterError as error:
            self.refuse(error)
            return
        self.set_status(status)
        self.finish(None if status == HTTPStatus.NO_CONTENT else json.dumps(result))

    def refuse(self, error: TeleporterError) -> None:
        self.set_status(error.status)
        self.finish(json.dumps(error.body()))


class BrokersHandler(_Handler):
    """`brokers`: list, and start one by name."""

    @tornado.web.authenticated
    @authorized
    async def get(self) -> None:
        await self.answer(self.brokers.all())

    @tornado.web.authenticated
    @authorized
    async def post(self) -> None:
        await self.answer(self._start(), HTTPStatus.CREATED)

    async def _start(self) -> dict[str, Any]:
        return await self.brokers.start(check_name(object_of(self.request.body).get("name")))


class BrokerHandler(_Handler):
    """`brokers/NAME`: stop it."""

    @tornado.web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        await self.answer(self.brokers.stop(name), HTTPStatus.NO_CONTENT)


class RelayHandler(_Handler):
    """`brokers/NAME/api/PATH`: the broker's REST."""

    @tornado.web.authenticated
    @authorized
    async def get(self, name: str, path: str) -> None:
        if path in _EFFECTS:
            raise tornado.web.HTTPError(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} changes something: POST it.")
        await self._relay(name, path, "GET")

    @tornado.web.authenticated
    @authorized
    async def post(self, name: str, path: str) -> None:
        await self._relay(name, path, "GET" if path in _EFFECTS else "POST")

    @tornado.web.authenticated
    @authorized
    async def put(self, name: str, path: str) -> None:
        await self._relay(name, path, "PUT")

    @tornado.web.authenticated
    @authorized
    async def patch(self, name: str, path: str) -> None:
        await self._relay(name, path, "PATCH")

    @tornado.web.authenticated
    @authorized
    async def delete(self, name: str, path: str) -> None:
        await self._relay(name, path, "DELETE")

    async def _relay(self, name: str, path: str, method: str) -> None:
        try:
            file = await self.brokers.find(name)
            response = await self.brokers.send(file, self._request(file, path, method))
        except TeleporterError as error:
            self.refuse(error)
            return
        self._pass_on(response)

    def _request(self, file: ConnectionFile, path: str, method: str) -> HTTPRequest:
        headers = {name: self.request.headers[name] for name in _PASSED_TO_BROKER if name in self.request.headers}
        body = self.request.body if method in {"POST", "PUT", "PATCH"} else None
        return HTTPRequest(
            url_path_join(file.url, quote(path)) + passed_query(self.request.query),
            method,
            headers,
            body,
            connect_timeout=5,
            request_timeout=60,
            follow_redirects=False,
            allow_nonstandard_methods=True,
        )

    def _pass_on(self, response: HTTPResponse) -> None:
        """Only JSON and plain text keep their type: nothing of a broker is to run in the origin of Jupyter."""
        self.set_status(response.code)
        for name in _PASSED_TO_BROWSER:
            if name in response.headers:
                self.set_header(name, response.headers[name])
        kind = response.headers.get("Content-Type", "")
        known = kind.startswith(_PASSED_TYPES)
        self.finish(response.body or None, set_content_type=kind if known else "application/octet-stream")


def passed_query(query: str) -> str:
    """The query string for the broker, with its `?`; without the tokens of the Jupyter server."""
    pairs = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in _NOT_PASSED_ON]
    return f"?{urlencode(pairs)}" if pairs else ""


class SocketHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """`brokers/NAME/ws/PATH`: a websocket of the broker, which only speaks."""

    auth_resource = AUTH_RESOURCE

    @property
    def brokers(self) -> Brokers:
        return self.settings[SETTING]

    def set_default_headers(self) -> None:
        """An upgrade has no page whose headers could matter."""

    @ws_authenticated
    @authorized("read")
    async def get(self, name: str, path: str) -> None:
        """The broker's socket first: where it cannot be had, the browser's is refused."""
        try:
            upstream = await self.brokers.connect(
                await self.brokers.find(name), quote(path), passed_query(self.request.query)
            )
        except TeleporterError as error:
            raise tornado.web.HTTPError(error.status, error.message) from error
        self._upstream = upstream
        self._pump: asyncio.Task[None] | None = None
        await super().get()
        if self._pump is None:  # the upgrade was refused, another origin for one
            upstream.close()

    def open(self) -> None:
        super().open()
        self._pump = asyncio.create_task(self._relay())

    def on_message(self, message: str | bytes) -> None:
        self.close(1008, "This socket only speaks.")

    def on_close(self) -> None:
        super().on_close()
        self._upstream.close()

    async def _relay(self) -> None:
        """Ends when either side does: closing the one ends the reading of the other."""
        backlog = Backlog()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._receive(backlog))
            group.create_task(self._send(backlog))
        self.close()

    async def _receive(self, backlog: Backlog) -> None:
        while (message := await self._upstream.read_message()) is not None:
            backlog.put(message)
        backlog.end()

    async def _send(self, backlog: Backlog) -> None:
        while (message := await backlog.get()) is not None:
            try:
                await self.write_message(message, binary=isinstance(message, bytes))
            except (WebSocketClosedError, StreamClosedError):
                self._upstream.close()
                return


def add_handlers(web_app: tornado.web.Application, brokers: Brokers) -> None:
    """Serve `teleporter-lab/` below the base URL of `web_app`."""
    root = url_path_join(web_app.settings["base_url"], "teleporter-lab", "brokers")
    web_app.settings[SETTING] = brokers
    web_app.add_handlers(
        ".*$",
        [
            (root, BrokersHandler),
            (f"{root}/{NAME}", BrokerHandler),
            (f"{root}/{NAME}/api/(.+)", RelayHandler),
            (f"{root}/{NAME}/ws/(events|log|tap)", SocketHandler),
        ],
    )


def load(server: ServerApp) -> None:
    """Called by jupyter_server when it loads the extension."""
    add_handlers(server.web_app, Brokers())
    server.log.info("teleporter-lab: brokers are at %s", url_path_join(server.base_url, "teleporter-lab"))
    if not panel_is_installed():
        server.log.info("teleporter-lab: the panel is not installed; it is built where Node.js is found.")


def panel_is_installed() -> bool:
    """Whether JupyterLab finds the panel. An install without Node.js has everything but that."""
    folders = (Path(folder) for folder in jupyter_path("labextensions"))
    return any((folder / "teleporter-lab" / "package.json").is_file() for folder in folders)


_load_jupyter_server_extension = load
