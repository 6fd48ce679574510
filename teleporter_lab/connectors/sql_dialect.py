"""What a batch looks like to each database: the statement, and values its driver can bind.

Owns SQL text and value forms, purely. Refuses to connect. Statements come from SQLAlchemy's own constructs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import chain
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from sqlalchemy import and_, bindparam, column, delete, insert, table, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Dialect, TableClause
    from sqlalchemy.sql.dml import Delete, Insert, Update

    from teleporter_lab.connectors.columns import Row
    from teleporter_lab.connectors.sql import Mode

UNFIT = (TypeError, ValueError, RecursionError)
"""What a value raises that has no form."""

BOUND_BY_SQLITE = frozenset({NoneType, int, float, str, bytes, bool})


@dataclass(frozen=True)
class Shape:
    """What a sink does to a table: which columns it writes, names rows by, and overwrites where a row is there."""

    mode: Mode
    target: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    update: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """SQL text, the names of its parameters, and the place in a row that each of them is taken from."""

    text: str
    names: tuple[str, ...]
    places: tuple[int, ...]
    positional: bool

    def parameters(self, rows: list[Row]) -> Sequence[Any]:
        """`rows` in the form the driver wants."""
        if self.places != tuple(range(len(rows[0]))):
            rows = [tuple(row[place] for place in self.places) for row in rows]
        return rows if self.positional else [dict(zip(self.names, row, strict=True)) for row in rows]


@dataclass(frozen=True)
class RowByRow:
    """An UPDATE for each row, and the INSERT for one that was not there."""

    update: Statement
    insert: Statement


def statement(dialect: Dialect, shape: Shape) -> Statement | RowByRow:
    """What writes a row. Raises ConnectorError where the dialect cannot."""
    schema, _, name = shape.target.rpartition(".")
    parts = table(name, *map(column, shape.columns), schema=schema or None)
    if shape.mode == "updateElseInsert":
        if not dialect.supports_sane_rowcount:
            raise ConnectorError(f"A {dialect.name} sink cannot updateElseInsert; it can insert and delete.")
        updating = _compiled(dialect, _update(parts, shape), shape)
        return RowByRow(updating, _compiled(dialect, insert(parts), shape))
    built = _delete(parts, shape.keys) if shape.mode == "delete" else _insert(dialect, parts, shape)
    return _compiled(dialect, built, shape)


def _compiled(dialect: Dialect, built: Any, shape: Shape) -> Statement:
    compiled: Any = built.compile(dialect=dialect)
    renamed: dict[str, str] = compiled.escaped_bind_names
    order: list[str] = list(compiled.positiontup) if compiled.positional else list(compiled.binds)
    at = {**{f"{KEY}{name}": place for place, name in enumerate(shape.columns)}, **_places(shape.columns)}
    places = tuple(at[name] for name in order)
    return Statement(str(compiled), tuple(renamed.get(name, name) for name in order), places, compiled.positional)


def _places(columns: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(columns)}


KEY = "key of "
"""Before the name of a parameter that finds a row, which differs from that of the column's new value."""


def _found(target: TableClause, keys: Sequence[str]) -> ColumnElement[bool]:
    return and_(*(target.c[key] == bindparam(f"{KEY}{key}") for key in keys))


def _delete(target: TableClause, keys: Sequence[str]) -> Delete:
    return delete(target).where(_found(target, keys))


def _update(target: TableClause, shape: Shape) -> Update:
    """Where nothing is to be overwritten it still tells whether the row is there."""
    new: dict[str, Any] = {name: bindparam(name) for name in shape.update}
    same: dict[str, Any] = {key: target.c[key] for key in shape.keys}
    return update(target).where(_found(target, shape.keys)).values(new or same)


def _insert(dialect: Dialect, target: TableClause, shape: Shape) -> Insert:
    match dialect.name:
        case _ if shape.mode == "insert":
            return insert(target)
        case "sqlite":
            return _on_conflict(sqlite.insert(target), shape)
        case "postgresql":
            return _on_conflict(postgresql.insert(target), shape)
        case "mysql" | "mariadb":
            return _on_duplicate_key(mysql.insert(target), target, shape)
        case name:
            raise ConnectorError(f"A {name} sink cannot {shape.mode}; it can insert, updateElseInsert and delete.")


def _on_conflict(adding: Any, shape: Shape) -> Insert:
    if shape.mode == "upsert" and shape.update:
        new = {name: adding.excluded[name] for name in shape.update}
        return adding.on_conflict_do_update(index_elements=list(shape.keys), set_=new)
    return adding.on_conflict_do_nothing(index_elements=list(shape.keys) or None)


def _on_duplicate_key(adding: Any, target: TableClause, shape: Shape) -> Insert:
    """Not INSERT IGNORE, which cuts values that do not fit and says nothing."""
    if shape.mode == "upsert" and shape.update:
        return adding.on_duplicate_key_update({name: adding.inserted[name] for name in shape.update})
    same = (shape.keys or shape.columns)[0]
    return adding.on_duplicate_key_update({same: target.c[same]})


def bindable(dialect: str, rows: list[Row], names: Sequence[str], target: str) -> list[Row]:
    """`rows` with every value in a form that the driver takes. Raises BadRecord naming a field that has none.

    SQLite: dates and times become ISO text, decimals and UUIDs text, mappings and lists JSON. Elsewhere mappings become
    JSON, on MySQL and MariaDB moments with a zone those of UTC, and the driver knows the rest.
    """
    kinds = set(map(type, chain.from_iterable(rows)))
    others, bound = BOUND.get(dialect, (frozenset({dict}), _json_of_mapping))
    if kinds <= BOUND_BY_SQLITE or (others is not None and kinds.isdisjoint(others)):
        return rows
    done: list[Row] = []
    for at, row in enumerate(rows):
        try:
            done.append(tuple(map(bound, row)))
        except UNFIT as error:
            raise _bad(bound, row, names, target, at) from error
    return done


def _bad(form: Callable[[Any], Any], row: Row, names: Sequence[str], target: str, at: int) -> BadRecord:
    """What to say of a row of which a value has no form."""
    for value, name in zip(row, names, strict=True):
        try:
            form(value)
        except UNFIT as error:
            said = f"A record for {target} has a value in {name} that cannot be kept: {error}."
            return BadRecord(said, index=at)
    raise AssertionError("only called for a row that has such a value")


def _json_of_mapping(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else value


def _for_mysql(value: Any) -> Any:
    """Its drivers leave out the offset, with which the moment would be another one."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return _json_of_mapping(value)


def _for_sqlite(value: Any) -> Any:
    match value:
        case None | int() | float() | str() | bytes():
            return value
        case datetime():
            return value.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case Decimal() | UUID():
            return str(value)
        case dict() | list() | tuple():
            return msgspec.json.encode(value).decode()
        case _:
            raise TypeError(f"it is a {type(value).__name__}")


_MYSQL = (frozenset({dict, datetime}), _for_mysql)
BOUND: dict[str, tuple[frozenset[type] | None, Callable[[Any], Any]]] = {
    "sqlite": (None, _for_sqlite),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}
"""The types that have another form for the driver of a dialect, None for all it does not know, and that form."""
