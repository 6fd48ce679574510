from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

    from tests.broker.conftest import World

POSITION = "/position/ns/t/s/in"


async def test_runtime_values_are_read_searched_and_forgotten(http: httpx.AsyncClient, world: World) -> None:
    entry = await world.service.runtime.write(POSITION, {"position": 7})
    await world.service.runtime.write("/stream/ns/t/s", {"status": "RUNNING"})
    assert (await http.get("/runtime", params={"key": POSITION})).json() == entry.body()
    page = (await http.get("/runtime/range", params={"key": "/.*/s/.*", "limit": 5})).json()
    assert [found["key"] for found in page] == [POSITION]
    assert (await http.delete("/runtime", params={"key": POSITION})).status_code == 204
    for method in ("GET", "DELETE"):
        answer = await http.request(method, "/runtime", params={"key": POSITION})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("key", ["", "x", "/a", "/a b/c"])
async def test_a_malformed_key_is_refused(http: httpx.AsyncClient, key: str) -> None:
    answer = await http.get("/runtime", params={"key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_key")
