"""Values as text that PostgreSQL reads as a literal.

Owns the forms of text. Refuses to know which column takes them, but for types to which no number goes.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from numbers import Integral, Real
from typing import Any, cast
from uuid import UUID

import msgspec

ADDRESSES = (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)
NUMBERLESS = ("date", "time", "interval", "uuid", "bytea")
"""How types begin to which a number does not go, though its digits could be read as something."""


def as_json(value: Any) -> str:
    """Text as it is, anything else as JSON. Raises TypeError for what has none."""
    return str.__str__(value) if isinstance(value, str) else msgspec.json.encode(value).decode()


def as_text(kind: str, value: Any) -> str:
    """`value` as a literal of the type `kind`. Raises TypeError for what has none."""
    match value:
        case str():
            return str.__str__(value)
        case list() | tuple() if kind.endswith("[]"):
            return _array(kind, cast("list[Any]", value))
        case dict() | list() | tuple():
            return as_json(value)
        case bytes() | bytearray() | memoryview():
            return f"\\x{value.hex()}"
        case _:
            return _single(kind, value)


def _single(kind: str, value: Any) -> str:
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
        case bool():
            return "true" if value else "false"
        case Integral() | Real() | Decimal() if not kind.startswith(NUMBERLESS):
            return _number(value)
        case _ if isinstance(value, (UUID, *ADDRESSES)):
            return str(value)
        case _:
            raise TypeError(f"it is a {type(value).__name__}")


def _number(value: Integral | Real | Decimal) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(int(value)) if isinstance(value, Integral) else repr(float(value)).removesuffix(".0")


def _array(kind: str, values: list[Any]) -> str:
    return f"{{{','.join(_element(kind, value) for value in values)}}}"


def _element(kind: str, value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        return _array(kind, cast("list[Any]", value))
    text = as_text(kind.removesuffix("[]"), value)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
