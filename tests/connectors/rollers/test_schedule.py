"""Moments of a cron come once, in order, none is left out, whatever the clocks do; limits are limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors.rollers.schedule import Cron, Schedule

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu")
CHANGES = {
    "UTC": [(2024, 3, 31)],
    "Europe/Berlin": [(2024, 3, 31), (2024, 10, 27)],
    "America/New_York": [(2024, 3, 10), (2024, 11, 3)],
    "Australia/Lord_Howe": [(2024, 4, 6), (2024, 10, 5)],  # half an hour
    "America/Sao_Paulo": [(2018, 2, 18), (2018, 11, 4)],  # at midnight
    "Asia/Kathmandu": [(2024, 3, 31)],
}
EXPRESSIONS = (
    "* * * * *",
    "*/10 * * * *",
    "0 * * * *",
    "30 * * * *",
    "0 */3 * * *",
    "0 0 * * *",
    "30 2 * * *",
    "0,30 2 * * *",
    "45 1 * * *",
    "15 1-3 * * *",
    "0 0 1 * *",
    "5 4 * * SUN",
    "0 12 L * *",
    "*/20 1,2,3 * * *",
)


@cache
def cron(text: str, zone: str) -> Cron:
    return Cron(text, ZoneInfo(zone))


@st.composite
def around_a_change(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a moment within two days of a day when its clocks change."""
    zone = draw(st.sampled_from(ZONES))
    day = datetime(*draw(st.sampled_from(CHANGES[zone])), tzinfo=UTC)
    return zone, day + timedelta(seconds=draw(st.integers(-2 * 86_400, 2 * 86_400)))


@settings(max_examples=6_000, deadline=None)
@given(text=st.sampled_from(EXPRESSIONS), place=around_a_change(), later=st.floats(0, 0.999))
def test_moments_are_in_order_and_the_same_from_wherever_they_are_looked_for(
    text: str, place: tuple[str, datetime], later: float
) -> None:
    zone, moment = place
    found = cron(text, zone).after(moment)
    assert found is not None
    assert found > moment
    between = moment + (found - moment) * later
    assert cron(text, zone).after(between) == found
    following = cron(text, zone).after(found)
    assert following is not None
    assert following > found


@settings(max_examples=3_000, deadline=None)
@given(text=st.sampled_from(EXPRESSIONS), place=around_a_change())
def test_the_time_of_a_file_begins_at_the_last_moment_and_ends_at_the_next(
    text: str, place: tuple[str, datetime]
) -> None:
    zone, now = place
    schedule = Schedule(cron(text, zone))
    begun = schedule.begin(now)
    due = schedule.due(begun)
    assert due is not None
    assert begun <= now < due
    assert schedule.begin(begun) == begun
    assert schedule.begin(due) == due


def matches(text: str, local: datetime) -> bool:
    """A second opinion on plain expressions: numbers, `*`, `*/n`, lists and ranges, in minutes and hours."""
    return all(
        any(_within(part, value) for part in field.split(","))
        for field, value in zip(text.split()[:2], (local.minute, local.hour), strict=True)
    )


def _within(part: str, value: int) -> bool:
    if part.startswith("*"):
        return value % int(part[2:] or 1) == 0
    low, _, high = part.partition("-")
    return int(low) <= value <= int(high or low)


@settings(max_examples=1_500, deadline=None)
@given(
    minute=st.sampled_from(["*", "*/7", "0", "59", "5,35", "10-20"]),
    hour=st.sampled_from(["*", "*/5", "0", "23", "3,4", "8-12"]),
    place=around_a_change(),
)
def test_in_a_zone_without_changes_moments_are_just_those_whose_fields_match(
    minute: str, hour: str, place: tuple[str, datetime]
) -> None:
    text, moment = f"{minute} {hour} * * *", place[1]
    at = moment.replace(second=0) + timedelta(minutes=1)
    while not matches(text, at):
        at += timedelta(minutes=1)
    assert cron(text, "UTC").after(moment) == at


@pytest.mark.parametrize(
    ("text", "zone", "start", "moments"),
    [
        # Clocks leap from 2 to 3: what was due between comes at 3, once.
        ("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00+01:00", ["03-31T03:00+02:00", "04-01T02:30+02:00"]),
        ("0,30 2 * * *", "Europe/Berlin", "2024-03-30T12:00+01:00", ["03-31T03:00+02:00", "04-01T02:00+02:00"]),
        # Clocks go back from 3 to 2: once, the first time.
        ("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00+02:00", ["10-27T02:30+02:00", "10-28T02:30+01:00"]),
        # A file an hour is one of 60 real minutes.
        ("0 * * * *", "Europe/Berlin", "2024-10-27T01:30+02:00", ["10-27T02:00+02:00", "10-27T02:00+01:00"]),
        ("0 * * * *", "Europe/Berlin", "2024-03-31T01:30+01:00", ["03-31T03:00+02:00", "03-31T04:00+02:00"]),
        # There is no midnight.
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00-03:00", ["11-04T01:00-02:00", "11-05T00:00-02:00"]),
    ],
)
def test_when_clocks_change(text: str, zone: str, start: str, moments: list[str]) -> None:
    moment = datetime.fromisoformat(start)
    found: list[datetime] = []
    for _ in moments:
        moment = Cron(text, ZoneInfo(zone)).after(moment) or moment
        found.append(moment)
    assert found == [datetime.fromisoformat(f"{start[:4]}-{each}") for each in moments]


def test_a_moment_that_comes_rarely_is_found_in_both_directions() -> None:
    rare = Cron("0 0 29 2 *")
    assert rare.after(datetime(2021, 1, 1, tzinfo=UTC)) == datetime(2024, 2, 29, tzinfo=UTC)
    assert rare.last(datetime(2024, 2, 28, tzinfo=UTC)) == datetime(2020, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "* * * *", "0 * * * * *", "61 * * * *", "a b c d e", "0 0 31 2 *"])
def test_what_is_no_cron_expression_says_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"A cron expression has five fields.*such as 0 \* \* \* \*"):
        Cron(text)


def test_what_never_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="never comes"):
        Cron("0 0 */30 2 SUN#5")


@settings(max_examples=2_000, deadline=None)
@given(
    size=st.none() | st.integers(1, 100),
    records=st.none() | st.integers(1, 20),
    batches=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 12)), max_size=30),
)
def test_a_file_is_no_larger_than_the_limits_unless_it_is_one_batch_and_holds_as_much_as_it_may(
    size: int | None, records: int | None, batches: list[tuple[int, int]]
) -> None:
    schedule = Schedule(None, size, records)
    files: list[list[tuple[int, int]]] = [[]]
    for batch in batches:
        length, count = (sum(column) for column in zip((0, 0), *files[-1], batch, strict=True))
        if files[-1] and not schedule.fits(length, count):
            files.append([])
        files[-1].append(batch)
        if schedule.full(*(sum(column) for column in zip(*files[-1], strict=True))):
            files.append([])
    assert [batch for file in files for batch in file] == batches
    for file, following in zip(files, [*files[1:], []], strict=True):
        length, count = (sum(each[at] for each in file) for at in (0, 1))
        assert len(file) <= 1 or ((size is None or length <= size) and (records is None or count <= records))
        if following:
            more = following[0]
            reached = (size is not None and length >= size) or (records is not None and count >= records)
            assert reached or not schedule.fits(length + more[0], count + more[1])


def test_without_limits_a_file_never_ends_and_begins_when_it_does() -> None:
    now = datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert Schedule().due(now) is None
    assert Schedule().begin(now) == now
    assert not Schedule().full(1 << 50, 1 << 50)
