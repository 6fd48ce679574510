from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.broker.conftest import World, group, partitions

if TYPE_CHECKING:
    import httpx

A = "/instance/ns/a"
SOURCE = "/source/ns/t/s0/in"
KEY = "/position/ns/t/s0/in"


@pytest.fixture(autouse=True)
async def source(world: World) -> World:
    await world.put({"/group/ns/g": group(A), "/task/ns/t": {}, **partitions(1), "/stream/ns/t/s0": {}})
    await world.put({SOURCE: {"category": "kafka", "client": {"topics": "t"}}})
    await world.service.refresh("/group/ns/g")
    await world.come(A)
    first: dict[str, Any] = {"position": {"offset": 10}, "ledger": {"read": 10}, "epoch": 1, "at": 5.0}
    await world.service.commit(world.sessions[A], KEY, None, first, 1)
    return world


async def test_positions_are_listed_and_shown(http: httpx.AsyncClient) -> None:
    found = (await http.get("/position", params={"key": SOURCE})).json()
    assert (found["position"], found["instance"]) == ({"offset": 10}, A)
    assert (await http.get("/positions")).json() == [found]
    assert (await http.get("/positions", params={"key": "/source/ns/t/s0/", "start": 1})).json() == []
    assert (await http.get("/position", params={"key": "/source/ns/t/s0/no"})).status_code == 404
    assert (await http.get("/position", params={"key": "/task/ns/t"})).status_code == 422


async def test_a_preview_changes_nothing(http: httpx.AsyncClient) -> None:
    seen = (await http.post("/positions/preview", json={"key": SOURCE, "position": {"offset": 3}})).json()
    assert (seen["target"], seen["preview"]["records"]) == ({"offset": 3}, 7)
    assert seen["preview"]["text"] == "7 records repeat."
    assert (await http.get("/position", params={"key": SOURCE})).json()["etag"] == seen["etag"]


async def test_set_reset_and_rewind(http: httpx.AsyncClient) -> None:
    tag = (await http.get("/position", params={"key": SOURCE})).json()["etag"]
    how = {"key": SOURCE, "etag": tag, "message": "why", "by": "ada"}
    done = await http.post("/positions/set", json=how | {"position": {"offset": 3}})
    assert (done.status_code, done.json()["position"]) == (200, {"offset": 3})
    stale = await http.post("/positions/reset", json=how)
    assert (stale.status_code, stale.json()["code"]) == (409, "conflict")
    entries = (await http.get("/positions/history", params={"key": SOURCE})).json()
    assert [(entry["kind"], entry.get("by")) for entry in entries] == [("set", "ada"), ("commit", None)]
    back = await http.post("/positions/rewind", json={"key": SOURCE, "entry": entries[1]["id"]})
    assert (back.json()["position"], back.json()["preview"]["records"]) == ({"offset": 10}, -7)
    then = await http.post("/positions/rewind", json={"key": SOURCE, "to": "2030-01-01T00:00:00Z"})
    assert then.json()["position"] == {"offset": 10}
    assert (await http.post("/positions/reset", json={"key": SOURCE})).json()["position"] is None


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("set", {}, 422),
        ("set", {"position": None}, 422),
        ("set", {"position": "text"}, 422),
        ("rewind", {}, 422),
        ("rewind", {"to": "2026-11-25T10:00", "why": "no zone"}, 422),
        ("rewind", {"to": "yesterday"}, 422),
        ("rewind", {"records": 0}, 422),
        ("rewind", {"records": 1, "start": True}, 422),
        ("rewind", {"entry": "unknown"}, 404),
        ("rewind", {"records": 11}, 404),
        ("preview", {}, 422),
    ],
)
async def test_what_cannot_be_is_said(http: httpx.AsyncClient, verb: str, body: dict[str, Any], status: int) -> None:
    answer = await http.post(f"/positions/{verb}", json={"key": SOURCE} | body)
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]


async def test_bad_json_is_400(http: httpx.AsyncClient) -> None:
    answer = await http.post("/positions/set", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


async def test_a_stranger_sees_nothing(http: httpx.AsyncClient) -> None:
    del http.headers["Authorization"]
    for path in ("/position", "/positions", "/positions/history", "/dead-letters", "/dead-letters/one"):
        assert (await http.get(path)).status_code == 401
    for path in ("set", "reset", "rewind", "preview"):
        assert (await http.post(f"/positions/{path}", json={})).status_code == 401
