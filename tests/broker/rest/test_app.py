from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tests.broker.conftest import World

PATHS = {
    "/config",
    "/config/range",
    "/config/atomic",
    "/config/id",
    "/config/notify",
    "/runtime",
    "/runtime/range",
    "/schema/{table}",
    "/schema/{table}/{category}",
    "/validate",
    "/connectors",
    "/streams",
    "/streams/{command}",
    "/position",
    "/positions",
    "/positions/history",
    "/positions/preview",
    "/positions/set",
    "/positions/reset",
    "/positions/rewind",
    "/dead-letters",
    "/dead-letters/one",
    "/dead-letters/edit",
    "/dead-letters/redrive",
    "/dead-letters/drop",
    "/instances",
    "/ping",
    "/health/live",
    "/health/identity",
    "/health/ready",
    "/shutdown",
}


async def test_the_interface_is_described(http: httpx.AsyncClient) -> None:
    description = (await http.get("/openapi.json")).json()
    assert set(description["paths"]) == PATHS
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            schema = operation["responses"]["422"]["content"]["application/json"]["schema"]
            assert schema["$ref"].endswith("/ErrorBody"), (path, method)
    assert (await http.get("/docs")).status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/config", 405)])
async def test_where_nothing_is_there_is_the_same_form_of_error(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "message", "problems"}
    assert path in answer.json()["message"]


async def test_what_breaks_inside_is_logged_and_not_shown(
    app: FastAPI,
    http: httpx.AsyncClient,
    world: World,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(world.service.tree, "get", broken)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://broker", headers=http.headers) as client:
        answer = await client.get("/config", params={"key": "/namespace/x"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "error"
    assert "the inside" not in answer.text
    assert "the inside" in caplog.text
