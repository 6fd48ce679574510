from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from tests.broker.conftest import World


async def test_probes(http: httpx.AsyncClient, world: World) -> None:
    assert (await http.get("/ping")).json() == {"status": "ok"}
    assert (await http.get("/health/live")).json() == {"status": "live"}
    assert (await http.get("/health/identity")).json() == {
        "id": "an-id",
        "name": "default",
        "version": "0.0",
        "pid": 42,
    }
    await world.come("/instance/ns/a")
    assert (await http.get("/health/ready")).json() == {
        "status": "ready",
        "id": "an-id",
        "name": "default",
        "version": "0.0",
        "pid": 42,
        "instances": 1,
    }


async def test_shutdown_is_asked_for_once_and_needs_the_token(
    stranger: httpx.AsyncClient, http: httpx.AsyncClient, stopped: list[bool]
) -> None:
    assert (await http.get("/shutdown")).status_code == 405
    assert stopped == []
    assert (await http.post("/shutdown")).status_code == 202
    assert stopped == [True]
