"""Lengths of time, as people write them. Owns their grammar; refuses negative and calendar ones (months, years).

`1.minutes`, `10.seconds`, `500.millis`, `1 hour`, `1m`, `1h30m`, ISO 8601 `PT1M30S` and `P1DT2H`, `Inf` for ever;
a bare number is seconds. What is not for ever is at most 36,500 days.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from teleporter_lab.config.quote import describe
from teleporter_lab.errors import InvalidDuration

if TYPE_CHECKING:
    from collections.abc import Mapping

_RIGHT: Final = "write 1.minutes, 10.seconds, 500.millis, 1m, 10s, PT1M or Inf"
_MAX_LENGTH: Final = 64
_MAX_SECONDS: Final = 36_500 * 86_400.0

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,3})?"
_BARE = re.compile(rf"\+?({_NUMBER}|\.[0-9]+)")
_PART = re.compile(rf"({_NUMBER})(?:\.|\s*)([a-zµμ]+)\s*")
_ISO = re.compile(
    rf"P(?=.)(?:({_NUMBER})W)?(?:({_NUMBER})D)?"
    rf"(?:T(?=.)(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?"
)
_FOR_EVER = frozenset({"inf", "+inf", "plusinf", "infinity"})

_SECONDS: Mapping[str, Decimal] = {
    name: Decimal(seconds)
    for names, seconds in (
        ("ns nano nanos nanosecond nanoseconds", "0.000000001"),
        ("us µs μs micro micros microsecond microseconds", "0.000001"),
        ("ms milli millis millisecond milliseconds", "0.001"),
        ("s sec secs second seconds", "1"),
        ("m min mins minute minutes", "60"),
        ("h hour hours", "3600"),
        ("d day days", "86400"),
        ("w week weeks", "604800"),
    )
    for name in names.split()
}
_ISO_SECONDS = tuple(_SECONDS[unit] for unit in ("w", "d", "h", "m", "s"))
_WRITTEN = tuple((unit, _SECONDS[unit]) for unit in ("days", "hours", "minutes", "seconds", "millis", "micros"))


def parse_duration(value: object) -> float:
    """The seconds that `value` writes, `math.inf` for `Inf`; a number is seconds. Raises InvalidDuration."""
    match value:
        case bool():
            raise _refused(value)
        case int() | float():
            return _from_number(value)
        case str():
            return _from_text(value)
        case _:
            raise _refused(value)


def format_duration(seconds: float) -> str:
    """How `seconds` is written, so that `parse_duration` gives it back exactly. Raises InvalidDuration below zero."""
    exact = _from_number(seconds)
    if exact in (0, math.inf):
        return "Inf" if exact else "0.seconds"
    for unit, size in _WRITTEN:
        count = round(Decimal(repr(exact)) / size)
        if count and float(count * size) == exact:
            return f"{count}.{unit}"
    return f"{exact!r}s"


def _from_number(value: float) -> float:
    try:
        seconds = float(value)
    except OverflowError as error:
        raise _refused(value) from error
    if not (0 <= seconds <= _MAX_SECONDS or seconds == math.inf):
        raise _refused(value)
    return abs(seconds)


def _from_text(text: str) -> float:
    trimmed = text[: _MAX_LENGTH + 1].strip()
    if len(text) > _MAX_LENGTH or not trimmed:
        raise _refused(text)
    if trimmed.lower() in _FOR_EVER:
        return math.inf
    if bare := _BARE.fullmatch(trimmed):
        return _bounded(Decimal(bare[1]), text)
    if iso := _ISO.fullmatch(trimmed):
        amounts = zip(iso.groups(), _ISO_SECONDS, strict=True)
        return _bounded(sum(Decimal(amount) * size for amount, size in amounts if amount is not None), text)
    return _from_parts(trimmed, text)


def _from_parts(trimmed: str, text: str) -> float:
    total, end = Decimal(0), 0
    while end < len(trimmed):
        part = _PART.match(trimmed, end)
        size = None if part is None else _SECONDS.get(part[2])
        if part is None or size is None:
            raise _refused(text)
        total += Decimal(part[1]) * size
        end = part.end()
    return _bounded(total, text)


def _bounded(seconds: Decimal | int, text: str) -> float:
    if seconds > _MAX_SECONDS:
        raise InvalidDuration(f"A duration is at most 36,500 days, but this is {describe(text)}; write Inf for ever.")
    return float(seconds)


def _refused(value: object) -> InvalidDuration:
    return InvalidDuration(f"A duration is needed, but this is {describe(value)}; {_RIGHT}.")


def _validate(value: object) -> float:
    try:
        return parse_duration(value)
    except InvalidDuration as error:
        raise PydanticCustomError("duration", "{sentence}", {"sentence": error.message}) from error


_SCHEMA: Final[dict[str, Any]] = {
    "type": ["string", "number"],
    "x-duration": True,
    "examples": ["1.minutes", "10.seconds", "500.millis", "Inf"],
}

Duration = Annotated[
    float,
    BeforeValidator(_validate),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(_SCHEMA),
]
"""A field of a pydantic model: written as a duration, read as seconds (float), written to JSON as a duration."""
