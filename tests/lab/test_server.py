"""The server extension in a real Jupyter server, before a real HTTP broker: who gets in, what passes, what does not."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_server.auth import Authorizer
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.websocket import WebSocketClientConnection, websocket_connect

from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.lab.brokers import Brokers
from teleporter_lab.lab.server import SETTING, panel_is_installed
from tests.lab.standin import TOKEN, StandIn, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LAB_TOKEN = "the-token-of-the-jupyter-server"
AUTHORIZED = {"Authorization": f"token {LAB_TOKEN}"}


class Reader(Authorizer):
    """Lets everybody look and nobody change."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return resource != "teleporter" or action == "read"


class Quiet(ServerApp):
    """Leaves the signals of the test process alone."""

    def init_signal(self) -> None:
        pass


@dataclass
class Lab:
    """A running Jupyter server and a client of it."""

    app: ServerApp
    port: int
    sockets: list[WebSocketClientConnection] = field(default_factory=list)

    async def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> HTTPResponse:
        request = HTTPRequest(
            f"http://127.0.0.1:{self.port}/user/me/teleporter-lab/{path}",
            method,
            AUTHORIZED | headers,
            None if body is None else json.dumps(body),
            allow_nonstandard_methods=True,
        )
        return await AsyncHTTPClient().fetch(request, raise_error=False)

    async def anonymous(self, path: str, method: str = "GET") -> HTTPResponse:
        return await self.ask(path, method, Authorization="")

    async def listen(self, path: str, **headers: str) -> WebSocketClientConnection:
        url = f"ws://127.0.0.1:{self.port}/user/me/teleporter-lab/{path}"
        socket = await websocket_connect(HTTPRequest(url, headers=AUTHORIZED | headers))
        self.sockets.append(socket)
        return socket

    async def cookie(self) -> str:
        """What a browser sends along once its user has logged in."""
        url = f"http://127.0.0.1:{self.port}/user/me/api/me?token={LAB_TOKEN}"
        answer = await AsyncHTTPClient().fetch(url)
        return "; ".join(text.split(";")[0] for text in answer.headers.get_list("Set-Cookie"))

    def command(self, code: str) -> None:
        """Have brokers started and stopped by a line of Python."""
        self.app.web_app.settings[SETTING] = Brokers([sys.executable, "-c", code])


def parsed(response: HTTPResponse) -> Any:
    return json.loads(response.body)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "teleporter"))
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name))
    monkeypatch.setattr("jupyter_core.paths.ENV_JUPYTER_PATH", [])
    return tmp_path


@pytest.fixture
def broker() -> Iterator[StandIn]:
    yield from running()


@pytest.fixture
def authorizer() -> type[Authorizer] | None:
    return None


@pytest.fixture
async def lab(home: Path, authorizer: type[Authorizer] | None) -> AsyncIterator[Lab]:
    """Also the check that no address is open to everybody: jupyter_server warns of one, and warnings are errors."""
    app = Quiet(
        allow_root=True,
        allow_unauthenticated_access=False,
        base_url="/user/me/",
        jpserver_extensions={"teleporter_lab": True},
        open_browser=False,
        reraise_server_extension_failures=True,
        root_dir=str(home),
        **({} if authorizer is None else {"authorizer_class": authorizer}),
    )
    app.initialize(argv=[f"--IdentityProvider.token={LAB_TOKEN}"], find_extensions=False, new_httpserver=False)
    socket, port = bind_unused_port()
    server = HTTPServer(app.web_app)
    server.add_socket(socket)
    lab = Lab(app, port)
    yield lab
    for client in lab.sockets:
        client.close()
    server.stop()
    await server.close_all_connections()
    await app._cleanup()


