from __future__ import annotations

import asyncio
import logging

import pytest

from teleporter_lab.broker.background import Background


async def test_a_failure_is_logged_and_reaches_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    done = asyncio.Event()

    async def go_on() -> None:
        done.set()

    async with Background() as background:
        with caplog.at_level(logging.ERROR):
            await background.start(fail(), "the failing one")
        background.start(go_on(), "the other one")
        await done.wait()
        assert background.statistics()["failed"] == 1
    assert "the failing one failed" in caplog.text
    assert "broken" in caplog.text


async def test_what_is_left_at_the_end_is_cancelled_and_awaited() -> None:
    cleaned = asyncio.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    async with Background() as background:
        background.start(for_ever(), "for ever")
        await asyncio.sleep(0)
    assert cleaned.is_set()
    assert background.statistics()["running"] == 0


async def test_nothing_begins_after_the_end() -> None:
    began = False

    async def work() -> None:
        nonlocal began
        began = True

    async with Background() as background:
        background.start(work(), "cancelled before its first step").cancel()
    late = background.start(work(), "too late")
    with pytest.raises(asyncio.CancelledError):
        await late
    assert not began
