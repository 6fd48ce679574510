"""The rows of any SQLAlchemy driver as columns.

Owns the types that the columns of a query have where the database does not tell them: those of its first page.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import column, literal_column, select, text
from sqlalchemy.exc import SQLAlchemyError

from teleporter_lab.connectors.csv_values import CONVERT, UNFIT, TypeName
from teleporter_lab.connectors.record_batches import Misfit, arrow, arrow_type, batch_of, inferred, one_of, schema_of
from teleporter_lab.connectors.sql_columns import page_size
from teleporter_lab.connectors.sql_cursor import AS_IT_IS, names_of
from teleporter_lab.connectors.sql_keyset import escaped
from teleporter_lab.connectors.sql_source import statements
from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from sqlalchemy import ColumnElement, Connection, CursorResult, Select

    from teleporter_lab.connectors.record_batches import Batch, Schema
    from teleporter_lab.connectors.sql import SqlSourceOptions
    from teleporter_lab.connectors.sql_database import Database

SOME = 2048
"""Rows that are Python objects at the same time: more of them are slower, each."""


class DriverFetch:
    """Fetches rows by SQLAlchemy and makes columns of them; the types are those of the first page of the query."""

    def __init__(self, options: SqlSourceOptions, database: Database) -> None:
        self._options = options
        self._database = database
        self._schema: Schema = None
        self._open: tuple[Connection, CursorResult[Any]] | None = None

    def page(self, after: Any, count: int) -> Batch:
        first, behind = statements(self._options.query, cast("str", self._options.key))
        with self._database.connect("the query") as connection:
            if after is not None and self._schema is None:
                self._look(connection, first, count)
            wanted = {"count": count} if after is None else {"count": count, "after_0": after}
            result = connection.execute(first if after is None else behind, wanted)
            return self._taken(names_of(result), result, count, connection)

    def keys(self, after: Any, count: int) -> list[Any]:
        key = cast("str", self._options.key)
        first, behind = statements(self._options.query, key)
        wanted = {"count": count} if after is None else {"count": count, "after_0": after}
        with self._database.connect("the query") as connection:
            rows = connection.execute(first if after is None else behind, wanted)
            return [row[key] for row in rows.mappings()]

    def whole(self) -> Generator[Batch]:
        connection = self._database.acquire()
        size = page_size(self._options)
        try:
            streaming = connection.execution_options(stream_results=True, max_row_buffer=size)
            result = streaming.exec_driver_sql(self._options.query, execution_options=AS_IT_IS)
            self._open = connection, result
            names = names_of(result)
        except SQLAlchemyError as error:
            connection.close()
            raise self._database.refused("the query", error) from error
        return self._batches(names, result, size)

    def close(self) -> None:
        if self._open is not None:
            connection, result = self._open
            self._open = None
            result.close()
            connection.close()

    def _batches(self, names: Sequence[str], result: CursorResult[Any], size: int) -> Generator[Batch]:
        while self._open is not None:
            try:
                with self._beside(self._open[0]) as free:
                    batch = self._taken(names, result, size, free)
            except SQLAlchemyError as error:
                raise self._database.refused("the query", error) from error
            if not len(batch):
                return
            yield batch

    @contextmanager
    def _beside(self, connection: Connection) -> Generator[Connection]:
        """A connection for a look at the types, while rows come by `connection`; SQLite's can do both."""
        if self._schema is not None or self._database.backend == "sqlite":
            yield connection
        else:
            with self._database.connect("the query") as free:
                yield free

    def _taken(self, names: Sequence[str], result: CursorResult[Any], count: int, connection: Connection) -> Batch:
        """The next rows, `count` at most."""
        if self._schema is None:
            return self._batch(names, result.fetchmany(count), connection)
        parts: list[Batch] = []
        while count > 0 and (rows := result.fetchmany(min(count, SOME))):
            parts.append(self._batch(names, rows, connection))
            count -= len(rows)
        return one_of(arrow().Table.from_batches(parts, self._schema), "the query")

    def _look(self, connection: Connection, first: Select[Any], count: int) -> None:
        """Looks at the first page of the query, so that a stream which goes on has the types that it began with."""
        result = connection.execute(first, {"count": count})
        names, rows = names_of(result), result.fetchall()
        self._schema = self._typed(names, [list(map(itemgetter(at), rows)) for at in range(len(names))], connection)

    def _batch(self, names: Sequence[str], rows: Sequence[Any], connection: Connection) -> Batch:
        columns = [list(map(itemgetter(at), rows)) for at in range(len(names))]
        if self._schema is None:
            self._schema = self._typed(names, columns, connection)
        types = self._options.types
        if types:
            columns = [_values(types.get(name), each, name) for name, each in zip(names, columns, strict=True)]
        try:
            return batch_of(columns, self._schema)
        except Misfit as misfit:
            raise BadRecord(f"A row of the query does not fit: {misfit}; name the type in `types`.") from misfit

    def _typed(self, names: Sequence[str], columns: Sequence[list[Any]], connection: Connection) -> Schema:
        types = self._options.types
        for name in types:
            if name not in names:
                raise ConnectorError(f"The query has no column {name}; it has {', '.join(names)}.")
        return schema_of(
            {
                name: _given(types[name], each) if name in types else self._found(name, each, connection)
                for name, each in zip(names, columns, strict=True)
            }
        )

    def _found(self, name: str, values: Sequence[Any], connection: Connection) -> Any:
        """The type of the values; where all are null that of the first one that is not, wherever it stands."""
        try:
            kind = inferred(values)
            if arrow().types.is_null(kind):
                kind = inferred([self._first(name, connection)])
        except ValueError as error:
            raise ConnectorError(
                f"The column {name} of the query has values of several types: {error}; name one in `types`."
            ) from error
        return kind

    def _first(self, name: str, connection: Connection) -> Any:
        one: ColumnElement[Any] = column(name)
        inner = escaped(self._options.query)
        source = text(f"({inner}\n) AS page")
        found = select(cast("ColumnElement[Any]", literal_column("*"))).select_from(source).where(one.is_not(None))
        row = connection.execute(found.limit(1)).mappings().first()
        return None if row is None else row[name]


def _given(kind: TypeName, values: Sequence[Any]) -> Any:
    """The Arrow type behind a name; times that have a zone are instants."""
    if kind != "datetime":
        return arrow_type(kind)
    for value in values:
        with suppress(BadRecord):  # told when its row is read
            first = _values(kind, [value], "")[0]
            if first is not None:
                return arrow_type(kind, "UTC" if isinstance(first, datetime) and first.tzinfo is not None else None)
    return arrow_type(kind)


def _values(kind: TypeName | None, values: list[Any], name: str) -> list[Any]:
    """Values of a column whose type is configured, in the form that it has in Python."""
    if kind is None:
        return values
    try:
        return [None if value is None else _value(kind, value) for value in values]
    except UNFIT as error:
        raise BadRecord(f"A row of the query has a value in {name} that is no {kind}: {error}.") from error


def _value(kind: TypeName, value: Any) -> Any:
    if isinstance(value, str):
        return value if kind == "text" else CONVERT[kind](value)
    if kind == "text":
        return str(value)
    if kind == "decimal":
        return Decimal(str(value))
    return bool(value) if kind == "bool" and value in (0, 1) else value
