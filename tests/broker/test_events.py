from __future__ import annotations

import asyncio

import pytest

from teleporter_lab.broker.events import FanOut


async def test_everybody_hears_everything_in_order() -> None:
    fan_out = FanOut[int]()
    with fan_out.subscribe() as one, fan_out.subscribe() as two:
        for number in range(3):
            fan_out.publish(number)
        assert [await anext(one) for _ in range(3)] == [0, 1, 2]
        assert [await anext(two) for _ in range(3)] == [0, 1, 2]
    assert len(fan_out) == 0


async def test_a_slow_listener_loses_the_oldest_and_nobody_else_does() -> None:
    fan_out = FanOut[int](size=3)
    with fan_out.subscribe() as slow, fan_out.subscribe() as quick:
        for number in range(10):
            fan_out.publish(number)
            assert await anext(quick) == number
        assert [await anext(slow) for _ in range(3)] == [7, 8, 9]
        assert (slow.dropped, quick.dropped) == (7, 0)
        assert fan_out.statistics() == {"listeners": 2, "dropped": 7}


async def test_a_listener_waits_until_something_is_said() -> None:
    fan_out = FanOut[str]()
    with fan_out.subscribe() as news:
        waiting = asyncio.create_task(anext(news))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert not waiting.done()
        fan_out.publish("hello")
        assert await waiting == "hello"


async def test_closing_ends_after_what_waits() -> None:
    fan_out = FanOut[int]()
    with fan_out.subscribe() as news:
        fan_out.publish(1)
        fan_out.close()
        assert [item async for item in news] == [1]
    with fan_out.subscribe() as late, pytest.raises(StopAsyncIteration):
        await anext(late)
