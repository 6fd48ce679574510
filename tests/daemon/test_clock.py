from __future__ import annotations

import asyncio

from teleporter_lab.daemon.clock import LoopClock


async def test_it_is_the_clock_of_the_loop() -> None:
    clock = LoopClock()
    before = asyncio.get_running_loop().time()
    await clock.sleep(0)
    assert before <= clock.now() <= asyncio.get_running_loop().time()
