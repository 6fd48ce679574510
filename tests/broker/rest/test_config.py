from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.config.secret import MASK
from tests.broker.conftest import World, group, partitions

if TYPE_CHECKING:
    import httpx

NS = "/namespace/ns"


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert set(body) == {"code", "message", "problems"}
    return body


async def test_a_value_is_saved_and_found(http: httpx.AsyncClient) -> None:
    saved = await http.post("/config", json={"key": "/ns/ns", "value": {"name": "x"}})
    assert saved.status_code == 200
    entry = saved.json()
    assert (entry["key"], entry["value"]) == (NS, {"name": "x"})
    assert saved.headers["ETag"] == f'"{entry["etag"]}"'
    found = await http.get("/config", params={"key": NS, "unknown": "ignored"})
    assert found.json() == entry
    assert found.headers["ETag"] == saved.headers["ETag"]
    gone = await http.delete("/config", params={"key": NS})
    assert (gone.status_code, gone.content) == (204, b"")
    refused(await http.get("/config", params={"key": NS}), 404, "not_found")
    refused(await http.delete("/config", params={"key": NS}), 404, "not_found")


async def test_a_page_is_sorted(http: httpx.AsyncClient) -> None:
    for name in ("c", "a", "b"):
        await http.post("/config", json={"key": f"/namespace/{name}", "value": {}})
    page = (await http.get("/config/range", params={"key": "/namespace/", "start": 1, "limit": 2})).json()
    assert [entry["key"] for entry in page] == ["/namespace/b", "/namespace/c"]
    assert set(page[0]) == {"key", "value", "etag"}
    assert (await http.get("/config/range", params={"key": "/nothing/"})).json() == []
    refused(await http.get("/config/range", params={"key": "/namespace/("}), 422, "invalid_pattern")


async def test_five_mistakes_are_five_problems(http: httpx.AsyncClient) -> None:
    value = {
        "category": "kafka",
        "client": {"topic": "orders", "batch": "many"},
        "ack": {"cacheSize": 0},
        "address": {"key": "/nonsense"},
    }
    body = refused(await http.post("/config", json={"key": "/source/ns/t/s/in", "value": value}), 422, "invalid_config")
    assert {problem["path"] for problem in body["problems"]} == {
        "client.topic",
        "client.topics",
        "client.batch",
        "ack.cacheSize",
        "address.key",
    }


@pytest.mark.parametrize("key", ["", "x", "/stream/ns", "/stream/ns/t/s/", "/stream/ns/t/s%00", "/stream/../t/s"])
async def test_a_malformed_key_is_refused_everywhere(http: httpx.AsyncClient, key: str) -> None:
    refused(await http.get("/config", params={"key": key}), 422, "invalid_key")
    refused(await http.delete("/config", params={"key": key}), 422, "invalid_key")
    refused(await http.get("/config/notify", params={"key": key}), 422, "invalid_key")
    refused(await http.post("/config", json={"key": key, "value": {}}), 422, "invalid_key")
    refused(await http.post("/config/atomic", json={"key": key, "expect": None, "update": {}}), 422, "invalid_key")


async def test_an_unknown_table_is_named(http: httpx.AsyncClient) -> None:
    body = refused(await http.post("/config", json={"key": "/strem/ns/t/s", "value": {}}), 422, "unknown_table")
    assert "stream" in body["message"]


async def test_a_stale_tag_is_a_conflict(http: httpx.AsyncClient) -> None:
    first = (await http.post("/config", json={"key": NS, "value": {"name": "1"}})).headers["ETag"]
    second = await http.post("/config", json={"key": NS, "value": {"name": "2"}}, headers={"If-Match": first})
    assert second.status_code == 200
    for tag in (first, first.strip('"'), f"W/{first}", '"nonsense"'):
        stale = {"If-Match": tag}
        refused(await http.post("/config", json={"key": NS, "value": {}}, headers=stale), 409, "conflict")
        refused(await http.delete("/config", params={"key": NS}, headers=stale), 409, "conflict")
    assert (await http.delete("/config", params={"key": NS}, headers={"If-Match": "*"})).status_code == 204
    refused(await http.post("/config", json={"key": NS, "value": {}}, headers={"If-Match": "*"}), 409, "conflict")


