from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from teleporter_lab.broker.daemon import Options, run, running
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.errors import AlreadyRunning, DaemonError, InvalidInput, PortInUse, StoreLocked
from teleporter_lab.rpc.messages import Done, KVSave, Message
from teleporter_lab.rpc.peer import dial
from teleporter_lab.web.server import bind
from tests.broker.conftest import TOKEN, hello

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    for name in ("TELEPORTER_RUNTIME_DIR", "TELEPORTER_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def options(name: str = "default", **more: object) -> Options:
    fields = {"name": name, "port": 0, "rpc_port": 0, "token": TOKEN, "drain": 5.0} | more
    return Options(**fields)  # type: ignore[arg-type]


@dataclass
class Daemon:
    """`run` in a task, and the connection file that it announced."""

    task: asyncio.Task[None]
    file: ConnectionFile


async def start(log: Path) -> Daemon:
    announced: asyncio.Future[ConnectionFile] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run(options(), log, announced.set_result))
    await asyncio.wait({task, announced}, return_when=asyncio.FIRST_COMPLETED)
    return Daemon(task, announced.result())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "127.0.0.1.example.org"])
def test_a_host_that_others_reach_needs_a_flag(host: str) -> None:
    with pytest.raises(InvalidInput, match="--allow-remote"):
        options(host=host)
    assert options(host=host, allow_remote=True).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert options(host=host).host == host


@pytest.mark.parametrize("token", ["", "two words", "é", "line\n"])
def test_a_token_fits_into_a_header(token: str) -> None:
    with pytest.raises(InvalidInput, match="visible ASCII"):
        options(token=token)


def test_a_token_is_fresh_long_and_not_shown() -> None:
    one, two = Options(), Options()
    assert one.token != two.token
    assert len(one.token) >= 43
    assert one.token not in repr(one)


async def test_both_doors_are_open_on_free_ports(http: httpx.AsyncClient, home: Path) -> None:
    async with running(options()) as broker:
        ready = (await http.get(f"{broker.url}/health/ready")).json()
        assert (ready["id"], ready["pid"]) == (broker.id, os.getpid())
        host, _, port = broker.rpc.rpartition(":")

        async def handle(message: Message) -> Message:
            return Done()

        async with await dial(host, int(port), hello("/instance/ns/a"), handle) as peer:
            await peer.request(KVSave("config", "/namespace/ns", "{}"))
        assert (await http.get(f"{broker.url}/config", params={"key": "/namespace/ns"})).status_code == 200
        assert (await http.get(f"{broker.url}/connectors")).status_code == 200
    assert (home / "data" / "broker-default").is_dir()
    async with running(options()) as again:
        assert again.id != broker.id
        assert (await http.get(f"{again.url}/config", params={"key": "/namespace/ns"})).status_code == 200


async def test_a_port_in_use_leaves_nothing_behind() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match="--port"):
            async with running(options(port=port)):
                pass
        with pytest.raises(PortInUse, match="--rpc-port"):
            async with running(options(rpc_port=port)):
                pass
    async with running(options()):
        pass


async def test_a_second_broker_on_the_same_store_is_told_what_to_do(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'shared'}"
    async with running(options("one", store=store)):
        with pytest.raises(StoreLocked, match="stop that one, or give this one a store of its own"):
            async with running(options("two", store=store)):
                pass


async def test_a_second_broker_of_the_same_name_is_refused(tmp_path: Path) -> None:
    first = await start(tmp_path / "log")
    with pytest.raises(AlreadyRunning):
        await run(options(store="memory:"), tmp_path / "log")
    os.kill(os.getpid(), signal.SIGTERM)
    await first.task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_and_its_file(tmp_path: Path, number: signal.Signals) -> None:
    daemon = await start(tmp_path / "log")
    file = daemon.file
    assert (file.token, file.pid, file.log) == (TOKEN, os.getpid(), str(tmp_path / "log"))
    assert file.path.stat().st_mode & 0o777 == 0o600
    os.kill(os.getpid(), number)
    await asyncio.wait_for(daemon.task, 10)
    assert ConnectionFile.read("broker", "default") is None


async def test_shutdown_ends_it_and_an_open_socket_does_not_hold_it(tmp_path: Path, http: httpx.AsyncClient) -> None:
    daemon = await start(tmp_path / "log")
    file = daemon.file
    host, _, port = file.rpc.rpartition(":")

    async def handle(message: Message) -> Message:
        return Done()

    async with await dial(host, int(port), hello("/instance/ns/a"), handle) as peer:
        assert (await http.post(f"{file.url}/shutdown")).status_code == 202
        await asyncio.wait_for(daemon.task, 10)
        await peer.wait_closed()
        assert peer.why is not None
        assert peer.why.code == "closing"


async def test_the_token_is_in_no_log_line(
    tmp_path: Path, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        daemon = await start(tmp_path / "log")
        file = daemon.file
        await http.get(f"{file.url}/config", params={"key": "/nonsense"})
        await http.post(f"{file.url}/shutdown")
        await daemon.task
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("teleporter_lab", "uvicorn"))]
    assert ours
    assert not [line for line in ours if TOKEN in line]


async def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no name of a daemon"):
        await run(options("../evil"), tmp_path / "log")


async def test_a_host_that_is_not_here_leaves_nothing_behind() -> None:
    with pytest.raises(DaemonError, match="Cannot listen"):
        async with running(options(host="192.0.2.1", allow_remote=True)):
            pass
    async with running(options()):
        pass
