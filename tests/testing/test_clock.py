"""Virtual time: timers ring in their order, nothing waits, and what never comes to rest is told."""

from __future__ import annotations

import asyncio
import time

import pytest

from teleporter_lab.testing.clock import FakeClock


async def test_time_passes_when_the_test_says_so() -> None:
    clock = FakeClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    tasks = [
        asyncio.create_task(sleeper(name, seconds)) for name, seconds in (("late", 3.0), ("soon", 1.0), ("now", 0))
    ]
    await clock.advance(0.5)
    assert woken == [("now", 0.0)]
    assert clock.timers == [1.0, 3.0]
    await clock.advance(10.0)
    assert woken == [("now", 0.0), ("soon", 1.0), ("late", 3.0)]
    assert (clock.now(), clock.timers, clock.sleeps) == (10.5, [], [3.0, 1.0, 0])
    await asyncio.gather(*tasks)


async def test_a_day_takes_no_time() -> None:
    clock = FakeClock()

    async def day() -> str:
        for _ in range(24):
            await clock.sleep(3600.0)
        return "over"

    started = time.monotonic()
    assert await clock.run(day()) == "over"
    assert clock.now() == 86_400.0
    assert time.monotonic() - started < 5.0


async def test_waiting_ends_with_the_first_future_or_with_the_time() -> None:
    clock = FakeClock()
    loop = asyncio.get_running_loop()
    done, never = loop.create_future(), loop.create_future()
    waiting = asyncio.create_task(clock.wait((done, never), 5.0))
    await clock.settle()
    done.set_result(None)
    assert await waiting is True
    assert clock.timers == [], "a timer that nobody waits for is gone"
    late = asyncio.create_task(clock.wait((never,), 5.0))
    await clock.advance(5.0)
    assert await late is False
    assert not never.done()


async def test_an_error_comes_out_and_what_runs_is_ended() -> None:
    clock = FakeClock()

    async def failing() -> None:
        await clock.sleep(1.0)
        raise OSError("lost")

    with pytest.raises(OSError, match="lost"):
        await clock.run(failing())


async def test_a_loop_that_never_rests_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teleporter_lab.testing.clock.MOST_PASSES", 1000)

    async def restless() -> None:
        while True:
            await asyncio.sleep(0)

    task = asyncio.create_task(restless())
    with pytest.raises(AssertionError, match="does not come to rest"):
        await FakeClock().settle()
    task.cancel()
    await asyncio.wait((task,))