class TestAccess:
    PATHS = (
        ("brokers", "GET"),
        ("brokers", "POST"),
        ("brokers/default", "DELETE"),
        *(("brokers/default/api/config", verb) for verb in ("GET", "POST", "PUT", "PATCH", "DELETE")),
        ("brokers/default/ws/events", "GET"),
    )

    @pytest.mark.parametrize(("path", "method"), PATHS)
    async def test_nobody_gets_in_without_authentication(
        self, lab: Lab, broker: StandIn, path: str, method: str
    ) -> None:
        assert (await lab.anonymous(path, method)).code == 403
        assert broker.seen == []

    async def test_a_cookie_alone_may_look_but_not_change(self, lab: Lab, broker: StandIn) -> None:
        """Another page can send the user's cookie along, but not the XSRF header."""
        cookie = await lab.cookie()
        assert (await lab.ask("brokers", Authorization="", Cookie=cookie)).code == 200
        answer = await lab.ask("brokers/default/api/config", "POST", {}, Authorization="", Cookie=cookie)
        assert answer.code == 403
        assert broker.seen == []

    async def test_a_socket_of_another_origin_is_refused(self, lab: Lab, broker: StandIn) -> None:
        cookie = await lab.cookie()
        with pytest.raises(HTTPClientError, match="403"):
            await lab.listen("brokers/default/ws/events", Authorization="", Cookie=cookie, Origin="http://a.example")

    @pytest.mark.parametrize("authorizer", [Reader])
    @pytest.mark.parametrize(("path", "method"), PATHS)
    async def test_a_deployer_can_allow_just_looking(self, lab: Lab, broker: StandIn, path: str, method: str) -> None:
        if path.endswith("events"):
            socket = await lab.listen(path)
            assert await socket.read_message() is None
        elif method == "GET":
            assert (await lab.ask(path)).code == 200
        else:
            assert (await lab.ask(path, method, {})).code == 403
            assert broker.seen == []


class TestRelay:
    async def test_passes_path_query_and_body(self, lab: Lab, broker: StandIn) -> None:
        answer = await lab.ask("brokers/default/api/config/x%20y?key=%2Fa%20b&limit=3", "POST", {"a": 1})
        assert answer.code == 200
        assert parsed(answer) == {
            "path": "config/x y",
            "method": "POST",
            "query": "key=%2Fa+b&limit=3",
            "body": '{"a": 1}',
        }

    async def test_sends_the_broker_its_token_and_nothing_of_the_user(self, lab: Lab, broker: StandIn) -> None:
        await lab.ask(f"brokers/default/api/x?token={LAB_TOKEN}&_xsrf=1&key=k", Cookie="user=me", **{"If-Match": '"7"'})
        (request,) = broker.seen
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["if-match"] == '"7"'
        assert "cookie" not in request.headers
        assert "origin" not in request.headers
        assert request.url.query == "key=k"
        assert LAB_TOKEN not in repr(request.headers)

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def test_passes_every_verb(self, lab: Lab, broker: StandIn, method: str) -> None:
        body = None if method in {"GET", "DELETE"} else {}
        assert parsed(await lab.ask("brokers/default/api/x", method, body))["method"] == method

    @pytest.mark.parametrize("status", [200, 204, 409, 422])
    async def test_passes_status_and_version_back_but_no_cookie(self, lab: Lab, broker: StandIn, status: int) -> None:
        answer = await lab.ask(f"brokers/default/api/x?status={status}")
        assert answer.code == status
        assert answer.headers["ETag"] == '"7"'
        assert "broker=1" not in str(answer.headers)

    async def test_lets_no_page_of_a_broker_into_the_origin(self, lab: Lab, broker: StandIn) -> None:
        answer = await lab.ask("brokers/default/api/page")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize("path", ["config/notify", "config/id"])
    async def test_reads_that_change_something_must_be_posted(self, lab: Lab, broker: StandIn, path: str) -> None:
        assert (await lab.ask(f"brokers/default/api/{path}?key=k")).code == 405
        assert broker.seen == []
        assert parsed(await lab.ask(f"brokers/default/api/{path}?key=k", "POST"))["method"] == "GET"

    async def test_an_unknown_broker_is_not_found(self, lab: Lab, broker: StandIn) -> None:
        answer = await lab.ask("brokers/other/api/x")
        assert (answer.code, parsed(answer)["code"]) == (404, "not_running")

    async def test_a_broker_that_died_is_unreachable(self, lab: Lab) -> None:
        socket, port = bind_unused_port()
        socket.close()
        file(port=port).write()
        answer = await lab.ask("brokers/default/api/x")
        assert (answer.code, parsed(answer)["code"]) == (503, "unreachable")
        assert TOKEN not in answer.body.decode()

    async def test_a_wrong_token_does_not_look_like_a_lost_login(self, lab: Lab, broker: StandIn) -> None:
        file(url=broker.file.url, token="stale").write()
        answer = await lab.ask("brokers/default/api/x")
        assert (answer.code, parsed(answer)["code"]) == (503, "unreachable")

    async def test_garbage_in_a_connection_file_is_told(self, lab: Lab) -> None:
        path = file().path
        path.parent.mkdir(parents=True)
        path.write_text("{")
        answer = await lab.ask("brokers")
        assert answer.code == 500
        assert str(path) in parsed(answer)["message"]


