from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.rpc.messages import Done, Message, Redrive, Redriven
from tests.broker.conftest import World, group, partitions
from tests.broker.letters import STREAM, letter, letters, names

if TYPE_CHECKING:
    import httpx

A = "/instance/ns/a"


@pytest.fixture(autouse=True)
async def shelf(world: World) -> World:
    await world.put({"/group/ns/g": group(A), "/task/ns/t": {}, **partitions(1), STREAM: {}})
    await world.service.refresh("/group/ns/g")
    remote = await world.come(A)

    async def answer(message: Message) -> Message:
        return Redriven([name for name, _ in message.letters], []) if isinstance(message, Redrive) else Done()

    remote.answer = answer
    await world.service.put_aside(world.sessions[A], STREAM, letters(5))
    return world


async def test_letters_are_listed(http: httpx.AsyncClient) -> None:
    page = (await http.get("/dead-letters", params={"limit": 2})).json()
    assert (names(page), page["next"]) == ([0, 1], 2)
    assert page["counts"] == {STREAM: {"kept": 5, "expired": 0, "dropped": 0, "redriven": 0}}
    asked = {"key": STREAM, "since": "2023-11-14T22:13:23Z", "error": "valueerror", "whole": True}
    page = (await http.get("/dead-letters", params=asked)).json()
    assert names(page) == [3, 4]
    assert page["letters"][0]["record"] == {"n": 3}
    assert (await http.get("/dead-letters", params={"key": "/stream/other/"})).json()["letters"] == []
    assert (await http.get("/streams", params={"key": STREAM})).json()[0]["dead_letters"] == 5


async def test_a_letter_is_shown_and_edited(http: httpx.AsyncClient) -> None:
    name = letter(1)[0]
    seen = (await http.get("/dead-letters/one", params={"stream": STREAM, "id": name})).json()
    edit = {"stream": STREAM, "id": name, "record": {"n": 7}, "etag": seen["etag"]}
    changed = (await http.post("/dead-letters/edit", json=edit)).json()
    assert (changed["record"], changed["edited"]) == ({"n": 7}, True)
    assert (await http.post("/dead-letters/edit", json=edit)).status_code == 409


async def test_letters_are_redriven_and_dropped(http: httpx.AsyncClient) -> None:
    done = (await http.post("/dead-letters/redrive", json={"stream": STREAM, "ids": [letter(0)[0]]})).json()
    assert done == {"redriven": 1, "failed": [], "next": None}
    page = (await http.post("/dead-letters/redrive", json={"stream": STREAM, "all": True, "limit": 2})).json()
    assert (page["redriven"], page["next"]) == (2, letter(2)[0])
    drop = {"stream": STREAM, "error": "no number"}
    assert (await http.post("/dead-letters/drop", json=drop)).json() == {"dropped": 2, "missing": []}
    counts = (await http.get("/dead-letters")).json()["counts"][STREAM]
    assert counts == {"kept": 0, "expired": 0, "dropped": 2, "redriven": 3}


async def test_without_the_instance_a_redrive_is_a_conflict(http: httpx.AsyncClient, shelf: World) -> None:
    await shelf.go(A)
    answer = await http.post("/dead-letters/redrive", json={"stream": STREAM, "all": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_a_letter_that_is_deleted_below_is_not_counted(http: httpx.AsyncClient) -> None:
    key = f"/deadletter/ns/t/s0/{letter(0)[0]}"
    assert (await http.delete("/runtime", params={"key": key})).status_code == 204
    assert (await http.get("/streams", params={"key": STREAM})).json()[0]["dead_letters"] == 4


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("drop", {}, 422),
        ("drop", {"all": True, "ids": ["a"]}, 422),
        ("drop", {"stream": "/stream/ns/", "all": True}, 422),
        ("redrive", {}, 422),
        ("redrive", {"stream": "/stream/ns/", "all": True}, 422),
        ("redrive", {"all": True, "limit": 0}, 422),
        ("redrive", {"since": "2026-11-25T10:00"}, 422),
        ("edit", {"id": "unknown", "record": 1}, 404),
        ("edit", {"id": "unknown"}, 422),
        ("edit", {"id": "x" * 90, "record": 1}, 422),
    ],
)
async def test_what_cannot_be_is_said(http: httpx.AsyncClient, verb: str, body: dict[str, Any], status: int) -> None:
    answer = await http.post(f"/dead-letters/{verb}", json={"stream": STREAM} | body)
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]
    for params in ({"stream": STREAM, "id": "unknown"}, {"stream": STREAM, "id": "../x"}):
        assert (await http.get("/dead-letters/one", params=params)).status_code in {404, 422}
