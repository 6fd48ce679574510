"""One way to call a connector, whether it is asynchronous or blocks.

Owns the difference. Refuses to hide an error: what the call raises comes out.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.connectors.base import AnyReader


async def call(method: Callable[..., Any], *args: Any) -> Any:
    """Awaits `method(*args)`, in a thread when it is a plain function, as the engine does."""
    if inspect.iscoroutinefunction(method):
        return await method(*args)
    return await asyncio.to_thread(method, *args)


async def drain(reader: AnyReader, n: int) -> list[Any]:
    """Reads to the end, `n` at a time; every chunk must have 1 to `n` records."""
    records: list[Any] = []
    while (chunk := await call(reader.read, n)) is not None:
        assert 1 <= len(chunk) <= n, f"read({n}) gave {len(chunk)} records"
        records += as_rows(chunk)
    return records


def as_rows(chunk: Any) -> list[Any]:
    """The records of a chunk that is a list, a batch of columns, or None at the end."""
    if chunk is None:
        return []
    return cast("list[Any]", chunk) if isinstance(chunk, list) else chunk.to_pylist()


def as_committed(position: Any) -> Any:
    """`position` as it comes back from the store; fails when it is not plain JSON."""
    stored = json.loads(json.dumps(position))
    assert stored == position, f"the position {position!r} comes back from the store as {stored!r}"
    return stored
