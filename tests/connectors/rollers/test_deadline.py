"""Each form of a deadline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from teleporter_lab.connectors.rollers.deadline import Deadline, deadline_of

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "deadline"),
    [
        ("now", Deadline(NOW)),
        ("fromNow", Deadline(None)),
        ("1.minutes.fromNow", Deadline(None, timedelta(minutes=1))),
        ("PT1H.fromNow", Deadline(None, timedelta(hours=1))),
        ("0.seconds.fromNow", Deadline(None)),
        ("2024-06-01T00:00:00", Deadline(datetime(2024, 6, 1, tzinfo=UTC))),
        ("2024-06-01T00:00:00+02:00", Deadline(datetime(2024, 5, 31, 22, tzinfo=UTC))),
    ],
)
def test_forms(text: str, deadline: Deadline) -> None:
    assert deadline_of(text, UTC, NOW) == deadline


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Now", "'Now' is no date-time; .*; or write now, fromNow or 1.minutes.fromNow"),
        ("1.minutes", "is no date-time"),
        ("1.moons.fromNow", "'1.moons.fromNow' is no deadline: A duration is needed"),
        ("-1.minutes.fromNow", "is no deadline: A duration is needed"),
        (".fromNow", "is no deadline: A duration is needed"),
        ("Inf.fromNow", "is never due: write fromNow"),
        ("40000.days.fromNow", "is no deadline: A duration is at most 36,500 days"),
    ],
)
def test_what_is_none_is_told(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        deadline_of(text, UTC, NOW)
