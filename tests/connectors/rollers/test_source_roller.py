"""The form of a roller says in one sentence what is wrong with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from teleporter_lab.config.block import parse_block
from teleporter_lab.config.key import Table
from teleporter_lab.config.schema import schema
from teleporter_lab.connectors.rollers.deadline import Deadline
from teleporter_lab.connectors.rollers.pages import Pages
from teleporter_lab.connectors.rollers.source_roller import SourceRoller, pages_of, windows_of
from teleporter_lab.connectors.rollers.windows import Windows
from teleporter_lab.errors import InvalidConfig

NOW = datetime(2024, 5, 1, tzinfo=UTC)
START = "2024-01-01T00:00:00"
ANCESTOR = Path(__file__).parents[2] / "data" / "ancestor" / "source_jdbc.json"


def roller(**options: Any) -> SourceRoller:
    return parse_block(SourceRoller, options, ("roller",))


def problems(**options: Any) -> list[str]:
    with pytest.raises(InvalidConfig) as caught:
        roller(**options)
    return [str(problem) for problem in caught.value.problems]


def test_the_ancestors_roller() -> None:
    options = json.loads(ANCESTOR.read_text(encoding="utf-8"))["value"]["roller"]
    made = roller(**options)
    minutes = timedelta(minutes=1)
    assert windows_of(made, NOW) == Windows(
        datetime(2017, 1, 1, tzinfo=UTC), Deadline(None, minutes), 10 * minutes, 60 * minutes
    )
    assert pages_of(made) == Pages(500)
    assert not made.blank


def test_a_form_that_was_left_blank_is_no_roller() -> None:
    blank = dict.fromkeys(json.loads(ANCESTOR.read_text(encoding="utf-8"))["value"]["roller"], "")
    assert roller(**blank).blank
    assert windows_of(roller(), NOW) is None
    assert pages_of(roller()) is None


@pytest.mark.parametrize(
    ("options", "deadline"),
    [
        ({}, Deadline(NOW)),
        ({"deadline": "now"}, Deadline(NOW)),
        ({"end": "2024-02-01"}, Deadline(datetime(2024, 2, 1, tzinfo=UTC))),
        ({"end": "2024-02-01", "deadline": "now"}, Deadline(datetime(2024, 2, 1, tzinfo=UTC))),
        ({"end": "2024-09-01", "deadline": "now"}, Deadline(NOW)),
        ({"deadline": "2024-02-01", "zone": "+01:00"}, Deadline(datetime(2024, 1, 31, 23, tzinfo=UTC))),
        (
            {"end": "2024-09-01", "deadline": "5.minutes.fromNow", "period": "1h"},
            Deadline(datetime(2024, 9, 1, tzinfo=UTC), timedelta(minutes=5)),
        ),
    ],
)
def test_where_time_ends(options: dict[str, Any], deadline: Deadline) -> None:
    windows = windows_of(roller(start=START, **options), NOW)
    assert windows is not None
    assert windows.deadline == deadline


def test_offsets_begin_where_they_should() -> None:
    assert pages_of(roller(pageSize=10, page=3)) == Pages(10, 3, None, 30)
    assert pages_of(roller(pageSize="10", page="3", offset=0, maxPage=9)) == Pages(10, 3, 9, 0)
    assert pages_of(roller(pageSize=10, key="id")) is None
    assert roller(key=["a", "b"]).key == ["a", "b"]


def test_a_key_alone_is_followed_from_now_on() -> None:
    assert roller(key="id", deadline="fromNow", lag=500).follows
    assert not roller(key="id", deadline="now").follows
    assert not roller(key="id", start=START, period="1h", deadline="fromNow").follows


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start": "soon"}, "roller: 'soon' is no date-time; write it as 2024-01-31T10:00:00, perhaps with Z."),
        ({"start": "2023-02-29"}, "roller: '2023-02-29' is no date-time; write it as 2024-01-31T10:00:00"),
        ({"start": 5}, "roller.start: Must be text, but is the number 5."),
        ({"start": START, "end": START}, "roller: The end must be later than the start."),
        ({"start": START, "end": "2023-01-01"}, "roller: The end must be later than the start."),
        ({"start": START, "deadline": START}, "roller: The deadline must be later than the start."),
        ({"start": START, "deadline": "2023-12-31T23:59:59"}, "roller: The deadline must be later than the start."),
        (
            {"start": START, "deadline": "tomorrow"},
            "roller: 'tomorrow' is no date-time; write it as 2024-01-31T10:00:00, perhaps with Z; or write now",
        ),
        ({"start": START, "deadline": "fromNow"}, "roller: With fromNow a period is needed: how long each window is."),
        (
            {"start": START, "period": 0},
            "roller.period: Must be a time from 1.millis to 36,500 days, but is 0.seconds.",
        ),
        ({"start": START, "period": "Inf"}, "roller.period: Must be a time from 1.millis to 36,500 days, but is Inf."),
        ({"start": START, "period": "1.micros"}, "roller.period: Must be a time from 1.millis to 36,500 days"),
        (
            {"start": START, "period": -1},
            "roller.period: A duration is needed, but this is the number -1; write 1.minutes, 10.seconds, 500.millis",
        ),
        (
            {"start": START, "period": "40000.days"},
            "roller.period: A duration is at most 36,500 days, but this is the text '40000.days'; write Inf for ever.",
        ),
        ({"start": START, "maxPeriod": "1h"}, "roller: With maxPeriod a period is needed, of which it is a multiple."),
        ({"start": START, "period": "1h", "maxPeriod": "1m"}, "roller: The maxPeriod must be at least as"),
        ({"end": START}, "roller: With end a start is needed, where the first window begins."),
        ({"period": "1h"}, "roller: With period a start is needed, where the first window begins."),
        ({"maxPeriod": "1h"}, "roller: With maxPeriod a start is needed, where the first window begins."),
        ({"deadline": "now"}, "roller: With deadline a start is needed, or a key behind which new rows"),
        (
            {"key": "id", "deadline": "1.minutes.fromNow"},
            "roller: The deadline of a walk by key alone must be now (to the end, once) or fromNow (for ever).",
        ),
        ({"lag": 5}, "roller: With lag a start or a key is needed."),
        ({"start": START, "lag": "soon"}, "roller.lag: Must be a whole number of ids from 0 on, or a duration"),
        ({"page": 1}, "roller: With page, maxPage or offset a pageSize is needed."),
        ({"offset": 1}, "roller: With page, maxPage or offset a pageSize is needed."),
        ({"pageSize": 5, "page": 3, "maxPage": 2}, "roller: The maxPage must be at least the page."),
        ({"pageSize": 0}, "roller.pageSize: Must be at least 1, but is the number 0."),
        ({"page": -1, "pageSize": 5}, "roller.page: Must be at least 0, but is the number -1."),
        ({"pageSize": 5, "key": "id", "page": 1}, "roller: Pages by key have no number: leave out page"),
        ({"key": ["a", "a"]}, "roller: The key must name each column once."),
        ({"key": []}, "roller.key: Must be text or at least 1 long, but is a list of 0."),
        ({"start": START, "zone": "Mars/Olympus"}, "roller.zone: 'Mars/Olympus' is no time zone: write"),
        ({"start": "2024-03-31T02:30", "zone": "Europe/Berlin"}, "roller: 2024-03-31T02:30:00 is never shown by"),
        ({"start": START, "perod": 1}, "roller.perod: There is no such field; did you mean 'period'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(options: dict[str, Any], sentence: str) -> None:
    [problem] = problems(**options)
    assert problem.startswith(sentence)


def test_a_form_of_time_that_loses_the_order_is_told_at_its_field() -> None:
    [problem] = problems(start=START, timeFormat="%H:%M")
    assert problem.startswith("roller.timeFormat: '%H:%M' is no form of a date-time that says the year")


def test_the_form_describes_every_field() -> None:
    made = schema(Table.SOURCE, {"roller": SourceRoller})
    fields = made["$defs"]["SourceRoller"]["properties"]
    assert all(field["description"] for field in fields.values())
    assert {"page", "pageSize", "maxPage", "offset", "start", "end", "period", "maxPeriod", "deadline", "lag"} <= set(
        fields
    )