def file(*, port: int = 1, url: str = "", token: str = TOKEN) -> ConnectionFile:
    url = url or f"http://127.0.0.1:{port}"
    return ConnectionFile.new("broker", "default", url=url, rpc="", token=token, log="")


class TestSocket:
    async def test_passes_what_the_broker_says(self, lab: Lab, broker: StandIn) -> None:
        broker.said = ['{"type":"config"}', '{"type":"stream"}']
        socket = await lab.listen("brokers/default/ws/events")
        assert [await socket.read_message() for _ in range(3)] == [*broker.said, None]
        (headers,) = broker.sockets
        assert "origin" not in headers
        assert "cookie" not in headers

    async def test_passes_the_query_without_the_servers_token(self, lab: Lab, broker: StandIn) -> None:
        socket = await lab.listen(f"brokers/default/ws/log?instance=%2Finstance%2Fa%2Fi&token={LAB_TOKEN}")
        assert await socket.read_message() == "/instance/a/i"
        socket.close()

    async def test_closing_one_side_closes_the_other(self, lab: Lab, broker: StandIn) -> None:
        socket = await lab.listen("brokers/default/ws/log?instance=i")
        await socket.read_message()
        socket.close()
        assert await asyncio.to_thread(broker.closed.wait, 10)

    async def test_takes_nothing_from_the_browser(self, lab: Lab, broker: StandIn) -> None:
        socket = await lab.listen("brokers/default/ws/log?instance=i")
        await socket.read_message()
        await socket.write_message("hello")
        assert await socket.read_message() is None
        assert socket.close_code == 1008
        assert broker.heard == []

    @pytest.mark.parametrize(("path", "code"), [("other/ws/events", "404"), ("default/ws/secret", "404")])
    async def test_is_refused_where_there_is_nothing(self, lab: Lab, broker: StandIn, path: str, code: str) -> None:
        with pytest.raises(HTTPClientError, match=code):
            await lab.listen(f"brokers/{path}")

    async def test_is_refused_where_the_broker_died(self, lab: Lab) -> None:
        file().write()
        with pytest.raises(HTTPClientError, match="503"):
            await lab.listen("brokers/default/ws/events")


