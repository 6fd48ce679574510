"""A call that belongs to no chunk: what the rules make of it, and that a delay goes on after a cancellation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.lone_call import LEFT_OUT, PUT_ASIDE, LoneCall
from teleporter_lab.engine.run import Materializer, Runtime
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume, Retry
from teleporter_lab.testing.clock import FakeClock


class Flaky:
    def __init__(self, failures: int) -> None:
        self.calls = 0
        self.failures = failures

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise OSError("away")
        return "there"


class Aside:
    def __init__(self) -> None:
        self.letters: list[Any] = []

    def decide(self, failure: Failure) -> Decision:
        return Decision(Action.DEAD_LETTER)

    async def put(self, failure: Failure) -> None:
        self.letters.append(failure.element)


def lone(supervisor: Any, clock: FakeClock, dead_letters: Any = None) -> LoneCall:
    return LoneCall(Materializer(Runtime(clock), asyncio.create_task, supervisor, dead_letters), "call")  # type: ignore[arg-type]


async def test_what_the_rules_say_becomes_of_it() -> None:
    clock = FakeClock()
    assert await lone(Retry(2), clock).outcome(Flaky(2), 1) == "there"
    assert await lone(Resume(), clock).outcome(Flaky(9), 1) is LEFT_OUT
    aside = Aside()
    assert await lone(aside, clock, aside).outcome(Flaky(9), 1) is PUT_ASIDE
    assert aside.letters == [1]


async def test_its_error_is_noted_and_stays_and_is_not_tried_any_more() -> None:
    call, flaky = lone(Retry(1), FakeClock()), Flaky(9)
    for _ in range(2):
        with pytest.raises(OSError, match="away") as caught:
            await call.outcome(flaky, 7)
    assert caught.value.__notes__ == ["In call, on the element 7"]
    assert flaky.calls == 2


async def test_each_call_that_went_well_begins_a_new_count() -> None:
    call = lone(Retry(1), FakeClock())
    for _ in range(3):
        assert await call.outcome(Flaky(1), 1) == "there"


async def test_a_delay_that_is_cancelled_goes_on_with_its_decision_and_ends_when_it_would_have() -> None:
    clock, flaky = FakeClock(), Flaky(1)
    call = lone(Retry(1, delay=5.0), clock)
    first = asyncio.ensure_future(call.outcome(flaky, 1))
    await clock.advance(1.0)
    first.cancel()
    await asyncio.wait((first,))
    again = asyncio.ensure_future(call.outcome(flaky, 1))
    await clock.advance(3.9)
    assert flaky.calls == 1
    await clock.advance(0.2)
    assert await again == "there"
    assert flaky.calls == 2
