"""What a batch looks like to each database: the statement, and values its driver can bind.

Owns SQL text and value forms, purely. Refuses to connect. Statements come from SQLAlchemy's own constructs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from sqlalchemy import and_, bindparam, column, delete, insert, table
from sqlalchemy.dialects import postgresql, sqlite

from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Dialect, TableClause
    from sqlalchemy.sql.dml import Delete, Insert

    from teleporter_lab.connectors.columns import Row
    from teleporter_lab.connectors.sql import Mode

CONFLICT: dict[str, Callable[[TableClause], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""Dialects with ON CONFLICT."""

BOUND_BY_SQLITE = frozenset({NoneType, int, float, str, bytes, bool})


@dataclass(frozen=True)
class Statement:
    """SQL text and the names of its parameters, in order."""

    text: str
    names: tuple[str, ...]
    positional: bool

    def parameters(self, rows: list[Row]) -> Sequence[Any]:
        """`rows` in the form the driver wants."""
        return rows if self.positional else [dict(zip(self.names, row, strict=True)) for row in rows]


def statement(dialect: Dialect, mode: Mode, target: str, columns: Sequence[str], keys: Sequence[str]) -> Statement:
    """What writes one row of `columns` (of `keys` with delete). Raises ConnectorError where the dialect cannot."""
    schema, _, name = target.rpartition(".")
    parts = table(name, *map(column, columns), schema=schema or None)
    built = _delete(parts, keys) if mode == "delete" else _insert(dialect, mode, parts, keys)
    compiled: Any = built.compile(dialect=dialect)
    renamed: dict[str, str] = compiled.escaped_bind_names
    order: tuple[str, ...] = tuple(compiled.positiontup) if compiled.positional else tuple(columns)
    return Statement(str(compiled), tuple(renamed.get(each, each) for each in order), compiled.positional)


def _delete(target: TableClause, keys: Sequence[str]) -> Delete:
    return delete(target).where(and_(*(target.c[key] == bindparam(key) for key in keys)))


def _insert(dialect: Dialect, mode: Mode, target: TableClause, keys: Sequence[str]) -> Insert:
    if mode == "insert":
        return insert(target)
    make = CONFLICT.get(dialect.name)
    if make is None:
        raise ConnectorError(f"A {dialect.name} sink cannot {mode}; it can insert and delete.")
    adding = make(target)
    others = {each.name: adding.excluded[each.name] for each in target.c if each.name not in keys}
    if mode == "upsert" and others:
        return adding.on_conflict_do_update(index_elements=list(keys), set_=others)
    return adding.on_conflict_do_nothing(index_elements=list(keys) or None)


def bindable(dialect: str, rows: list[Row], names: Sequence[str], target: str) -> list[Row]:
    """`rows` with every value in a form that the driver takes. Raises BadRecord naming a field that has none.

    SQLite: dates and times become ISO text, decimals and UUIDs text, mappings and lists JSON. Elsewhere mappings become
    JSON and the driver knows the rest.
    """
    kinds = set(map(type, chain.from_iterable(rows)))
    if kinds <= BOUND_BY_SQLITE or (dialect != "sqlite" and dict not in kinds):
        return rows
    bound = _for_sqlite if dialect == "sqlite" else _json_of_mapping
    return [tuple(_bound(bound, value, name, target) for value, name in zip(row, names, strict=True)) for row in rows]


def _bound(form: Callable[[Any], Any], value: Any, name: str, target: str) -> Any:
    try:
        return form(value)
    except TypeError as error:
        raise BadRecord(f"A record for {target} has a value in {name} that cannot be kept: {error}.") from error


def _json_of_mapping(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else value


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
