"""Windows tile the time line, wait, end and catch up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors.rollers.deadline import Deadline
from teleporter_lab.connectors.rollers.moments import LATEST
from teleporter_lab.connectors.rollers.windows import FINISHED, NOTHING, Wait, Window, Windows

START = datetime(2024, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LENGTHS = st.integers(1, 500_000).map(lambda millis: timedelta(milliseconds=millis))


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def windows(deadline: Deadline, period: float | None = 10, longest: float = 10, lag: float = 0) -> Windows:
    length = None if period is None else timedelta(seconds=period)
    return Windows(START, deadline, length, timedelta(seconds=longest), timedelta(seconds=lag))


def every(made: Windows, now: datetime) -> list[tuple[float, float]]:
    """The windows that can be read at `now`, in seconds behind the start."""
    found: list[tuple[float, float]] = []
    before: Window | None = None
    while isinstance(before := made.next(before, now), Window):
        found.append(((before.start - START) / SECOND, (before.end - START) / SECOND))
    return found


def test_the_last_window_is_cut_at_the_deadline() -> None:
    assert every(windows(Deadline(after(25))), after(25)) == [(0, 10), (10, 20), (20, 25)]
    assert windows(Deadline(after(25))).next(Window(after(20), after(25), after(25)), after(99)) is FINISHED


def test_for_ever_only_whole_windows_are_read_when_they_are_due() -> None:
    made = windows(Deadline(None, timedelta(seconds=3)))
    assert every(made, after(25)) == [(0, 10), (10, 20)]
    assert made.next(Window(after(10), after(20), after(25)), after(25)) == Wait(after(33))
    assert made.next(Window(after(10), after(20), after(25)), after(33)) == Window(after(20), after(30), after(33))


def test_a_deadline_to_come_is_waited_for() -> None:
    made = windows(Deadline(after(25)))
    assert made.next(None, after(5)) == Wait(after(10))
    assert made.next(Window(after(10), after(20), after(20)), after(21)) == Wait(after(25))


def test_without_a_period_it_is_one_window() -> None:
    assert every(windows(Deadline(after(1e6)), period=None), after(1e6)) == [(0, 1e6)]


@pytest.mark.parametrize("ahead", [0, 1, 1e9])
def test_a_deadline_that_is_past_when_time_begins_is_the_end(ahead: float) -> None:
    assert windows(Deadline(START - timedelta(seconds=ahead))).next(None, after(5)) is FINISHED


def test_a_start_to_come_is_waited_for() -> None:
    assert windows(Deadline(None)).next(None, START - timedelta(days=400)) == Wait(after(10))


def test_far_behind_windows_grow_by_whole_periods() -> None:
    made = windows(Deadline(None), longest=45)
    assert every(made, after(125)) == [(0, 40), (40, 80), (80, 120)]
    assert every(made, after(65)) == [(0, 40), (40, 60)]
    assert every(windows(Deadline(after(65)), longest=45), after(65)) == [(0, 40), (40, 60), (60, 65)]


def test_lag_reads_an_overlap_but_none_before_the_start() -> None:
    made = windows(Deadline(None), lag=15)
    first = made.next(None, after(10))
    assert first == Window(START, after(10), after(10))
    second = made.next(first, after(20))
    assert second == Window(START, after(20), after(20))
    assert made.next(second, after(30)) == Window(after(5), after(30), after(30))


def test_what_was_read_late_enough_is_not_read_again() -> None:
    made = windows(Deadline(None), lag=4)
    assert every(made, after(40)) == [(0, 10), (10, 20), (20, 30), (30, 40)]
    assert made.next(Window(START, after(10), after(13)), after(20)) == Window(after(9), after(20), after(20))
    assert made.late(Window(START, after(10), after(14))) == NOTHING


def test_a_clock_that_is_set_back_makes_the_overlap_no_longer_than_the_lag() -> None:
    made = windows(Deadline(None), lag=4)
    assert made.late(Window(after(50), after(60), after(3))) == timedelta(seconds=4)


def test_the_ends_of_time_are_no_error() -> None:
    huge = timedelta(days=36_500)
    far = Windows(datetime(9998, 12, 31, tzinfo=UTC), Deadline(None, huge), huge, huge, huge)
    assert far.next(None, after(0)) == Wait(LATEST)
    early = Windows(datetime(2, 1, 1, tzinfo=UTC), Deadline(None), huge, huge, huge)
    first = early.next(None, after(0))
    assert isinstance(first, Window)
    assert isinstance(early.next(first, after(0)), Window)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=10_000, deadline=None)
@given(
    period=LENGTHS,
    growth=st.integers(1, 50),
    lag=st.just(NOTHING) | LENGTHS,
    delay=st.just(NOTHING) | LENGTHS,
    last=st.none() | st.integers(0, 10**7),
    steps=st.lists(st.integers(0, 10**6), min_size=1, max_size=12),
)
def test_windows_tile_the_time_line(
    period: timedelta, growth: int, lag: timedelta, delay: timedelta, last: int | None, steps: list[int]
) -> None:
    """They touch but for the overlap, which reaches back as far as something may be late, and are over when read."""
    at = None if last is None else START + timedelta(milliseconds=last)
    made = Windows(START, Deadline(at, delay), period, period * growth, lag)
    now, before = START, None
    for step in steps:
        now += timedelta(milliseconds=step)
        found = made.next(before, now)
        begin = START if before is None else before.end
        if found is FINISHED:
            assert at is not None
            assert begin >= at
        elif isinstance(found, Wait):
            assert found.until > now
            assert found.until == begin + min(period, (at or LATEST) - begin) + delay
        else:
            assert isinstance(found, Window)
            assert max(START, begin - lag) <= found.start <= begin < found.end
            assert found.end + delay <= now
            assert at is None or found.end <= at
            assert found.end - begin <= period * growth
            assert found.end == at or (found.end - begin) % period == NOTHING
            assert before is None or found.start <= max(START, min(before.end, before.read - lag))
            before = found
