"""A real broker and a real instance, both in the test's loop, talking over loopback sockets."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.daemon import Options, Running, running
from teleporter_lab.client import Client
from teleporter_lab.instance.instance import Instance, InstanceOptions
from teleporter_lab.instance.link import parse_brokers
from teleporter_lab.instance.log_tail import LogKeeper
from teleporter_lab.rpc.messages import PROTOCOL_VERSION, Hello

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

INSTANCE = "/instance/test/one"
STREAM = "/stream/test/task/copy"


@pytest.fixture
async def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    async with running(Options(port=0, rpc_port=0, store="memory:", drain=1.0)) as found:
        yield found


@pytest.fixture
async def client(broker: Running) -> AsyncIterator[Client]:
    async with Client(broker.url, broker.token) as found:
        yield found


def instance_for(broker: Running, key: str = INSTANCE, logs: LogKeeper | None = None) -> Instance:
    hello = Hello(PROTOCOL_VERSION, broker.token, key, os.getpid(), socket.gethostname(), "test")
    return Instance(hello, InstanceOptions(parse_brokers(broker.rpc), drain=5.0), logs or LogKeeper())


@pytest.fixture
def logs() -> Iterator[LogKeeper]:
    """Keeps what the package logs, as the process of an instance does."""
    keeper = LogKeeper()
    logger = logging.getLogger("teleporter_lab")
    logger.addHandler(keeper)
    yield keeper
    logger.removeHandler(keeper)


@pytest.fixture
async def instance(broker: Running, logs: LogKeeper) -> AsyncIterator[Instance]:
    async with instance_for(broker, logs=logs) as found:
        await found.link.wait_ready(5.0)
        yield found


class Desk:
    """A task with one instance, and short words for what the tests do with a stream."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.input = folder / "in.csv"
        self.output = folder / "out.jsonl"

    async def prepare(self, rows: int = 1000) -> None:
        """A CSV file with `id,name`, a source for it, a sink of JSON lines, and a place to run."""
        lines = ["id,name", *(f"{i},name {i}" for i in range(rows))]
        self.input.write_text("\n".join(lines) + "\n")
        documents: dict[str, Any] = {
            "/group/test/all": {"tasks": ["/task/test/task"], "instances": [INSTANCE]},
            "/task/test/task": {"group": "/group/test/all"},
            "/partition/test/task/all": {"keys": ["/stream/test/task/.*"]},
            "/source/test/task/copy/rows": {
                "category": "csv",
                "ack": {"commitInterval": "50.millis"},
                "client": {"path": str(self.input), "types": {"id": "int"}},
            },
            "/sink/test/task/copy/lines": {
                "category": "file",
                "client": {"path": str(self.output), "format": "jsonl", "batchTime": "10.millis"},
            },
        }
        for key, value in documents.items():
            await self.client.save(key, value)

    async def deploy(self, template: str, **fields: Any) -> dict[str, Any]:
        """Saves the stream and applies it; the answer of the refresh."""
        await self.client.save(STREAM, {"template": template, **fields})
        return await self.client.refresh(STREAM)

    async def view(self) -> dict[str, Any]:
        return (await self.client.streams(STREAM))[0]

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The stream's view once `holds` does."""
        async with asyncio.timeout(20):
            while not holds(view := await self.view()):
                await asyncio.sleep(0.01)
        return view

    async def status(self, *wanted: str) -> dict[str, Any]:
        return await self.until(lambda view: view["status"] in wanted)


@pytest.fixture
async def desk(client: Client, instance: Instance, tmp_path: Path) -> Desk:
    found = Desk(client, tmp_path)
    await found.prepare()
    return found
