"""The roller's form takes what can work, and says what is wrong with the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from teleporter_lab.config.block import parse_block
from teleporter_lab.connectors.rollers.sink_roller import SinkRoller
from teleporter_lab.errors import InvalidConfig


def test_limits_as_people_write_them() -> None:
    roller = parse_block(
        SinkRoller,
        {"cron": "0 0 * * *", "timeZone": "Europe/Berlin", "size": "100.mb", "records": 1000, "onClose": "keep"},
    )
    schedule = roller.schedule()
    assert (schedule.size, schedule.records) == (100_000_000, 1000)
    assert schedule.due(datetime(2024, 2, 29, 12, tzinfo=UTC)) == datetime(2024, 2, 29, 23, tzinfo=UTC)


def test_blanks_of_a_form_are_nothing() -> None:
    assert parse_block(SinkRoller, {"cron": "", "size": "", "records": None}).model_fields_set == set()


@pytest.mark.parametrize(
    ("block", "wrong"),
    [
        ({"cron": "every hour"}, "A cron expression has five fields"),
        ({"timeZone": "Middle/Earth"}, "Middle/Earth is no time zone; UTC and Europe/Berlin are some"),
        ({"timeZone": "../../etc/passwd"}, "is no time zone"),
        ({"size": "many"}, "A size is needed"),
        ({"records": 0}, "1"),
        ({"onClose": "keep"}, "With onClose keep a file is never complete"),
        ({"onClose": "delete"}, "complete"),
        ({"every": 5}, "every"),
    ],
)
def test_what_cannot_work_is_refused(block: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidConfig, match=wrong):
        parse_block(SinkRoller, block)
