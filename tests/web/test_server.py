from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI

from teleporter_lab.errors import DaemonError, PortInUse
from teleporter_lab.web.server import address_url, bind, serving, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


def slow_app(began: asyncio.Event, go_on: asyncio.Event) -> FastAPI:
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> str:
        began.set()
        await go_on.wait()
        return "done"

    return app


async def test_it_serves_and_a_request_that_began_is_finished(client: httpx.AsyncClient) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    with bind("127.0.0.1", 0) as bound:
        url = url_of(bound)
        async with serving(slow_app(began, go_on), bound, drain=10):
            asking = asyncio.create_task(client.get(f"{url}/slow"))
            await began.wait()
            asyncio.get_running_loop().call_later(0.2, go_on.set)
        assert (await asking).json() == "done"
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/slow")


async def test_it_leaves_signals_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with bind("127.0.0.1", 0) as bound:
        async with serving(FastAPI(), bound, drain=1):
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with bind("127.0.0.1", 0) as bound, pytest.raises(PortInUse, match="--port, or 0 for a free one"):
        bind("127.0.0.1", bound.getsockname()[1])


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_host_that_is_not_here_is_refused(host: str) -> None:
    with pytest.raises(DaemonError, match="Cannot listen on"):
        bind(host, 0)


def test_an_address_is_one_that_a_client_can_use() -> None:
    with bind("0.0.0.0", 0) as bound:
        assert url_of(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("fe80::1", "http://[fe80::1]:80"),
    ],
)
def test_addresses_as_urls(host: str, url: str) -> None:
    assert address_url(host, 80) == url
