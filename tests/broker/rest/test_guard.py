from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from teleporter_lab.web import guard
from tests.broker.conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

PATHS = [
    "/config?key=/namespace/x",
    "/health/ready",
    "/openapi.json",
    "/docs",
    "/nowhere",
    "/streams",
    "/ping/",
    "//ping",
]


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_token_there_is_nothing(stranger: httpx.AsyncClient, path: str) -> None:
    answer = await stranger.get(path)
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/ping", "/health/live"])
async def test_probes_need_none(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(path)).status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer é"]
)
async def test_a_wrong_token_is_none(stranger: httpx.AsyncClient, header: str) -> None:
    answer = await stranger.get("/health/ready", headers={"Authorization": header.encode()})
    assert answer.status_code == 401


async def test_the_scheme_may_be_written_in_any_case(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/health/ready", headers={"Authorization": f"bearer {TOKEN}"})
    assert answer.status_code == 200


async def test_a_token_in_the_query_is_none(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/health/ready", params={"token": TOKEN})).status_code == 401


@pytest.mark.parametrize("path", ["/ping", "/health/ready"])
async def test_a_browser_is_refused_even_with_the_token(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path, headers={"Origin": "http://localhost:8888"})
    assert answer.status_code == 403
    assert answer.json()["code"] == "forbidden"


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(http: httpx.AsyncClient) -> None:
    answer = await http.post("/config", content=b"x", headers={"Content-Length": str(guard.MAX_BODY + 1)})
    assert answer.status_code == 413
    assert answer.json()["code"] == "invalid_input"


async def test_a_body_of_unknown_length_is_counted(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_BODY", 100)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 10

    answer = await http.post("/config", content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "at most" in answer.json()["message"]


@pytest.mark.parametrize("length", ["abc", "-1", "1e3", "٣", ""])
async def test_a_length_that_is_none_is_refused(http: httpx.AsyncClient, length: str) -> None:
    answer = await http.post("/config", content=b"{}", headers={"Content-Length": length.encode()})
    assert answer.status_code == 400
