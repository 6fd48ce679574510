"""One command's talk with a broker. Owns finding it and the event loop around it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from teleporter_lab.client import Client

T = TypeVar("T")


def ask(broker: str | None, talk: Callable[[Client], Awaitable[T]]) -> T:
    """What `talk` returns. Raises what the broker answers, and Unreachable where there is none."""
    from teleporter_lab.client import Client

    async def session() -> T:
        async with Client.find(broker) as client:
            return await talk(client)

    return asyncio.run(session())
