"""Positions through the client, with a real broker on a real socket."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.blocking import BlockingClient, LoopThread
from teleporter_lab.broker.daemon import Options, Running, running
from teleporter_lab.client import Client
from teleporter_lab.client.positions import instant, user_name
from teleporter_lab.errors import Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SOURCE = "/source/ns/t/s/in"
KEY = "/position/ns/t/s/in"


@pytest.fixture
async def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path))
    async with running(Options(port=0, rpc_port=0, store="memory:", drain=1.0)) as found:
        record: dict[str, Any] = {"position": {"offset": 10}, "ledger": {"read": 10}}
        await found.service.runtime.write(KEY, record)
        await found.service.history.add_commit(KEY, record)
        yield found


@pytest.fixture
async def client(broker: Running) -> AsyncIterator[Client]:
    async with Client(broker.url, broker.token) as found:
        yield found


async def test_every_verb(client: Client) -> None:
    found = await client.position(SOURCE)
    assert await client.positions("/source/ns/") == [found]
    seen = await client.preview_position(SOURCE, start=True)
    assert seen["preview"]["records"] == 10
    done = await client.set_position(SOURCE, {"offset": 20}, etag=seen["etag"], message="on")
    assert (done["position"], done["by"]) == ({"offset": 20}, user_name())
    with pytest.raises(Conflict):
        await client.reset_position(SOURCE, etag=seen["etag"])
    newest, first = await client.position_history(SOURCE)
    assert newest["message"] == "on"
    assert (await client.rewind_position(SOURCE, entry=first["id"], by="ada"))["by"] == "ada"
    assert (await client.rewind_position(SOURCE, to=datetime.now(UTC)))["position"] == {"offset": 10}
    assert (await client.reset_position(SOURCE))["position"] is None
    with pytest.raises(NotFound):
        await client.rewind_position(SOURCE, records=5)


async def test_the_blocking_client_has_them_too(broker: Running) -> None:
    import asyncio

    def use() -> Any:
        with LoopThread() as loop, BlockingClient(Client(broker.url, broker.token), loop) as client:
            return client.set_position(SOURCE, {"offset": 1})["position"]

    assert await asyncio.to_thread(use) == {"offset": 1}


def test_a_moment_has_a_zone() -> None:
    aware = "2026-11-25T10:00:00+00:00"
    for moment in (aware, datetime.fromisoformat(aware), datetime.fromisoformat(aware).timestamp()):
        assert datetime.fromisoformat(instant(moment)) == datetime.fromisoformat(aware)
    local = datetime.fromisoformat(instant("2026-11-25T10:00"))
    assert local.tzinfo is not None
    assert local.replace(tzinfo=None) == datetime(2026, 11, 25, 10)
    with pytest.raises(InvalidInput, match="no date-time"):
        instant("yesterday")


def test_a_user_without_a_name_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert user_name() == ""
