"""Values in the form that a column of PostgreSQL takes.

Owns which Python types a column type takes as they are, and what becomes of others: what an INSERT of that value would
have made of it. Text goes as text, which the database reads like a literal. Refuses to connect.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from numbers import Integral, Real
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from teleporter_lab.connectors.sql_postgres_statement import Way
from teleporter_lab.connectors.sql_postgres_text import as_json, as_text

if TYPE_CHECKING:
    from collections.abc import Callable

TIMESTAMP, TIMESTAMPTZ = "timestamp without time zone", "timestamp with time zone"
WHOLE = {"smallint": 16, "integer": 32, "bigint": 64}
"""Types of whole numbers, and their bits."""
NATIVE: dict[str, frozenset[type]] = {
    **dict.fromkeys(WHOLE, frozenset({int})),
    "real": frozenset({float, int}),
    "double precision": frozenset({float, int}),
    "numeric": frozenset({Decimal, int}),
    "boolean": frozenset({bool}),
    "text": frozenset({str}),
    "character varying": frozenset({str}),
    "bpchar": frozenset({str}),
    "bytea": frozenset({bytes, bytearray, memoryview}),
    "uuid": frozenset({UUID}),
    "json": frozenset({str}),
    "jsonb": frozenset({str}),
    "date": frozenset({date}),
    TIMESTAMP: frozenset({datetime}),
    TIMESTAMPTZ: frozenset({datetime}),
    "time without time zone": frozenset({time}),
    "interval": frozenset({timedelta}),
}
"""What asyncpg takes just as it is. It would cut off the fraction of a float, so that is no whole number here."""

ENDS: frozenset[date] = frozenset({date.min, date.max, datetime.min, datetime.max})
"""What asyncpg would make infinite."""


class Misfit(ValueError):
    """A value that its column cannot take. `row` counts from 0; the text is the rest of a sentence."""

    def __init__(self, row: int, why: str) -> None:
        super().__init__(why)
        self.row = row


@dataclass(frozen=True)
class Carried:
    """The values of a column, and the way they go."""

    way: Way
    values: list[Any]


def carried(kind: str, values: list[Any]) -> Carried:
    """`values` for a column of the type `kind`. Raises Misfit for one that has no form in it."""
    found = set(map(type, values))
    found.discard(NoneType)
    native = NATIVE.get(kind)
    if native is None:
        return _by_text(kind, values)
    if kind in (TIMESTAMP, TIMESTAMPTZ):
        return _moments(kind, values, found)
    if found <= native and not (kind == "date" and not ENDS.isdisjoint(values)):
        return Carried(Way(kind, kind), values)
    form = FORMS.get(kind)
    if form is None or (str in found and form is not as_json):
        return _by_text(kind, values)
    return Carried(Way(kind, kind), _formed(form, values))


def _moments(kind: str, values: list[Any], found: set[type]) -> Carried:
    """Moments with a zone and without one are different types; the database knows the zone of the session."""
    zoned = {value.tzinfo is not None for value in values if isinstance(value, datetime)}
    if found <= NATIVE[kind] and len(zoned) < 2 and (True in zoned or ENDS.isdisjoint(values)):
        carrier = TIMESTAMPTZ if True in zoned else TIMESTAMP if zoned else kind
        return Carried(Way(kind, carrier), values)
    return _by_text(kind, values, through=TIMESTAMPTZ if True in zoned and kind == TIMESTAMP else "")


def _by_text(kind: str, values: list[Any], through: str = "") -> Carried:
    return Carried(Way(kind, "text", through), _formed(lambda value: as_text(kind, value), values))


def _formed(form: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    formed: list[Any] = []
    for row, value in enumerate(values):
        try:
            formed.append(None if value is None else form(value))
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise Misfit(row, str(error)) from error
    return formed


def _whole(value: Any) -> int:
    """Rounded as the database does: a float to the next even number, a decimal away from zero."""
    match value:
        case Integral():
            return int(value)
        case Real():
            return round(float(value))
        case Decimal():
            return int(value.to_integral_value(ROUND_HALF_UP))
        case _:
            raise TypeError(f"it is a {type(value).__name__}")


def _decimal(value: Any) -> Decimal:
    match value:
        case Decimal():
            return value
        case bool():
            raise TypeError("it is a bool")
        case Integral():
            return Decimal(int(value))
        case Real():
            return Decimal(repr(float(value)))
        case _:
            raise TypeError(f"it is a {type(value).__name__}")


def _float(value: Any) -> float:
    match value:
        case bool():
            raise TypeError("it is a bool")
        case Real() | Decimal():
            return float(value)
        case _:
            raise TypeError(f"it is a {type(value).__name__}")


FORMS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(WHOLE, _whole),
    "numeric": _decimal,
    "real": _float,
    "double precision": _float,
    "json": as_json,
    "jsonb": as_json,
}
"""What makes other values fit."""


def row_of(kind: str, values: list[Any]) -> int | None:
    """The first of `values` that surely is what a column of the type `kind` cannot take; None where none is seen."""
    return next((row for row, value in enumerate(values) if value is not None and not _fits(kind, value)), None)


def _fits(kind: str, value: Any) -> bool:
    try:
        if kind in WHOLE:
            return abs(value + (value < 0)) >> (WHOLE[kind] - 1) == 0
        if isinstance(value, str):
            value.encode()
        if kind in ("real", "double precision"):
            float(value)
    except (UnicodeError, ArithmeticError, TypeError):
        return False
    return True


KEYED = frozenset({*WHOLE, "text", "character varying", "uuid", "boolean", "bytea", "date", TIMESTAMP, TIMESTAMPTZ})
"""Types in which values are equal just when they are in Python."""


def told_apart(kind: str, modifier: int, folded: bool, values: list[Any]) -> list[Any] | None:
    """`values` of a key so that they are equal just when the database has them equal; None where that is not sure."""
    if kind not in KEYED or folded:
        return None
    try:
        sent = carried(kind, values)
    except Misfit:
        return None
    if sent.way.carrier != kind or (modifier >= 0 and kind in (TIMESTAMP, TIMESTAMPTZ)):
        return None
    if kind == "character varying" and modifier >= 0:
        length = modifier - 4  # what is longer ends with blanks, which are cut off, or is refused
        return [value if value is None else value[:length] for value in sent.values]
    return sent.values
