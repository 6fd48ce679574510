"""What is remembered between two tries of a call: how often, what was decided, and that a decision is taken once."""

from __future__ import annotations

import asyncio

import pytest

from teleporter_lab.engine.run import Materializer, Runtime
from teleporter_lab.engine.supervision import Action, Decision, Failure
from teleporter_lab.engine.trials import Trials, own_failure
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import cut_off


class Asked:
    """Decides what it is told, and counts."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.failures: list[Failure] = []

    def decide(self, failure: Failure) -> Decision:
        self.failures.append(failure)
        return self.decision


def made(decision: Decision, clock: FakeClock, where: str | None = "on the element") -> tuple[Trials, Asked]:
    asked = Asked(decision)
    m = Materializer(Runtime(clock), asyncio.get_running_loop().create_task, asked)
    return Trials(m, "place", where), asked


async def test_tries_are_counted_until_one_went_well() -> None:
    trials, asked = made(Decision(Action.RETRY), FakeClock())
    for _ in range(2):
        assert await trials.decided(trials.failed(OSError(), "x")) is Action.RETRY
    trials.went_well()
    assert await trials.decided(trials.failed(OSError(), "y")) is Action.RETRY
    assert [(one.stage, one.element, one.tries) for one in asked.failures] == [
        ("place", "x", 1), ("place", "x", 2), ("place", "y", 1),
    ]  # fmt: skip
    assert trials.failure is None


async def test_a_delay_that_is_cut_short_goes_on_with_the_decision_that_was_taken() -> None:
    clock = FakeClock()
    trials, asked = made(Decision(Action.RELOAD, 5.0), clock)
    failure = trials.failed(OSError(), "x")
    assert await cut_off(trials.decided(failure), 3) == (False, None)
    assert trials.failure is failure
    again = asyncio.ensure_future(trials.decided(failure))
    await clock.advance(5.0)
    assert await again is Action.RELOAD
    assert len(asked.failures) == 1


async def test_a_call_about_no_element_shows_none() -> None:
    trials, _ = made(Decision(Action.STOP), FakeClock())
    with pytest.raises(OSError, match="away") as caught:
        await trials.decided(trials.failed(OSError("away"), None))
    assert caught.value.__notes__ == ["In place"]


@pytest.mark.parametrize(("where", "notes"), [("at", ["In place, at 7"]), (None, None)])
async def test_what_stops_is_raised_again_and_again_with_one_note(where: str | None, notes: list[str] | None) -> None:
    trials, asked = made(Decision(Action.STOP), FakeClock(), where)
    failure = trials.failed(OSError("lost"), 7)
    for _ in range(3):
        with pytest.raises(OSError, match="lost") as caught:
            await trials.decided(failure)
    assert getattr(caught.value, "__notes__", None) == notes
    assert len(asked.failures) == 1


async def test_a_cancellation_is_a_failure_unless_it_is_meant_for_the_caller() -> None:
    assert "somebody else" in str(own_failure(asyncio.CancelledError()))

    async def waits() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as error:
            own_failure(error)

    assert await cut_off(waits(), 1) == (False, None)
