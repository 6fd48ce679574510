"""The plain sources, one by one: what is special about each."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.combining import combine, zip_n
from teleporter_lab.engine.stages.sinks import ignore, to_list
from teleporter_lab.engine.stages.sources import async_iterate, cycle, empty, iterate, never, range_of, tick
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import cut_off
from teleporter_lab.testing.probes import pulled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

INPUT = list(range(10))


async def test_an_asynchronous_generator_that_was_cancelled_never_ends_as_if_it_were_done() -> None:
    """It cannot go on: the generator itself was ended by the cancellation."""

    async def numbers() -> AsyncIterator[int]:
        for x in INPUT:
            await asyncio.sleep(0)
            yield x

    async with pulled(async_iterate(numbers())) as stage:
        assert (await stage.pull(1)).data == [0]  # type: ignore[union-attr]
        assert await cut_off(stage.pull(1), 1) == (False, None)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="not the real one"):
                await stage.pull(1)


async def test_a_generator_made_for_the_run_is_closed_with_it_and_one_that_was_given_is_not() -> None:
    closed: list[str] = []

    def endless(name: str) -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(name)

    class Numbers:
        def __iter__(self) -> Iterator[int]:
            return endless("made")

    assert await iterate(Numbers()).take(2).to(to_list()).run() == [0, 1]
    assert closed == ["made"]
    given = endless("given")
    assert await iterate(given).take(2).to(to_list()).run() == [0, 1]
    assert closed == ["made"]
    assert next(given) == 2
    assert await cycle(lambda: endless("round")).take(2).to(to_list()).run() == [0, 1]
    assert closed == ["made", "round"]


async def test_a_cycle_without_elements_fails_instead_of_going_round_for_ever() -> None:
    rounds = iter([[1, 2], []])
    async with pulled(cycle(lambda: next(rounds))) as stage:
        assert [(await stage.pull(1)).data for _ in "ab"] == [[1], [2]]  # type: ignore[union-attr]
        with pytest.raises(ValueError, match="one element or more"):
            await stage.pull(1)


@pytest.mark.parametrize("leave", [SystemExit(3), asyncio.CancelledError(), StopIteration()], ids=repr)
async def test_an_iterable_that_exits_ends_its_stream_alone(leave: BaseException) -> None:
    class Leaves:
        def __init__(self) -> None:
            self.left = [1]

        def __iter__(self) -> Leaves:
            return self

        def __next__(self) -> int:
            if self.left:
                return self.left.pop()
            raise leave

    found = iterate(Leaves()).to(to_list())
    if isinstance(leave, StopIteration):
        assert await found.run() == [1]
    else:
        with pytest.raises(RuntimeError, match=r"sys\.exit|cancelled by somebody"):
            await found.run()


async def test_never_waits_until_it_is_stopped() -> None:
    run = asyncio.ensure_future(never().to(ignore()).run())
    assert not (await asyncio.wait((run,), timeout=0.001))[0]
    run.cancel()
    await asyncio.wait((run,))
    assert run.cancelled()


async def test_ticks_come_in_time_and_those_nobody_asked_for_are_left_out() -> None:
    clock = FakeClock()
    async with pulled(tick(2.0, "x", initial=1.0), Runtime(clock)) as stage:

        async def next_at() -> float:
            pull = asyncio.ensure_future(stage.pull(5))
            while not pull.done():
                await clock.advance(0.5)
            assert (await pull).data == ["x"]
            return clock.now()

        assert [await next_at() for _ in range(3)] == [1.0, 3.0, 5.0]
        await clock.advance(9.0)
        assert await next_at() == 14.5, "at once, one of the five that went by"
        assert await next_at() == 15.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: tick(0, "x"),
        lambda: tick(1, "x", initial=-1),
        lambda: range_of(1, 2, 0),
        lambda: combine(),
        lambda: combine(empty(), strategy="zip"),  # type: ignore[arg-type]
        lambda: zip_n(),
    ],
)
def test_wrong_arguments_are_refused_at_once(wrong: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="needs"):
        wrong()
