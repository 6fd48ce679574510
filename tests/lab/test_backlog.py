"""What a slow browser gets: the newest, and how many it missed."""

from __future__ import annotations

import asyncio
import json

from teleporter_lab.lab.backlog import Backlog


async def test_gives_messages_in_order_then_the_end() -> None:
    backlog = Backlog()
    backlog.put("a")
    backlog.put(b"b")
    backlog.end()
    assert [await backlog.get() for _ in range(4)] == ["a", b"b", None, None]


async def test_waits_for_a_message() -> None:
    backlog = Backlog()
    waiting = asyncio.create_task(backlog.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    backlog.put("a")
    assert await waiting == "a"


async def test_ends_the_one_who_waits() -> None:
    backlog = Backlog()
    waiting = asyncio.create_task(backlog.get())
    await asyncio.sleep(0)
    backlog.end()
    assert await waiting is None


async def test_keeps_the_newest_and_tells_the_loss_once() -> None:
    backlog = Backlog(limit=2)
    for text in "abcde":
        backlog.put(text)
    backlog.end()
    first = await backlog.get()
    assert json.loads(first or "") == {"type": "lost", "dropped": 3}
    assert [await backlog.get() for _ in range(3)] == ["d", "e", None]
