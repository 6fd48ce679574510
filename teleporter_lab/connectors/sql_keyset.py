"""The columns by which a query is read page by page.

Owns what a key may be, its form in a position (plain JSON from which the same value comes back), and the statements:
`SELECT * FROM (query) AS page WHERE (a, b) > (…) ORDER BY a, b LIMIT n`, never OFFSET.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from sqlalchemy import and_, bindparam, column, literal_column, or_, select, text, tuple_

from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Select

Key = tuple[Any, ...]

_WRITE: dict[type, tuple[str, Callable[[Any], str]]] = {
    datetime: ("$datetime", datetime.isoformat),
    date: ("$date", date.isoformat),
    Decimal: ("$decimal", str),
    UUID: ("$uuid", str),
    bytes: ("$bytes", lambda value: b64encode(value).decode()),
}
_READ: dict[str, Callable[[str], Any]] = {
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$decimal": Decimal,
    "$uuid": UUID,
    "$bytes": lambda text: b64decode(text, validate=True),
}
PLAIN = frozenset({int, float, str})
TYPES = PLAIN | _WRITE.keys()

ROW_VALUES = frozenset({"postgresql", "sqlite"})
"""Dialects that compare rows, `(a, b) > (1, 2)`, by an index. MySQL compares them too, but walks the whole table."""


def key_columns(key: str | Sequence[str] | None) -> tuple[str, ...]:
    """The columns that a form names."""
    return () if key is None else (key,) if isinstance(key, str) else tuple(key)


def key_json(key: Key) -> Any:
    """The form of a key in a position: its value, or a list of its values where it has several columns."""
    written = [_written(value) for value in key]
    return written[0] if len(written) == 1 else written


def key_from(position: Any, columns: Sequence[str]) -> Key:
    """The key of a position, with its types. Raises ConnectorError when it is none of a reader by those columns."""
    found = cast("dict[str, Any]", position).get("key") if isinstance(position, dict) else None
    values = cast("list[Any]", found) if len(columns) > 1 and isinstance(found, list) else [found]
    try:
        key = tuple(_restored(value) for value in values)
    except (ValueError, ArithmeticError):
        key = ()
    if len(key) == len(columns):
        return key
    each = '{"key": number or text}' if len(columns) == 1 else f'{{"key": [{", ".join(columns)}]}}'
    raise ConnectorError(f"{position!r} is no position of a query by key: that is {each}.")


def _written(value: Any) -> Any:
    if type(value) in PLAIN:
        return value
    tag, write = _WRITE[type(value)]
    return {tag: write(value)}


def _restored(value: Any) -> Any:
    if type(value) in PLAIN:
        return value
    tagged = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    for tag, written in tagged.items():
        if len(tagged) == 1 and tag in _READ and isinstance(written, str):
            return _READ[tag](written)
    raise ValueError("no value of a key")


class KeyPages:
    """Statements for pages of a query by `columns`, in the way of a dialect."""

    def __init__(self, columns: Sequence[str], dialect: str) -> None:
        self.columns = tuple(columns)
        self._rows = dialect in ROW_VALUES

    def page(
        self, source: str, *, after: bool = False, upto: bool = False, since: bool = False, typed: Sequence[Any] = ()
    ) -> Select[Any]:
        """A page of `source`, a query with its colons escaped and the parameters `typed` in it.

        Its own parameters: `count` rows at most; behind the key `after` (see `parameters`), up to the key `upto`, and
        with `since` in the first column of the key at least.
        """
        found = _all_of(source, typed).order_by(*map(_column, self.columns)).limit(bindparam("count"))
        if after:
            found = found.where(self._behind("after"))
        if since:
            found = found.where(_column(self.columns[0]) >= bindparam("since"))
        return found.where(~self._behind("upto")) if upto else found

    def greatest(self, source: str) -> Select[Any]:
        """The row with the greatest key."""
        return _all_of(source).order_by(*(_column(name).desc() for name in self.columns)).limit(1)

    @staticmethod
    def parameters(name: str, key: Key) -> dict[str, Any]:
        """The parameters of `after` or `upto`."""
        return {f"{name}_{at}": value for at, value in enumerate(key)}

    def of(self, names: Sequence[str], rows: Sequence[Sequence[Any]], after: Key | None = None) -> list[Key]:
        """The keys of `rows`, which were asked for behind the key `after`; date-times with a zone are in UTC.

        Raises ConnectorError where rows could be lost, or come for ever, by reading behind them.
        """
        for name in self.columns:
            if name not in names:
                raise ConnectorError(f"The query has no column {name}; it has {', '.join(names)}.")
        places = [names.index(name) for name in self.columns]
        cells = [[row[at] for row in rows] for at in places]
        for name, values in zip(self.columns, cells, strict=True):
            _check(name, values)
        keys = list(zip(*map(_instants, cells), strict=True))
        if keys and keys[0] == after:
            raise came_again(", ".join(self.columns))
        if len(set(keys)) < len(keys):
            raise ConnectorError(f"The key {', '.join(self.columns)} must be unique: a value stands twice.")
        return keys

    def _behind(self, name: str) -> ColumnElement[Any]:
        """Rows behind the key in the parameters `name`."""
        columns = [_column(each) for each in self.columns]
        values: list[ColumnElement[Any]] = [bindparam(f"{name}_{at}") for at in range(len(columns))]
        if len(columns) == 1:
            return columns[0] > values[0]
        if self._rows:
            return tuple_(*columns) > tuple_(*values)
        ways = [
            and_(*(columns[before] == values[before] for before in range(at)), columns[at] > values[at])
            for at in range(len(columns))
        ]
        return and_(columns[0] >= values[0], or_(*ways))


def _check(name: str, values: Sequence[Any]) -> None:
    if not set(map(type, values)) <= TYPES:
        raise ConnectorError(
            f"The key {name} must hold numbers or text and no nulls; date-times, decimals and UUIDs will do too."
        )
    if any(isinstance(value, float | Decimal) and not math.isfinite(value) for value in values):
        raise ConnectorError(f"The key {name} must hold finite numbers.")


def came_again(key: str) -> ConnectorError:
    """The error for a page that begins with the key behind which it was asked for."""
    return ConnectorError(
        f"The rows behind a value of the key {key} begin with it again: the database compares it more exactly than it "
        "gives it, as with real and float; cast it in the query, to double precision for instance."
    )


def _instants(values: list[Any]) -> list[Any]:
    """Date-times with a zone in UTC: those of one zone are compared by what its clocks show, also when they are set."""
    if datetime not in set(map(type, values)):
        return values
    return [_instant(value) for value in values]


def _instant(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else value


def _column(name: str) -> ColumnElement[Any]:
    return column(name)


def _all_of(source: str, typed: Sequence[Any] = ()) -> Select[Any]:
    found: Select[Any] = select(cast("ColumnElement[Any]", literal_column("*")))
    return found.select_from(text(f"({source}\n) AS page").bindparams(*typed))


def stripped(query: str) -> str:
    """`query` without what ends a statement, to be put into another one."""
    return query.rstrip("; \t\r\n")


def escaped(query: str) -> str:
    """`query` to be put into another statement, its colons no parameters."""
    return stripped(query).replace(":", "\\:")
