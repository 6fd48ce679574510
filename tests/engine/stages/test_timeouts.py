"""What does not come in time, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import ignore, to_list
from teleporter_lab.engine.stages.sources import iterate, tick
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import END, SinkProbe, SourceProbe, pulled


async def data(pull: Any) -> Any:
    """What a pull gives, settled as written; None at the end."""
    chunk = await pull
    if chunk is None:
        return None
    chunk.written()
    return chunk.data


async def test_idle_timeout_fails_when_nothing_comes_and_stays_failed() -> None:
    clock = FakeClock()
    source = SourceProbe([[1]], wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().idle_timeout(3.0), runtime) as stage:
        assert await stage.pull(1) is not None
        waiting = asyncio.ensure_future(stage.pull(1))
        await clock.advance(2.9)
        assert not waiting.done()
        await clock.advance(0.2)
        with pytest.raises(TimeoutError, match=r"No element came for 3\.0 s"):
            await waiting
        source.give([2])
        await clock.settle()
        with pytest.raises(TimeoutError):
            await stage.pull(1)
    assert source.closes == 1


async def test_a_time_in_which_nobody_asks_is_no_idle_time_but_cancelled_pulls_are() -> None:
    clock = FakeClock()
    source = SourceProbe([[1]], wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().idle_timeout(3.0), runtime) as stage:
        assert await data(stage.pull(1)) == [1]
        await clock.advance(60.0)
        for _ in range(2):
            pull = asyncio.ensure_future(stage.pull(1))
            await clock.advance(1.4)
            pull.cancel()
            await asyncio.wait((pull,))
        pull = asyncio.ensure_future(stage.pull(1))
        await clock.advance(0.3)
        with pytest.raises(TimeoutError):
            await pull


async def test_only_the_first_element_has_to_come_in_time_for_an_initial_timeout() -> None:
    clock = FakeClock()
    source = SourceProbe(wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().initial_timeout(3.0), runtime) as stage:
        pull = asyncio.ensure_future(stage.pull(1))
        await clock.advance(2.9)
        source.give([1, 2])
        assert await data(pull) == [1]
        assert await data(stage.pull(5)) == [2]
        pull = asyncio.ensure_future(stage.pull(1))
        await clock.advance(60.0)
        source.give([3], END)
        assert await data(pull) == [3]
        assert await data(stage.pull(1)) is None


@pytest.mark.parametrize("operator", ["initial_timeout", "completion_timeout"])
async def test_nothing_at_all_fails_both_of_them(operator: str) -> None:
    clock = FakeClock()
    source = SourceProbe(wait=True)
    async with Runtime(clock) as runtime, pulled(getattr(source.as_source(), operator)(3.0), runtime) as stage:
        pull = asyncio.ensure_future(stage.pull(1))
        await clock.advance(3.1)
        with pytest.raises(TimeoutError, match=r"3\.0 s"):
            await pull
        source.give([1])
        await clock.settle()
        with pytest.raises(TimeoutError):
            await stage.pull(1)


async def test_a_stream_that_goes_on_too_long_fails_however_much_comes() -> None:
    clock = FakeClock()
    found: list[str] = []
    async with Runtime(clock) as runtime:
        graph = tick(1.0, "x").completion_timeout(5.5).map(found.append).to(ignore())
        with pytest.raises(TimeoutError, match=r"did not complete within 5\.5 s"):
            await clock.run(graph.run(runtime))
    assert (len(found), clock.now()) == (6, 5.5)


async def test_one_that_ended_in_time_stays_ended() -> None:
    clock = FakeClock()
    source = SourceProbe([[1]])
    async with Runtime(clock) as runtime, pulled(source.as_source().completion_timeout(5.0), runtime) as stage:
        assert await data(stage.pull(1)) == [1]
        assert await data(stage.pull(1)) is None
        await clock.advance(60.0)
        assert await data(stage.pull(1)) is None


async def test_what_came_can_be_kept_when_the_rest_comes_too_late() -> None:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        graph = tick(1.0, "x").completion_timeout(2.5).recover(lambda _: "late").to(to_list())
        assert await clock.run(graph.run(runtime)) == ["x", "x", "x", "late"]


# ------------------------------------------------------------------------------------------------ backpressure_timeout


async def test_a_sink_that_hangs_fails_the_stream() -> None:
    clock = FakeClock()
    source, sink = SourceProbe([[1, 2, 3]]), SinkProbe()
    async with Runtime(clock) as runtime:
        graph = source.as_source().backpressure_timeout(3.0).to(sink.as_sink())
        run = asyncio.ensure_future(graph.run(runtime))
        assert await sink.pull(1) == [1]
        await clock.advance(2.9)
        assert await sink.pull(1) == [2]
        await clock.advance(2.9)
        assert not run.done()
        await clock.advance(0.2)
        with pytest.raises(TimeoutError, match=r"did not ask for more within 3\.0 s"):
            await run
    assert source.closes == 1


async def test_a_source_that_is_slow_is_no_back_pressure() -> None:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        graph = tick(60.0, "x").backpressure_timeout(3.0).take(5).to(to_list())
        assert len(await clock.run(graph.run(runtime))) == 5


async def test_its_task_sleeps_through_many_chunks() -> None:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        graph = tick(1.0, "x").backpressure_timeout(100.0).take(500).to(to_list())
        await clock.run(graph.run(runtime))
    assert sum(seconds > 1.0 for seconds in clock.sleeps) <= 6


# ---------------------------------------------------------------------------------------------------------- keep_alive


async def test_something_is_made_whenever_nothing_comes_for_so_long() -> None:
    clock, window = FakeClock(), Witness()
    source = SourceProbe(window=window, wait=True)
    made = iter("abc")
    async with (
        Runtime(clock) as runtime,
        pulled(source.as_source().keep_alive(3.0, lambda: next(made)), runtime) as stage,
    ):
        for expected in ("a", "b"):
            pull = asyncio.ensure_future(stage.pull(5))
            await clock.advance(2.9)
            assert not pull.done()
            await clock.advance(0.2)
            assert await data(pull) == [expected]
        source.give([1])
        assert await data(stage.pull(5)) == [1]
        await clock.advance(60.0)
        pull = asyncio.ensure_future(stage.pull(5))
        await clock.advance(2.9)
        source.give([2], END)
        assert await data(pull) == [2]
        assert await data(stage.pull(5)) is None
    window.check_all_settled()


async def flaky_signs_of_life(supervisor: Any, failures: int) -> list[Any]:
    left = failures

    def make() -> str:
        nonlocal left
        left -= 1
        if left >= 0:
            raise OSError("away")
        return "alive"

    clock = FakeClock()
    source = SourceProbe(wait=True)
    found: list[Any] = []
    async with (
        Runtime(clock) as runtime,
        pulled(source.as_source().keep_alive(3.0, make), runtime, supervisor) as stage,
    ):
        pull = asyncio.ensure_future(stage.pull(5))
        await clock.advance(10.0)
        found += await data(pull)
        found.append(round(clock.timers[0] if clock.timers else 0.0))
        source.give([1])
        found += await data(stage.pull(5))
    return found


async def test_one_that_cannot_be_made_goes_through_the_rules() -> None:
    assert await flaky_signs_of_life(Resume(), 2) == ["alive", 0, 1]
    assert await flaky_signs_of_life(Retry(2), 2) == ["alive", 0, 1]
    with pytest.raises(OSError, match="away"):
        await flaky_signs_of_life(Retry(1), 2)


async def test_its_error_stays() -> None:
    def make() -> int:
        raise OSError("away")

    clock = FakeClock()
    source = SourceProbe(wait=True)
    async with Runtime(clock) as runtime, pulled(source.as_source().keep_alive(3.0, make), runtime) as stage:
        pull = asyncio.ensure_future(stage.pull(5))
        await clock.advance(3.1)
        with pytest.raises(OSError, match="away"):
            await pull
        source.give([1])
        await clock.settle()
        with pytest.raises(OSError, match="away"):
            await stage.pull(5)


@pytest.mark.parametrize(
    "operator", ["idle_timeout", "initial_timeout", "completion_timeout", "backpressure_timeout", "keep_alive"]
)
@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_no_time_at_all_is_refused(operator: str, seconds: float) -> None:
    arguments = (seconds, str) if operator == "keep_alive" else (seconds,)
    with pytest.raises(ValueError, match="needs seconds > 0"):
        getattr(iterate([1]), operator)(*arguments)
