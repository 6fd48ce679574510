"""Forms of moments keep their order, and what does not is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.connectors.rollers.moments import zone_of
from teleporter_lab.connectors.rollers.time_format import TimeFormat, checked

START = datetime(2024, 2, 29, 10, 0, 0, tzinfo=UTC)
END = START + timedelta(minutes=10, milliseconds=500)


@pytest.mark.parametrize(
    ("pattern", "zone", "both"),
    [
        ("", "UTC", ("2024-02-29 10:00:00", "2024-02-29 10:10:00.500000")),
        ("", "Europe/Berlin", ("2024-02-29 11:00:00", "2024-02-29 11:10:00.500000")),
        ("iso", "UTC", ("2024-02-29T10:00:00+00:00", "2024-02-29T10:10:00.500000+00:00")),
        ("epochSeconds", "UTC", (1709200800, 1709201400)),
        ("epochMillis", "UTC", (1709200800000, 1709201400500)),
        ("%Y%m%d", "+08:00", ("20240229", "20240229")),
        ("%Y-%m-%dT%H:%M:%S%z", "+08:00", ("2024-02-29T18:00:00+0800", "2024-02-29T18:10:00+0800")),
    ],
)
def test_forms(pattern: str, zone: str, both: tuple[object, object]) -> None:
    assert TimeFormat(checked(pattern) if pattern else "", zone_of(zone)).both(START, END) == both


def test_a_form_without_a_pattern_can_have_its_offset() -> None:
    form = TimeFormat("", zone_of("+01:00"))
    assert form.both(START, END, with_offset=True)[0] == "2024-02-29 11:00:00+01:00"


@pytest.mark.parametrize(
    "pattern", ["%H:%M", "%Y-%m-%d %I:%M", "soon", "%s", "%Y %d", "%m/%Y/%H", "%Q", "EpochMillis", "%"]
)
def test_a_form_that_loses_the_order_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"is no form of a date-time .*: write iso, epochSeconds, epochMillis or a"):
        checked(pattern)


@pytest.mark.parametrize("pattern", ["%Y-%m-%dT%H:%M:%S.%f", "%Y%m%d%H", "%d.%m.%Y %H:%M", "%Y-%j", "%Y", "%Y%m"])
def test_a_coarse_form_is_taken(pattern: str) -> None:
    assert checked(pattern) == pattern


@given(
    pattern=st.sampled_from(["%Y%m%d%H%M", "%Y-%m-%d", "epochSeconds", ""]),
    zone=st.sampled_from([UTC, ZoneInfo("Asia/Tokyo")]),
    at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),
    lengths=st.tuples(st.integers(1, 10**10), st.integers(1, 10**10)),
)
def test_windows_that_touch_in_time_touch_in_the_form(
    pattern: str, zone: ZoneInfo, at: datetime, lengths: tuple[int, int]
) -> None:
    form = TimeFormat(pattern, zone)
    start = at.replace(tzinfo=UTC)
    middle = start + timedelta(microseconds=lengths[0])
    end = middle + timedelta(microseconds=lengths[1])
    (first, one), (other, last) = form.both(start, middle), form.both(middle, end)
    assert one == other
    assert first <= one <= last  # type: ignore[operator]
