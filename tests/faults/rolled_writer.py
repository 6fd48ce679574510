"""A process that writes batches to rolled files until somebody kills it, and says each time one is confirmed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from teleporter_lab.config.block import parse_block
from teleporter_lab.connectors.base import Registry
from teleporter_lab.engine.endpoints import Mark

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

KEY = "/position/demo/t/s/in"
RECORDS = 10
"""In a batch."""


def batch(category: str, at: int) -> list[Any]:
    """Batch `at`, from 0: the same whenever it is asked for."""
    texts = [f"{at * RECORDS + n}" for n in range(RECORDS)]
    return texts if category == "file" else [{"id": text, "more": "x" * 50} for text in texts]


def work(folder: str, category: str, start: int | None, count: int, confirmed: Connection) -> None:
    """Writes from batch `start` on, or, where it is None, from where the files say that they are."""
    asyncio.run(_write(folder, category, start, count, confirmed))


async def _write(folder: str, category: str, start: int | None, count: int, confirmed: Connection) -> None:
    spec: Any = Registry.load().get(category).spec("sink")
    client = parse_block(spec.model, {"path": f"{folder}/{{index:04}}/part.{category}", "exactlyOnce": start is None})
    writer = spec.made(client, None, parse_block(spec.roller, {"records": 45}))
    await writer.open()
    marked = start is None
    if marked:
        start = int(await writer.marked(KEY) or 0)
    for at in range(start or 0, count):
        if marked:
            await writer.write_marked(batch(category, at), Mark(KEY, str(at + 1), str(at) if at else None, at + 1))
        else:
            await writer.write(batch(category, at))
        confirmed.send(at + 1)
    await writer.close()