async def test_compare_and_set(http: httpx.AsyncClient) -> None:
    made = await http.post("/config/atomic", json={"key": NS, "expect": None, "update": {"name": "1"}})
    assert made.json()["value"] == {"name": "1"}
    refused(await http.post("/config/atomic", json={"key": NS, "expect": None, "update": {}}), 409, "conflict")
    refused(await http.post("/config/atomic", json={"key": NS, "expect": {"name": "0"}, "update": {}}), 409, "conflict")
    swapped = await http.post("/config/atomic", json={"key": NS, "expect": {"name": "1"}, "update": {"name": "2"}})
    assert swapped.headers["ETag"] == f'"{swapped.json()["etag"]}"'


async def test_ids_are_unique(http: httpx.AsyncClient) -> None:
    assert [(await http.get("/config/id")).json()["id"] for _ in range(3)] == [1, 2, 3]


async def test_secrets_are_hidden_unless_written_form_is_asked_for(http: httpx.AsyncClient) -> None:
    value = {"category": "kafka", "client": {"topics": "${env:SECRET_TOPIC}"}}
    saved = await http.post("/config", json={"key": "/address/ns/a", "value": value})
    found = await http.get("/config", params={"key": "/address/ns/a"})
    page = await http.get("/config/range", params={"key": "/address/"})
    for answer in (saved, found, page):
        assert MASK in answer.text
        assert "SECRET_TOPIC" not in answer.text
    raw = await http.get("/config", params={"key": "/address/ns/a", "raw": True})
    assert raw.json()["value"] == value
    back = await http.post(
        "/config",
        json={"key": "/address/ns/a", "value": found.json()["value"]},
        headers={"If-Match": found.headers["ETag"]},
    )
    assert back.headers["ETag"] == found.headers["ETag"], "what was hidden is still there"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[1]", 422),
        (b'{"key": "/namespace/ns"}', 422),
        (b'{"key": 5, "value": {}}', 422),
        (b'{"key": "/namespace/ns", "value": null}', 422),
        (b'{"key": "/namespace/ns", "value": [1]}', 422),
        (b'{"key": "/namespace/ns", "value": {"name": NaN}}', 422),
        (b'{"key": "/namespace/ns", "value": {"name": "\\ud800"}}', 422),
        (b'{"key": "/namespace/ns", "value": {"id": 1e999}}', 422),
        (b'{"key": "/namespace/ns", "value": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}", 422),
        (b'{"key": "/namespace/ns", "value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b'{"key": "/namespace/ns", "value": {"id": ' + b"9" * 5000 + b"}}", 400),
    ],
)
async def test_bad_input_is_never_a_failure_of_the_broker(http: httpx.AsyncClient, content: bytes, status: int) -> None:
    answer = await http.post("/config", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"code", "message", "problems"}


async def test_a_missing_field_is_a_problem_at_its_path(http: httpx.AsyncClient) -> None:
    body = refused(await http.post("/config", json={}), 422, "invalid_input")
    assert {problem["path"] for problem in body["problems"]} == {"key", "value"}
    body = refused(await http.get("/config"), 422, "invalid_input")
    assert [problem["path"] for problem in body["problems"]] == ["key"]
    body = refused(
        await http.get("/config/range", params={"key": "/", "start": -1, "limit": "x"}), 422, "invalid_input"
    )
    assert {problem["path"] for problem in body["problems"]} == {"start", "limit"}
    refused(await http.get("/config/range", params={"key": "/", "start": 10**30}), 422, "invalid_input")


async def test_a_refresh_says_whom_it_reached(http: httpx.AsyncClient, world: World) -> None:
    await world.put({"/group/ns/g": group("/instance/ns/a"), "/task/ns/t": {}, **partitions(1), "/stream/ns/t/s0": {}})
    await world.come("/instance/ns/a")
    answer = await http.get("/config/notify", params={"key": "/stream/ns/t/s0"})
    assert answer.json() == {"key": "/stream/ns/t/s0", "notified": ["/instance/ns/a"], "problems": []}