class TestLifecycle:
    async def test_lists_brokers_with_whether_they_live(self, lab: Lab, broker: StandIn) -> None:
        dead = ConnectionFile.new("broker", "dead", url=broker.file.url, rpc="", token=TOKEN, log="")
        dead.write()
        answer = await lab.ask("brokers")
        rows = {row["name"]: row for row in parsed(answer)}
        assert {name: row["alive"] for name, row in rows.items()} == {"default": True, "dead": False}
        assert rows["default"] | {"alive": ...} == {
            "name": "default",
            "url": broker.file.url,
            "pid": broker.file.pid,
            "id": broker.file.id,
            "started": broker.file.started,
            "version": broker.file.package,
            "alive": ...,
        }
        assert TOKEN not in answer.body.decode()

    async def test_there_may_be_none(self, lab: Lab) -> None:
        assert parsed(await lab.ask("brokers")) == []

    async def test_starts_one_by_the_command_line(self, lab: Lab, broker: StandIn, home: Path) -> None:
        lab.command(f"import sys, pathlib; pathlib.Path({str(home / 'said')!r}).write_text(' '.join(sys.argv[1:]))")
        answer = await lab.ask("brokers", "POST", {"name": "default"})
        assert answer.code == 201
        assert parsed(answer)["alive"] is True
        assert TOKEN not in answer.body.decode()
        assert (home / "said").read_text() == "broker start --name=default --json"

    async def test_gives_other_brokers_free_ports(self, lab: Lab, home: Path) -> None:
        lab.command(f"import sys, pathlib; pathlib.Path({str(home / 'said')!r}).write_text(' '.join(sys.argv[1:]))")
        await lab.ask("brokers", "POST", {"name": "second"})
        assert (home / "said").read_text() == "broker start --name=second --port=0 --rpc-port=0 --json"

    async def test_stops_one_by_the_command_line(self, lab: Lab, broker: StandIn, home: Path) -> None:
        lab.command(f"import sys, pathlib; pathlib.Path({str(home / 'said')!r}).write_text(' '.join(sys.argv[1:]))")
        assert (await lab.ask("brokers/default", "DELETE")).code == 204
        assert (home / "said").read_text() == "broker stop --name=default"

    async def test_says_why_a_start_failed(self, lab: Lab) -> None:
        lab.command("import sys; sys.exit('The port is taken.')")
        answer = await lab.ask("brokers", "POST", {"name": "default"})
        assert answer.code == 500
        assert parsed(answer)["message"] == "The port is taken."

    async def test_says_so_when_the_command_is_missing(self, lab: Lab, home: Path) -> None:
        lab.app.web_app.settings[SETTING] = Brokers([str(home / "nothing")])
        answer = await lab.ask("brokers", "POST", {"name": "default"})
        assert (answer.code, parsed(answer)["code"]) == (500, "daemon_error")

    @pytest.mark.parametrize("body", [{}, {"name": "a/b"}, {"name": 1}, [], "x"])
    async def test_wants_a_name(self, lab: Lab, body: Any) -> None:
        answer = await lab.ask("brokers", "POST", body)
        assert (answer.code, parsed(answer)["code"]) == (422, "invalid_input")

    async def test_stopping_none_is_not_found(self, lab: Lab) -> None:
        assert (await lab.ask("brokers/default", "DELETE")).code == 404

    async def test_a_start_that_hangs_holds_nobody_up(self, lab: Lab, home: Path) -> None:
        lab.command(f"import pathlib\nwhile not pathlib.Path({str(home / 'go')!r}).exists(): pass")
        start = asyncio.create_task(lab.ask("brokers", "POST", {"name": "default"}))
        assert parsed(await lab.ask("brokers")) == []
        assert not start.done()
        (home / "go").touch()
        assert (await start).code == 404


def test_knows_whether_the_panel_is_installed(home: Path) -> None:
    assert not panel_is_installed()
    folder = home / "DATA" / "labextensions" / "teleporter-lab"
    folder.mkdir(parents=True)
    (folder / "package.json").touch()
    assert panel_is_installed()


async def test_loading_imports_nothing_heavy() -> None:
    code = (
        "import sys, jupyter_server.serverapp; before = set(sys.modules); import teleporter_lab.lab.server;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert set(output.decode().split()) <= {"teleporter_lab", "asyncio", "http", "urllib", "_cython"}
