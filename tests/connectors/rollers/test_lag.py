"""A lag is a time or a number of ids."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from teleporter_lab.connectors.rollers.lag import Lag, as_time, before, parse_lag
from teleporter_lab.errors import ConnectorError

MINUTE = timedelta(minutes=1)


class Form(BaseModel):
    lag: Lag = 0


@pytest.mark.parametrize(
    ("written", "lag"),
    [(0, 0), (1000, 1000), (" 25 ", 25), ("1.minutes", MINUTE), ("PT1M", MINUTE), (60.0, MINUTE), (MINUTE, MINUTE)],
)
def test_forms(written: object, lag: object) -> None:
    assert parse_lag(written) == lag
    assert Form(lag=written).lag == lag
    assert Form.model_validate_json(Form(lag=written).model_dump_json()).lag == lag


@pytest.mark.parametrize("written", [-1, True, "-5", "1 moon", 10**18, None, [], "Inf", timedelta(seconds=-1)])
def test_what_is_none_is_told(written: object) -> None:
    with pytest.raises(ValidationError, match=r"Must be a whole number of ids from 0 on, or a duration such as"):
        Form(lag=written)


def test_a_number_is_seconds_where_there_is_time() -> None:
    assert as_time(90) == timedelta(seconds=90)
    with pytest.raises(ValueError, match=r"A duration is needed"):
        as_time(10**17)


@pytest.mark.parametrize(
    ("value", "lag", "found"),
    [
        (100, 7, 93),
        (1.5, 1, 0.5),
        (Decimal("2.50"), 1, Decimal("1.50")),
        (datetime(2024, 3, 1), timedelta(days=1), datetime(2024, 2, 29)),
        (datetime(2024, 3, 1, tzinfo=UTC), 60, datetime(2024, 2, 29, 23, 59, tzinfo=UTC)),
        (date(2024, 3, 1), timedelta(hours=1), date(2024, 2, 29)),
        (date(2, 3, 1), timedelta(days=36_500), date.min),
        (datetime(2, 3, 1, tzinfo=UTC), timedelta(days=36_500), datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_the_bound_before_a_key(value: Any, lag: Any, found: Any) -> None:
    assert before(value, lag, "k") == found


@pytest.mark.parametrize(
    ("value", "lag", "wrong"),
    [
        ("text", 1, "lag needs a key of numbers or date-times, but k holds str; leave lag out"),
        (True, 1, "k holds bool"),
        (5, MINUTE, "lag is a time, but the key k holds numbers: write how many ids, such as 1000"),
    ],
)
def test_a_lag_that_does_not_fit_the_key_is_told(value: Any, lag: Any, wrong: str) -> None:
    with pytest.raises(ConnectorError, match=wrong):
        before(value, lag, "k")
