"""The watchdog names the stream and the line that holds the loop; real threads, as the loop really stands still."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.watchdog import Blocked, Watchdog


class Reports:
    """Keeps what is reported, and lets a test wait for it in a thread."""

    def __init__(self) -> None:
        self.noticed = threading.Event()
        self.over = threading.Event()
        self.all: list[Blocked] = []

    def __call__(self, blocked: Blocked) -> None:
        self.all.append(blocked)
        (self.over if blocked.over else self.noticed).set()


async def test_the_stream_and_the_line_that_hold_the_loop_are_named() -> None:
    reports = Reports()

    def slow(x: int) -> int:
        reports.noticed.wait(10)  # blocks the loop until the watchdog has noticed
        return x

    async with Watchdog(reports, limit=0.02):
        run = asyncio.create_task(iterate([1]).map(slow).to(to_list()).run(), name="/stream/orders/copy")
        assert await run == [1]
        assert await asyncio.to_thread(reports.over.wait, 10)
    held, over = reports.all
    assert (held.stream, held.function.rpartition(".")[2], Path(held.file)) == (
        "/stream/orders/copy", "slow", Path(__file__),
    )  # fmt: skip
    assert held.text.startswith("reports.noticed.wait(10)")
    assert (held.over, over.over) == (False, True)
    assert 0.02 <= held.seconds <= over.seconds
    assert "/stream/orders/copy has held the loop for" in str(held)
    assert "blocking=True" in str(over)


async def test_a_stream_that_hands_its_work_to_a_thread_is_not_named() -> None:
    reports = Reports()
    wait = threading.Event()

    def slow(x: int) -> int:
        wait.wait(0.2)
        return x

    async with Watchdog(reports, limit=0.05):
        assert await iterate([1]).map(slow, blocking=True).to(to_list()).run() == [1]
    assert reports.all == []


async def test_it_ends_with_its_block_and_with_the_loop() -> None:
    watchdog = Watchdog(Reports(), limit=0.01)
    async with watchdog:
        threads = {thread.name for thread in threading.enumerate()}
    assert "teleporter-watchdog" in threads
    assert "teleporter-watchdog" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ValueError, match="limit > 0"):
        Watchdog(Reports(), limit=0)
