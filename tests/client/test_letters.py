"""Dead letters through the client, with a real broker on a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.daemon import Options, Running, running
from teleporter_lab.client import Client
from teleporter_lab.client.letters import PAGE, flat
from teleporter_lab.errors import Conflict, InvalidInput, NotFound
from teleporter_lab.rpc.messages import (
    PROTOCOL_VERSION,
    Done,
    Hello,
    LinkInstance,
    Message,
    PutAside,
    Redrive,
    Redriven,
)
from teleporter_lab.rpc.peer import Peer, dial
from tests.broker.letters import STREAM, letter, letters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

A = "/instance/ns/a"


@pytest.fixture
async def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path))
    async with running(Options(port=0, rpc_port=0, store="memory:", drain=1.0)) as found:
        yield found


@pytest.fixture
async def client(broker: Running) -> AsyncIterator[Client]:
    async with Client(broker.url, broker.token) as found:
        for key, value in {
            "/group/ns/g": {"tasks": ["/task/ns/t"], "instances": [A]},
            "/partition/ns/t/p": {"keys": ["/stream/ns/t/.*"]},
            STREAM: {},
        }.items():
            await found.save(key, value)
        await found.refresh("/group/ns/g")
        yield found


@pytest.fixture
async def peer(broker: Running, client: Client) -> AsyncIterator[Peer]:
    """An instance, on which letters with odd numbers fail again."""

    async def answer(message: Message) -> Message:
        if not isinstance(message, Redrive):
            return Done()
        odd = [name for name, _ in message.letters if int(name.split("-")[0], 16) % 2]
        return Redriven([name for name, _ in message.letters if name not in odd], [(name, "odd") for name in odd])

    host, _, port = broker.rpc.rpartition(":")
    async with await dial(host, int(port), Hello(PROTOCOL_VERSION, broker.token, A, 1, "here", "0"), answer) as found:
        await found.request(LinkInstance(A, ephemeral=False))
        while broker.service.assignments.owner("/partition/ns/t/p") != A:
            await client.instances()
        yield found


async def test_a_page_is_listed_one_is_shown_edited_and_dropped(client: Client, peer: Peer) -> None:
    await peer.request(PutAside(STREAM, letters(3)))
    page = await client.dead_letters(STREAM, limit=2)
    assert (len(page["letters"]), page["next"], page["counts"][STREAM]["kept"]) == (2, 2, 3)
    seen = await client.dead_letter(STREAM, letter(1)[0])
    await client.edit_dead_letter(STREAM, seen["id"], {"n": "1"}, etag=seen["etag"])
    with pytest.raises(Conflict):
        await client.edit_dead_letter(STREAM, seen["id"], {"n": "2"}, etag=seen["etag"])
    assert await client.drop_dead_letters(STREAM, [seen["id"], "gone"]) == {"dropped": 1, "missing": ["gone"]}
    assert await client.drop_dead_letters(STREAM, until=1_700_000_000.0) == {"dropped": 1, "missing": []}
    assert await client.drop_dead_letters(STREAM, []) == {"dropped": 0, "missing": []}
    with pytest.raises(InvalidInput, match="Say which letters"):
        await client.drop_dead_letters(STREAM)
    with pytest.raises(NotFound):
        await client.dead_letter(STREAM, "gone")


async def test_a_long_redrive_goes_page_by_page(client: Client, peer: Peer) -> None:
    number = PAGE * 2 + 10
    await peer.request(PutAside(STREAM, letters(number)))
    seen: list[int] = []
    done = await client.redrive(
        STREAM, everything=True, progress=lambda page: seen.append(page["redriven"] + len(page["failed"]))
    )
    assert (done["redriven"], len(done["failed"])) == (number // 2, number // 2)
    assert [count for count in seen if count] == [PAGE, PAGE, 10]
    again = await client.redrive(STREAM, [each["id"] for each in done["failed"]])
    assert (again["redriven"], len(again["failed"])) == (0, number // 2)
    assert await client.redrive(STREAM, []) == {"redriven": 0, "failed": []}
    assert (await client.redrive(STREAM, place="elsewhere")) == {"redriven": 0, "failed": []}


async def test_rows_are_flat_and_all_there(client: Client, peer: Peer) -> None:
    await peer.request(PutAside(STREAM, [*letters(PAGE + 3), letter(PAGE + 3, "a text", tries=3)]))
    rows = await client.dead_letter_rows(STREAM)
    assert len(rows) == PAGE + 4
    assert rows[5]["record.n"] == 5
    assert (rows[-1]["record"], rows[-1]["tries"], rows[-1]["error"]) == ("a text", 3, "ValueError")
    assert not any(isinstance(value, dict) for row in rows for name, value in row.items() if name != "position")
    assert len(await client.dead_letter_rows("/stream/ns/", limit=7, error="no number")) == 7


def test_a_row_says_when() -> None:
    row: dict[str, Any] = flat({"id": "a", "at": 0.5, "record": {"x": 1}})
    assert (row["at"].isoformat(), row["record.x"], row["error"]) == ("1970-01-01T00:00:00.500000+00:00", 1, None)


async def test_an_instance_puts_aside_only_what_it_runs(client: Client, peer: Peer) -> None:
    with pytest.raises(Conflict, match="is not run by"):
        await peer.request(PutAside("/stream/ns/other/s", [letter(1, stream="/stream/ns/other/s")]))
    with pytest.raises(InvalidInput):
        await peer.request(PutAside(STREAM, [("x", "no json")]))
    await peer.request(PutAside(STREAM, []))
    assert (await client.dead_letters(STREAM))["letters"] == []
