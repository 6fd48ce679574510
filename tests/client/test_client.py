"""The client against a real broker on a real socket."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from teleporter_lab.broker.daemon import Options, Running, running
from teleporter_lab.client import Client, probe, shutdown
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.errors import (
    Conflict,
    InvalidConfig,
    InvalidKey,
    NotFound,
    TeleporterError,
    Unauthorized,
    UnknownTable,
    Unreachable,
)
from teleporter_lab.rpc.messages import PROTOCOL_VERSION, Done, Hello, LinkInstance, LogLines, LogTail, Message
from teleporter_lab.rpc.peer import Peer, dial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

TOKEN = "a-token-of-the-tests"
A = "/instance/ns/a"
STREAM = "/stream/ns/t/my-stream.1"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TELEPORTER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path))


@pytest.fixture
async def broker() -> AsyncIterator[Running]:
    async with running(Options(port=0, rpc_port=0, store="memory:", token=TOKEN, drain=5.0)) as broker:
        yield broker


@pytest.fixture
async def client(broker: Running) -> AsyncIterator[Client]:
    async with Client(broker.url, TOKEN) as client:
        yield client


async def link(broker: Running) -> Peer:
    async def answer(message: Message) -> Message:
        return LogLines(["a line"]) if isinstance(message, LogTail) else Done()

    host, _, port = broker.rpc.rpartition(":")
    peer = await dial(host, int(port), Hello(PROTOCOL_VERSION, TOKEN, A, 1, "here", "0"), answer)
    await peer.request(LinkInstance(A, ephemeral=False))
    return peer


async def test_the_config_tree(client: Client) -> None:
    entry = await client.save("/namespace/a", {"name": "1"})
    assert await client.get("/namespace/a") == entry
    assert await client.range("/namespace/", limit=5) == [entry]
    with pytest.raises(Conflict):
        await client.save("/namespace/a", {}, etag="stale")
    with pytest.raises(Conflict):
        await client.delete("/namespace/a", etag="stale")
    await client.save("/namespace/a", {"name": "2"}, etag=entry["etag"])
    await client.swap("/namespace/a", {"name": "2"}, {"name": "3"})
    await client.delete("/namespace/a")
    with pytest.raises(NotFound):
        await client.get("/namespace/a")
    assert await client.refresh("/namespace/a") == {"key": "/namespace/a", "notified": [], "problems": []}
    assert await client.next_id() == 1


async def test_errors_come_back_as_their_class_with_all_problems(client: Client) -> None:
    with pytest.raises(InvalidConfig) as caught:
        await client.save("/namespace/a", {"zap": 1, "name": 2})
    assert {problem.path for problem in caught.value.problems} == {"zap", "name"}
    with pytest.raises(UnknownTable):
        await client.save("/nonsense/a", {})
    with pytest.raises(InvalidKey):
        await client.get("nonsense & more=1#x")


async def test_forms(client: Client) -> None:
    assert [found["path"] for found in await client.validate("/namespace/a", {"zap": 1})] == ["zap"]
    assert (await client.schema("stream"))["properties"]
    assert "memory" in [connector["category"] for connector in await client.connectors()]
    assert (await client.schema("source", "memory"))["properties"]["client"]


async def test_streams_and_instances(broker: Running, client: Client) -> None:
    await client.save("/group/ns/g", {"tasks": ["/task/ns/t"], "instances": [A]})
    await client.save("/partition/ns/t/p", {"keys": ["/stream/ns/t/.*"]})
    await client.save(STREAM, {})
    await client.save("/stream/ns/t/my-streamx1", {})
    await client.refresh("/group/ns/g")
    async with await link(broker):
        assert [view["key"] for view in await client.streams("/stream/ns/t/my.*", limit=1)] == [STREAM]
        assert (await client.stream(STREAM))["key"] == STREAM
        assert (await client.stop(STREAM))["wanted"] == "STOPPED"
        assert (await client.start(STREAM))["wanted"] == "NORMAL"
        assert (await client.restart(STREAM))["instance"] == A
        assert [view["status"] for view in await client.instances()] == ["ONLINE"]
        assert (await client.runtime_get("/partition/ns/t/p"))["value"]["instance"] == A
        assert len(await client.runtime_range("/partition/")) == 1
        assert await anext(client.log(A, 3)) == ["a line"]
    with pytest.raises(NotFound):
        await client.stream("/stream/ns/t/my")
    await client.runtime_delete("/partition/ns/t/p")
    with pytest.raises(NotFound):
        await anext(client.log("/instance/ns/other"))


async def test_events(broker: Running, client: Client) -> None:
    events = client.events()
    first = asyncio.create_task(anext(events))  # type: ignore[arg-type]
    saved = 0
    while not first.done():  # the socket opens some time
        await client.save(f"/namespace/n{saved}", {})
        saved += 1
    event = await first
    assert (event["type"], event["action"]) == ("config", "ADD")
    broker.service.events.close()
    rest = [event["key"] async for event in events]
    assert rest == [f"/namespace/n{number}" for number in range(saved - len(rest), saved)]


async def test_the_broker_itself(broker: Running, client: Client) -> None:
    assert (await client.ready())["id"] == broker.id
    file = ConnectionFile.new("broker", "default", url=broker.url, rpc=broker.rpc, token=TOKEN, log="")
    assert await probe(file) == broker.id
    await shutdown(file)
    assert broker.stopping.is_set()
    assert TOKEN not in repr(client)


async def test_a_wrong_token_is_unauthorized(broker: Running) -> None:
    async with Client(broker.url, "wrong") as client:
        with pytest.raises(Unauthorized):
            await client.get("/namespace/a")
        with pytest.raises(Unauthorized):
            await anext(client.events())


async def test_nobody_there_is_one_sentence() -> None:
    async with Client("http://127.0.0.1:9", "token") as client:
        with pytest.raises(Unreachable, match=r"^No broker answers at http://127.0.0.1:9: is it running\?$"):
            await client.get("/namespace/a")
        with pytest.raises(Unreachable, match="No broker answers"):
            await anext(client.events())


def answering(handler: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("http://broker", "token", transport=httpx.MockTransport(handler))


@pytest.mark.parametrize("content", [b"<html>", b"", b"[]", b'{"detail": "x"}'])
async def test_somebody_else_there_is_said(content: bytes) -> None:
    async with answering(lambda _: httpx.Response(502, content=content)) as client:
        with pytest.raises(Unreachable, match="is no broker: it said 502"):
            await client.get("/namespace/a")


async def test_an_error_of_a_later_version_is_still_an_error() -> None:
    body: dict[str, Any] = {"code": "of_the_future", "message": "Not yet.", "problems": []}
    async with answering(lambda _: httpx.Response(418, content=json.dumps(body))) as client:
        with pytest.raises(TeleporterError, match="Not yet"):
            await client.get("/namespace/a")


async def test_no_answer_in_time_is_unreachable() -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    async with answering(silent) as client:
        with pytest.raises(Unreachable, match="did not answer in time"):
            await client.get("/namespace/a")


async def test_a_proxy_of_the_environment_does_not_see_the_token(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Client(client.url, TOKEN) as careful:
        assert await careful.range("/namespace/") == []


async def test_where_a_broker_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable, match=r"start it with `teleporter-lab broker start`"):
        Client.find()
    with pytest.raises(Unreachable, match=r"start it with `teleporter-lab broker start --name mine`"):
        Client.find("mine")
    for name in ("default", "mine"):
        ConnectionFile.new("broker", name, url=f"http://{name}", rpc="", token="t", log="").write()
    assert Client.find().url == "http://default"
    monkeypatch.setenv("TELEPORTER_BROKER_URL", "http://environment/")
    with pytest.raises(Unauthorized, match="TELEPORTER_BROKER_TOKEN"):
        Client.find()
    monkeypatch.setenv("TELEPORTER_BROKER_TOKEN", "t")
    assert Client.find().url == "http://environment"
    assert Client.find("mine").url == "http://mine"
    assert Client.find("mine", url="http://argument", token="t").url == "http://argument"
