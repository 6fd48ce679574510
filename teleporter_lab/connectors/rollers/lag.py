"""How late a row may be committed: a length of time, or a number of ids. Owns how it is written, and its bound.

A row is late when rows with a later moment or a greater id could be read before it was there.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, TypeAlias, cast

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from teleporter_lab.config.duration import format_duration, parse_duration
from teleporter_lab.config.quote import describe
from teleporter_lab.errors import ConnectorError, InvalidDuration

_WHOLE = re.compile(r"\s*[0-9]{1,18}\s*")
_MOST = 10**18

LagValue: TypeAlias = int | timedelta


def parse_lag(value: object) -> LagValue:
    """A whole number (ids, or seconds where there is time), or a duration. Raises ValueError with a sentence."""
    if isinstance(value, timedelta) and value >= timedelta(0):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST:
        return value
    right = "a whole number of ids from 0 on, or a duration such as 1.minutes"
    try:
        seconds = parse_duration(value)
    except InvalidDuration:
        raise ValueError(f"Must be {right}, but is {describe(value)}") from None
    if math.isinf(seconds):
        raise ValueError(f"Must be {right}, but is for ever")
    return timedelta(seconds=seconds)


def _validated(value: object) -> LagValue:
    try:
        return parse_lag(value)
    except ValueError as error:
        raise PydanticCustomError("lag", "{sentence}", {"sentence": str(error)}) from error


def _written(value: LagValue) -> int | str:
    return value if isinstance(value, int) else format_duration(value.total_seconds())


Lag = Annotated[
    Any,
    BeforeValidator(_validated),
    PlainSerializer(_written, when_used="json"),
    WithJsonSchema({"type": ["string", "number"], "examples": ["1.minutes", 1000]}),
]
"""A field of a form: `LagValue`."""


def as_time(lag: LagValue) -> timedelta:
    """The lag of windows: a bare number is seconds. Raises ValueError where that is longer than any duration."""
    if isinstance(lag, timedelta):
        return lag
    try:
        return timedelta(seconds=parse_duration(lag))
    except InvalidDuration as error:
        raise ValueError(error.message) from error


def before(value: Any, lag: LagValue, key: str) -> Any:
    """The key `lag` before `value`. Raises ConnectorError where the column `key` holds no such thing."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | date):
        raise ConnectorError(
            f"lag needs a key of numbers or date-times, but {key} holds {type(value).__name__}; leave lag out."
        )
    if isinstance(value, date):
        return _earlier(value, as_time(lag))
    if isinstance(lag, timedelta):
        raise ConnectorError(f"lag is a time, but the key {key} holds numbers: write how many ids, such as 1000.")
    return value - lag


def _earlier(value: date, time: timedelta) -> date:
    """`value` less `time`, for a date whole days; the first moment there is where that lies before it."""
    size = time if isinstance(value, datetime) else timedelta(days=math.ceil(time / timedelta(days=1)))
    first = datetime.min.replace(tzinfo=value.tzinfo) if isinstance(value, datetime) else date.min
    try:
        return value - size
    except OverflowError:
        return cast("date", first)
