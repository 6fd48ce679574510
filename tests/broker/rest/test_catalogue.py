from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from teleporter_lab.config.key import Table

if TYPE_CHECKING:
    import httpx


@pytest.mark.parametrize("table", list(Table))
async def test_every_table_has_a_form(http: httpx.AsyncClient, table: str) -> None:
    schema = (await http.get(f"/schema/{table}")).json()
    assert schema["type"] == "object"
    assert schema["properties"]


async def test_a_category_brings_its_client(http: httpx.AsyncClient) -> None:
    answer = await http.get("/schema/source/kafka")
    assert answer.status_code == 200
    assert "Topics to read." in answer.text


async def test_what_there_is_no_form_of(http: httpx.AsyncClient) -> None:
    answer = await http.get("/schema/nonsense")
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_table")
    answer = await http.get("/schema/source/nonsense")
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_connector")


async def test_validation_keeps_nothing(http: httpx.AsyncClient) -> None:
    answer = await http.post("/validate", json={"key": "/namespace/ns", "value": {"zap": 1, "name": 2}})
    assert answer.status_code == 200
    assert {problem["path"] for problem in answer.json()["problems"]} == {"zap", "name"}
    assert (await http.post("/validate", json={"key": "/namespace/ns", "value": {}})).json() == {"problems": []}
    assert (await http.post("/validate", json={"key": "/nonsense", "value": {}})).status_code == 422
    assert (await http.get("/config", params={"key": "/namespace/ns"})).status_code == 404


async def test_connectors_are_listed(http: httpx.AsyncClient) -> None:
    assert [found["category"] for found in (await http.get("/connectors")).json()] == ["kafka"]
