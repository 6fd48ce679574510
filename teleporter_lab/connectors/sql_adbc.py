"""Databases by ADBC, which hands over columns as they are: PostgreSQL, and SQLite where the address asks for it.

Owns connections, their errors as one sentence, and the types of columns. Refuses to know tables; `sql_ingest` does.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.connectors import sqlite_file
from teleporter_lab.connectors.base import require
from teleporter_lab.connectors.record_batches import DECIMAL, arrow, arrow_type, fitted, one_of, shown
from teleporter_lab.connectors.sql_columns import page_size
from teleporter_lab.connectors.sql_cursor import distinct
from teleporter_lab.connectors.sql_keyset import stripped
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from teleporter_lab.connectors.csv_values import TypeName
    from teleporter_lab.connectors.record_batches import Batch, Schema
    from teleporter_lab.connectors.sql import SqlSourceOptions
    from teleporter_lab.connectors.sql_database import Database

_LOST = re.compile("no connection to the server|server closed the connection|terminating connection|SSL SYSCALL")
_SAID = re.compile(r"(?:ERROR|FATAL|PANIC):\s*(.+)")
_PREFIX = re.compile(r"^(?:[A-Z_]+: )?(?:\[\w+\] ?)?(?:Failed to \w+(?: \w+)*: )?")


class Adbc:
    """One connection, opened when it is first used, and anew after an error."""

    def __init__(self, database: Database, *, autocommit: bool) -> None:
        self._database = database
        self._autocommit = autocommit
        self._connection: Any = None
        self._noted = False

    @contextmanager
    def cursor(self, what: str) -> Generator[Any]:
        """A cursor. An error says that `what` was refused, and ends the connection: nothing uncommitted is stored."""
        try:
            with self._connected().cursor() as cursor:
                yield cursor
        except _errors() as error:
            self.close()
            raise self.refused(what, error) from error
        except BaseException:
            self.close()
            raise

    def commit(self) -> None:
        self._connection.commit()

    def close(self) -> None:
        """Ends the connection; a second call does nothing."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        finally:
            if self._noted:
                self._noted = False
                sqlite_file.give_back(self._database.file or "", sqlite_file.ADBC)

    def refused(self, what: str, error: Exception) -> ConnectorError:
        """`error` as one sentence; AddressUnreachable when the connection is lost, BadRecord when values are wrong."""
        state = str(getattr(error, "sqlstate", "") or "")
        lost = state.startswith(("08", "57P")) or _LOST.search(str(error)) is not None
        kind, verb = (AddressUnreachable, "went away during") if lost else (ConnectorError, "refused")
        if state.startswith(("22", "23")):
            kind = BadRecord
        return kind(f"The database {self._database} {verb} {what}: {self._reason(error)}.")

    def _connected(self) -> Any:
        if self._connection is None:
            try:
                self._connection = self._connect()
            except _errors() as error:
                self.close()
                raise AddressUnreachable(
                    f"The database {self._database} does not answer: {self._reason(error)}."
                ) from error
        return self._connection

    def _connect(self) -> Any:
        database = self._database
        if database.file is None:
            driver = require("adbc_driver_postgresql.dbapi", "adbc")
            return driver.connect(database.libpq_uri(), autocommit=self._autocommit)
        driver = require("adbc_driver_sqlite.dbapi", "adbc")
        database.close()  # drops what is kept for later use
        sqlite_file.take(database.file, sqlite_file.ADBC)
        self._noted = True
        connection = driver.connect(database.file, autocommit=self._autocommit)
        with connection.cursor() as cursor:
            for name, value in database.pragmas.items():
                cursor.execute(f"PRAGMA {name}={value}")
                cursor.fetchall()
        return connection

    def _reason(self, error: Exception) -> str:
        said = str(error).strip() or type(error).__name__
        found = _SAID.search(said)
        return self._database.line(found[1] if found else _PREFIX.sub("", said, count=1))


def ping(database: Database) -> None:
    """Connects and asks. Raises AddressUnreachable."""
    adbc = Adbc(database, autocommit=True)
    try:
        with adbc.cursor("a SELECT") as cursor:
            cursor.execute("SELECT 1")
    finally:
        adbc.close()


