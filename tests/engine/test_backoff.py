"""Delays that grow, and when enough is enough."""

from __future__ import annotations

from typing import Any

import pytest

from teleporter_lab.engine.backoff import Backoff, Restarts, concerns
from teleporter_lab.testing.clock import FakeClock


def test_delays_double_up_to_the_limit() -> None:
    backoff = Backoff(1.0, 10.0, jitter=0.0)
    assert [backoff.delay(i) for i in range(6)] == [1, 2, 4, 8, 10, 10]
    assert backoff.delay(1_000_000) == 10


@pytest.mark.parametrize(("random", "delay"), [(0.0, 4.0), (0.5, 5.0), (1.0, 6.0)])
def test_jitter_makes_a_delay_longer(random: float, delay: float) -> None:
    assert Backoff(1.0, 10.0, jitter=0.5, random=lambda: random).delay(2) == delay


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_seconds": 0.0},
        {"min_seconds": 20.0},
        {"jitter": -0.1},
        {"max_restarts": -2},
        {"within_seconds": -1.0},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Backoff needs"):
        Backoff(**{"min_seconds": 1.0, "max_seconds": 10.0, **wrong})


def test_errors_are_chosen_by_class_or_function() -> None:
    assert concerns(OSError, FileNotFoundError())
    assert not concerns(OSError, KeyError())
    assert concerns((OSError, KeyError), KeyError())
    assert concerns(lambda e: "away" in str(e), OSError("away"))
    assert not concerns(lambda _: None, OSError("away"))
    backoff = Backoff(1.0, 2.0, when=OSError)
    assert backoff.worth(None)
    assert not backoff.worth(KeyError())


async def test_restarts_are_counted_in_a_row() -> None:
    clock = FakeClock()
    told: list[Any] = []
    backoff = Backoff(1.0, 60.0, jitter=0.0, max_restarts=3, on_restart=lambda *what: told.append(what))
    restarts = Restarts(backoff, clock)
    await restarts.wait()
    error = OSError("away")
    for _ in range(3):
        assert restarts.again(error)
        await clock.run(restarts.wait())
    assert not restarts.again(error)
    assert told == [(error, 1, 1.0), (error, 2, 2.0), (error, 3, 4.0)]
    assert clock.now() == 7


async def test_what_has_run_for_long_enough_starts_counting_anew() -> None:
    clock = FakeClock()
    restarts = Restarts(Backoff(1.0, 60.0, jitter=0.0, max_restarts=2, within_seconds=30.0), clock)
    for passed in (0.0, 29.0, 31.0, 0.0):
        await clock.run(restarts.wait())
        await clock.advance(passed)
        assert restarts.again(None)
    await clock.run(restarts.wait())
    assert clock.sleeps == [1.0, 2.0, 1.0, 2.0]
    assert not restarts.again(None)


async def test_a_wait_that_is_cancelled_goes_on_where_it_was() -> None:
    clock = FakeClock()
    restarts = Restarts(Backoff(10.0, 60.0, jitter=0.0), clock)
    assert restarts.again(OSError())
    await clock.advance(7.0)
    await clock.run(restarts.wait())
    assert clock.sleeps == [3.0]
