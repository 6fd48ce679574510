"""The REST door without a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from teleporter_lab.broker.rest.app import create_app
from teleporter_lab.web.identity import Identity
from tests.broker.conftest import TOKEN, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

IDENTITY = Identity("an-id", "default", "0.0", 42)


@pytest.fixture
def stopped() -> list[bool]:
    """Grows by one when somebody asks the broker to stop."""
    return []


@pytest.fixture
def app(world: World, stopped: list[bool]) -> FastAPI:
    return create_app(world.service, IDENTITY, TOKEN, lambda: stopped.append(True))


@pytest.fixture
async def stranger(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://broker") as client:
        yield client


@pytest.fixture
async def http(stranger: httpx.AsyncClient) -> httpx.AsyncClient:
    stranger.headers["Authorization"] = f"Bearer {TOKEN}"
    return stranger
