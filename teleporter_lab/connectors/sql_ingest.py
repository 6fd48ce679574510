"""Writing columns to PostgreSQL by ADBC.

Owns the two ways: a binary COPY into the table where each column has just its type, else into a temporary table and
from there by one statement, in which the database converts. What a statement does to rows that are there is that of
`sql_dialect`, for a whole batch at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from teleporter_lab.connectors.record_batches import arrow, fitted
from teleporter_lab.connectors.sql_adbc import Adbc
from teleporter_lab.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.record_batches import Batch, Schema
    from teleporter_lab.connectors.sql import Mode, SqlSinkOptions
    from teleporter_lab.connectors.sql_database import Database

STAGE = "teleporter_stage"
"""The temporary table; each connection has its own."""

_COLUMNS = """
SELECT a.attname::text AS name, format_type(a.atttypid, -1) AS type, c.relkind::text AS kind
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped"""


class Ingest:
    """Writes batches to one table, each in one transaction."""

    def __init__(self, options: SqlSinkOptions, database: Database) -> None:
        self._options = options
        self._adbc = Adbc(database, autocommit=False)
        self._quote = database.quote
        self._schema, _, self._name = options.table.rpartition(".")
        self._table = ".".join(self._quote(part) for part in (self._schema, self._name) if part)
        self._types: dict[str, str] = {}
        self._copied = True
        self._staged: Schema = None

    def write(self, batch: Batch) -> None:
        """Stores the batch, or raises and stores nothing. Raises ConnectorError with what the database says."""
        try:
            with self._adbc.cursor(f"the batch for {self._options.table}, of which nothing is stored") as cursor:
                if not self._types:
                    self._look(cursor)
                exact = self._exact(batch) if self._copied and self._options.mode == "insert" else None
                if exact is None:
                    self._by_stage(cursor, batch)
                else:
                    cursor.adbc_ingest(self._name, exact, mode="append", db_schema_name=self._schema or None)
                self._adbc.commit()
        except BaseException:
            self._staged = None  # it is gone with the connection
            raise

    def close(self) -> None:
        self._adbc.close()

    def _look(self, cursor: Any) -> None:
        """The types of the table's columns, and whether it is one that COPY can write."""
        cursor.execute(_COLUMNS, (self._table,))
        found = cursor.fetch_arrow_table().to_pylist()
        self._types = {each["name"]: each["type"] for each in found}
        self._copied = all(each["kind"] in ("r", "p") for each in found)

    def _exact(self, batch: Batch) -> Batch | None:
        """The batch with just the types of the table, whose bytes COPY takes as they are; None where it has none."""
        fields: list[Any] = []
        for field in batch.schema:
            kind = _binary_type(self._types[field.name], field.type)
            if kind is None:
                return None
            fields.append((field.name, kind))
        try:
            return fitted(batch, arrow().schema(fields), self._options.table)
        except BadRecord:  # the database may know better, or says it in its own words
            return None

    def _by_stage(self, cursor: Any, batch: Batch) -> None:
        pa, names = arrow(), batch.schema.names
        place = "row" + "_" * max(map(len, names))  # longer than any name, so none of them
        columns = [*map(_stageable, batch.columns), pa.array(range(len(batch)), pa.int64())]
        rows = pa.RecordBatch.from_arrays(columns, names=[*names, place])
        mode = "append" if self._staged is not None and rows.schema.equals(self._staged) else "replace"
        cursor.adbc_ingest(STAGE, rows, mode=mode, temporary=True)
        cursor.execute(self._statement(names, place))
        cursor.execute(f"TRUNCATE {STAGE}")
        self._staged = rows.schema

    def _statement(self, names: Sequence[str], place: str) -> str:
        q, keys = self._quote, self._options.keys
        cast = ", ".join(f"CAST({q(name)} AS {self._types[name]}) AS {q(name)}" for name in names)
        rows = f"(SELECT {cast}, {place} FROM {STAGE}) AS s"
        if self._options.mode == "delete":
            return (
                f"DELETE FROM {self._table} AS t USING {rows} WHERE {_all(f't.{q(key)} = s.{q(key)}' for key in keys)}"
            )
        if self._options.mode == "upsert":
            rows = self._last_of_each_key(rows, place)
        columns = ", ".join(map(q, names))
        insert = f"INSERT INTO {self._table} ({columns}) SELECT {columns} FROM {rows} ORDER BY {place}"
        return (
            f"{insert}{_on_conflict(self._options.mode, [q(k) for k in keys], [q(n) for n in names if n not in keys])}"
        )

    def _last_of_each_key(self, rows: str, place: str) -> str:
        """A statement may not write a row twice; rows without a whole key are all different."""
        keys = ", ".join(map(self._quote, self._options.keys))
        none = " OR ".join(f"{self._quote(key)} IS NULL" for key in self._options.keys)
        alone = f"CASE WHEN {none} THEN {place} END"
        return f"(SELECT DISTINCT ON ({keys}, {alone}) * FROM {rows} ORDER BY {keys}, {alone}, {place} DESC) AS s"


def _all(conditions: Any) -> str:
    return " AND ".join(conditions)


def _on_conflict(mode: Mode, keys: Sequence[str], others: Sequence[str]) -> str:
    if mode == "insert":
        return ""
    target = f" ({', '.join(keys)})" if keys else ""
    if mode == "upsert" and others:
        return f" ON CONFLICT{target} DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in others)}"
    return f" ON CONFLICT{target} DO NOTHING"


def _binary_type(name: str, have: Any) -> Any:
    """The Arrow type whose bytes a column of that type takes; None where only the database can convert."""
    pa = arrow()
    if name == "numeric":
        return have if pa.types.is_decimal(have) else None
    exact = {
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "boolean": pa.bool_(),
        "text": pa.string(),
        "character varying": pa.string(),
        "bytea": pa.binary(),
        "date": pa.date32(),
        "time without time zone": pa.time64("us"),
        "timestamp without time zone": pa.timestamp("us"),
        "timestamp with time zone": pa.timestamp("us", "UTC"),
    }
    kind = exact.get(name)
    return kind if kind is not None and _alike(have, kind) else None


def _alike(have: Any, want: Any) -> bool:
    """Whether both are of one kind, so that a cast means the same here and in the database."""
    types = arrow().types
    if types.is_null(have):
        return True
    if types.is_timestamp(want):
        return types.is_timestamp(have) and (have.tz is None) == (want.tz is None)
    if types.is_string(want):
        inside = have.value_type if types.is_dictionary(have) else have
        return types.is_string(inside) or types.is_large_string(inside)
    kinds = (types.is_integer, types.is_floating, types.is_boolean, types.is_binary, types.is_date, types.is_time)
    return any(kind(have) and kind(want) for kind in kinds)


def _stageable(column: Any) -> Any:
    """A column that ADBC can write to a table that it makes; mappings and lists of lists as JSON."""
    pa, types = arrow(), arrow().types
    kind = column.type
    if types.is_uint64(kind):
        return column.cast(pa.decimal128(20, 0))
    if types.is_date64(kind):
        return column.cast(pa.date32())
    flat = types.is_list(kind) or types.is_large_list(kind)
    if types.is_dictionary(kind) or not types.is_nested(kind) or (flat and not types.is_nested(kind.value_type)):
        return column
    encode = msgspec.json.encode
    return pa.array([None if each is None else encode(each).decode() for each in column.to_pylist()], pa.string())
