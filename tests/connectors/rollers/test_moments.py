"""Written date-times become instants, and labels that come twice leave nothing out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.connectors.rollers.moments import labels, moment, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [BERLIN, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("America/New_York"), UTC, timezone(timedelta(hours=8))]


@pytest.mark.parametrize(
    ("text", "zone", "found"),
    [
        ("2024-01-31T10:00:00", "UTC", datetime(2024, 1, 31, 10)),
        ("2024-01-31", "Z", datetime(2024, 1, 31)),
        ("2024-02-29T00:00:00", "+08:00", datetime(2024, 2, 28, 16)),
        ("2024-02-29 00:00", "-0330", datetime(2024, 2, 29, 3, 30)),
        ("2024-07-01T10:00:00", "Europe/Berlin", datetime(2024, 7, 1, 8)),
        ("2024-07-01T10:00:00Z", "Europe/Berlin", datetime(2024, 7, 1, 10)),
        (" 2024-07-01T10:00:00.25-02:00 ", "Europe/Berlin", datetime(2024, 7, 1, 12, microsecond=250_000)),
        ("2024-10-27T02:30:00", "Europe/Berlin", datetime(2024, 10, 27, 0, 30)),
    ],
)
def test_a_date_time_without_an_offset_is_local(text: str, zone: str, found: datetime) -> None:
    assert moment(text, zone_of(zone)) == found.replace(tzinfo=UTC)


def test_of_a_time_that_comes_twice_a_stretch_holds_both() -> None:
    text = "2024-10-27T02:30:00"
    assert moment(text, BERLIN, last=True) - moment(text, BERLIN) == timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("2023-02-29", "'2023-02-29' is no date-time; write it as 2024-01-31T10:00:00, perhaps with Z"),
        ("2024-13-01T00:00:00", "is no date-time"),
        ("2016-12-31T23:59:60", "is no date-time"),
        ("yesterday", "is no date-time"),
        ("", "is no date-time"),
        ("1.minutes", "is no date-time"),
        ("2024-03-31T02:30:00", "2024-03-31T02:30:00 is never shown by the clocks of Europe/Berlin"),
        ("0001-01-01T00:00:00+14:00", "must lie in the years 2 to 9998"),
        ("9999-12-31T23:59:59-14:00", "must lie in the years 2 to 9998"),
        ("0001-06-01T00:00:00", "must lie in the years 2 to 9998"),
    ],
)
def test_what_is_no_moment_is_told(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        moment(text, BERLIN)


@pytest.mark.parametrize("name", ["Europe", "../etc/passwd", "Foo/Bar", "", "+25:00", "+08:99", "8", "utc+1"])
def test_what_is_no_zone_is_told(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone: write a name such as Europe/Berlin"):
        zone_of(name)


@given(
    zone=st.sampled_from(ZONES),
    start=st.datetimes(datetime(2024, 3, 30), datetime(2024, 4, 8))
    | st.datetimes(datetime(2024, 10, 5), datetime(2024, 11, 5)),
    length=st.integers(1, 3 * 3600 * 1000),
    share=st.floats(0, 1, exclude_max=True),
)
def test_labels_of_a_window_hold_those_of_all_its_moments(
    zone: ZoneInfo, start: datetime, length: int, share: float
) -> None:
    begin = start.replace(tzinfo=UTC)
    end = begin + timedelta(milliseconds=length)
    within = min(begin + timedelta(milliseconds=length) * share, end - timedelta(microseconds=1))
    first, last = labels(begin, end, zone)
    assert first <= begin
    assert last >= end
    plain = [at.replace(tzinfo=None) for at in (first, within.astimezone(zone), last)]
    assert plain[0] <= plain[1] < plain[2]


@pytest.mark.parametrize("minutes", [7, 10, 30, 60, 90])
def test_where_the_clocks_are_set_back_only_the_window_around_that_reads_more(minutes: int) -> None:
    at, more = datetime(2024, 10, 26, 22, tzinfo=UTC), 0
    while at < datetime(2024, 10, 27, 6, tzinfo=UTC):
        end = at + timedelta(minutes=minutes)
        first, last = labels(at, end, BERLIN)
        plain = last.replace(tzinfo=None) - first.replace(tzinfo=None)
        more += plain != end - at
        assert timedelta(0) < plain <= timedelta(minutes=minutes + 60)
        at = end
    assert more <= 1


def test_a_window_that_ends_where_the_clocks_are_set_back_ends_at_the_label_before() -> None:
    turn = datetime(2024, 10, 27, 1, tzinfo=UTC)
    first, last = labels(turn - timedelta(hours=1), turn, BERLIN)
    assert (first.isoformat(), last.isoformat()) == ("2024-10-27T02:00:00+02:00", "2024-10-27T03:00:00+02:00")
    first, last = labels(turn, turn + timedelta(hours=1), BERLIN)
    assert (first.isoformat(), last.isoformat()) == ("2024-10-27T02:00:00+01:00", "2024-10-27T03:00:00+01:00")