class AdbcFetch:
    """Fetches a query as columns. Types: those of the database; of SQLite, which has none, those of the first page."""

    def __init__(self, options: SqlSourceOptions, database: Database) -> None:
        self._options = options
        self._database = database
        self._adbc = Adbc(database, autocommit=True)
        self._types = ResultTypes(options.types)
        self._inner = stripped(options.query)
        self._key = database.quote(str(options.key)) if options.key else ""

    def page(self, after: Any, count: int) -> Batch:
        if after is not None and self._types.schema is None and self._database.file is not None:
            self._ask(*self._page(None, count))  # so that a stream which goes on has the types that it began with
        return self._ask(*self._page(after, count))

    def keys(self, after: Any, count: int) -> list[Any]:
        with self._adbc.cursor("the query") as cursor:
            sql, parameters = self._page(after, count, self._key)
            cursor.execute(sql, parameters or None)
            return cursor.fetch_arrow_table().column(0).to_pylist()

    def whole(self) -> Generator[Batch]:
        with self._adbc.cursor("the query") as cursor:
            self._prepare(cursor)
            cursor.execute(self._options.query)
            reader = cursor.fetch_record_batch()
            while (batch := next(reader, None)) is not None:
                yield self._fit(batch)

    def close(self) -> None:
        self._adbc.close()

    def _page(self, after: Any, count: int, what: str = "*") -> tuple[str, tuple[Any, ...]]:
        """A page as SQL and parameters. Whole numbers stand in the text: without parameters PostgreSQL copies, which is
        twice as fast."""
        behind, parameters = "", ()
        if isinstance(after, int) and self._database.file is None:
            behind = f" WHERE {self._key} > {after}"
        elif after is not None:
            behind = f" WHERE {self._key} > {'$1' if self._database.file is None else '?'}"
            parameters = (after,)
        return f"SELECT {what} FROM ({self._inner}\n) AS page{behind} ORDER BY {self._key} LIMIT {count}", parameters

    def _ask(self, sql: str, parameters: tuple[Any, ...]) -> Batch:
        with self._adbc.cursor("the query") as cursor:
            self._prepare(cursor)
            cursor.execute(sql, parameters or None)
            page = one_of(cursor.fetch_arrow_table(), "the query")
        return self._fit(page)

    def _prepare(self, cursor: Any) -> None:
        if self._database.file is not None:  # types are those of so many rows, and others are refused
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(page_size(self._options) + 1)})

    def _fit(self, batch: Batch) -> Batch:
        if self._types.schema is None:
            distinct(batch.schema.names)
            lookup = self._first if self._database.file is not None else None
            self._types.settle(batch, {name: lookup(name) for name in _empty(batch)} if lookup else {})
        return self._types.fit(batch)

    def _first(self, name: str) -> Any:
        """The type of the first value of a column that is no null, wherever it stands; None when there is none."""
        quoted = self._database.quote(name)
        other = Adbc(self._database, autocommit=True)
        try:
            with other.cursor("the query") as cursor:
                cursor.execute(f"SELECT {quoted} FROM ({self._inner}\n) AS page WHERE {quoted} IS NOT NULL LIMIT 1")
                found = cursor.fetch_arrow_table()
        finally:
            other.close()
        return found.schema.types[0] if found.num_rows else None


class ResultTypes:
    """The one schema of all batches of a query."""

    def __init__(self, types: Mapping[str, TypeName]) -> None:
        self._types = types
        self.schema: Schema = None

    def settle(self, batch: Batch, known: Mapping[str, Any]) -> None:
        """Takes the schema from the first batch; `known` are types of columns of which it holds nulls only."""
        pa = arrow()
        for name in self._types:
            if name not in batch.schema.names:
                raise ConnectorError(f"The query has no column {name}; it has {', '.join(batch.schema.names)}.")
        fields: list[Any] = []
        for field in batch.schema:
            kind = pa.string() if field.name in known else _plain_type(field)
            kind = known.get(field.name) or kind
            given = self._types.get(field.name)
            if given is not None:
                kind = _given(given, kind, batch.column(field.name))
            fields.append((field.name, kind))
        self.schema = pa.schema(fields)

    def fit(self, batch: Batch) -> Batch:
        """`batch` in that schema. Raises BadRecord for a value that it cannot hold."""
        pa = arrow()
        columns = [_storage(column, field.type) for column, field in zip(batch.columns, self.schema, strict=True)]
        plain = pa.RecordBatch.from_arrays(columns, names=self.schema.names)
        try:
            return fitted(plain, self.schema, "the query")
        except BadRecord as error:
            raise BadRecord(f"{error.message} The columns are {shown(self.schema)}; name others in `types`.") from error


def _plain_type(field: Any) -> Any:
    """The type of a column of PostgreSQL. Raises ConnectorError for one that has no form outside of it."""
    pa, metadata = arrow(), cast("dict[bytes, bytes]", field.metadata or {})
    name = metadata.get(b"POSTGRESQL:type", b"").decode()
    if name == "numeric":
        modifier = int(metadata.get(b"POSTGRESQL:typmod", b"-1"))
        digits = (((modifier - 4) >> 16) & 0xFFFF, (modifier - 4) & 0x7FF) if modifier >= 4 else DECIMAL
        return pa.decimal128(*(digits if digits[0] <= DECIMAL[0] and digits[1] <= digits[0] else DECIMAL))
    if name in ("json", "jsonb"):
        return pa.string()
    if name == "money" or _opaque(field.type):
        raise ConnectorError(
            f"The column {field.name} of the query is {name or field.type}, which columns cannot hold; cast it in the "
            f"query, for instance {field.name}::text."
        )
    return field.type


def _opaque(kind: Any) -> bool:
    """Whether a type, or one inside it, is known to PostgreSQL only."""
    pa = arrow()
    if getattr(kind, "extension_name", "") == "arrow.opaque":
        return True
    return pa.types.is_nested(kind) and any(_opaque(kind.field(at).type) for at in range(kind.num_fields))


def _storage(column: Any, kind: Any) -> Any:
    """A column without its extension type, where another type is wanted; nulls alone, which have any type."""
    if column.null_count == len(column):
        return arrow().nulls(len(column), kind)
    return column.storage if hasattr(column, "storage") and not column.type.equals(kind) else column


def _given(kind: TypeName, found: Any, column: Any) -> Any:
    """The Arrow type behind a name; times that have a zone are instants."""
    zone = getattr(found, "tz", None)
    if kind == "datetime" and zone is None and arrow().types.is_string(column.type):
        zone = _zone_of_text(next((text for text in column.to_pylist() if text is not None), ""))
    return arrow_type(kind, "UTC" if zone else None)


def _zone_of_text(text: str) -> str | None:
    try:
        return "UTC" if datetime.fromisoformat(text).tzinfo is not None else None
    except ValueError:
        return None


def _empty(batch: Batch) -> Sequence[str]:
    """The columns of which there are nulls only."""
    return [
        name for name, column in zip(batch.schema.names, batch.columns, strict=True) if column.null_count == len(batch)
    ]


def _errors() -> tuple[type[Exception], ...]:
    manager = require("adbc_driver_manager", "adbc")
    return (manager.Error, arrow().ArrowException, OSError)
