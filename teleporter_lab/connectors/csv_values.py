"""What the text of a CSV column means.

Owns types, nulls and the guess of both. Refuses to read: it is handed rows that have the right number of columns.
Columns are converted one at a time, not row by row, so that C code runs over the values.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

TypeName = Literal["text", "int", "float", "bool", "date", "datetime", "decimal"]

BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "T", "yes", "Yes", "YES", "y", "Y", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "F", "no", "No", "NO", "n", "N", "0"), False),
}

CONVERT: dict[TypeName, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "bool": BOOLEANS.__getitem__,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "decimal": Decimal,
}

UNFIT = (ValueError, ArithmeticError, LookupError)
"""What the converters raise on text that does not fit."""

_DAY = r"\d{4}-\d\d-\d\d"
_GUESSES: tuple[tuple[TypeName, re.Pattern[str]], ...] = (
    ("int", re.compile(r"-?(0|[1-9]\d{0,17})")),
    ("float", re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")),
    ("bool", re.compile(r"true|false", re.IGNORECASE)),
    ("date", re.compile(_DAY)),
    ("datetime", re.compile(rf"{_DAY}[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[-+]\d\d:?\d\d)?")),
)


def guess(rows: Sequence[Sequence[str]], names: Sequence[str], nulls: Iterable[str]) -> dict[str, TypeName]:
    """The type that all values of a column have in these rows; `text` when in doubt (leading zeros, no values)."""
    empty = {"", *nulls}
    columns = zip(*rows, strict=True)
    return {name: _kind([value for value in values if value not in empty]) for name, values in zip(names, columns)}  # noqa: B905 - no rows, no columns


def _kind(values: Sequence[str]) -> TypeName:
    for kind, pattern in _GUESSES:
        if values and all(map(pattern.fullmatch, values)):
            return kind
    return "text"


class Values:
    """Makes records of the rows of one file. `number_as` names a field for the number of the row."""

    def __init__(
        self, names: Sequence[str], types: Mapping[str, TypeName], nulls: Iterable[str], number_as: str | None
    ) -> None:
        self.names = tuple(names)
        self.kinds: list[TypeName] = [types.get(name, "text") for name in names]
        self.nulls = frozenset(nulls)
        self._empty = self.nulls | {""}
        self._by_column = bool(self.nulls) or any(kind != "text" for kind in self.kinds)
        self.number_as = number_as

    def records(self, rows: list[list[str]], first: int) -> list[dict[str, Any]]:
        """A record for each row, numbered from `first`. Raises one of UNFIT when a value is not of its type."""
        if self._by_column and rows:
            values = zip(*self.columns(rows), strict=True)
            records: list[dict[str, Any]] = [dict(zip(self.names, row)) for row in values]  # noqa: B905 - both are that long
        else:
            records = [dict(zip(self.names, row)) for row in rows]  # noqa: B905 - the reader has counted
        if self.number_as is not None:
            for number, record in enumerate(records, first):
                record[self.number_as] = number
        return records

    def columns(self, rows: Sequence[Sequence[str]]) -> list[Sequence[Any]]:
        """The values of each column, of at least one row. Raises one of UNFIT when a value is not of its type."""
        return [self._column(kind, values) for kind, values in zip(self.kinds, zip(*rows, strict=True), strict=True)]

    def wrong(self, row: list[str]) -> str:
        """What is not right with a row, as the rest of a sentence; empty when all is."""
        for name, kind, value in zip(self.names, self.kinds, row, strict=True):
            try:
                self._column(kind, (value,))
            except UNFIT:
                return f"the column {name} must hold {kind}, not {value[:100]!r}"
        return ""

    def _column(self, kind: TypeName, values: Sequence[str]) -> Sequence[Any]:
        if kind == "text":
            nulls = self.nulls
            return values if nulls.isdisjoint(values) else [None if value in nulls else value for value in values]
        convert, empty = CONVERT[kind], self._empty
        if empty.isdisjoint(values):
            return list(map(convert, values))
        return [None if value in empty else convert(value) for value in values]
