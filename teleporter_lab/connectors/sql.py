"""SQL databases: the forms and the declaration.

Owns the options. Refuses to import SQLAlchemy, so that a form costs nothing; `sql_database`, `sql_source` and
`sql_sink` are imported when something is made.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Field, StringConstraints, field_validator, model_validator

from teleporter_lab.config.duration import Duration
from teleporter_lab.config.secret import Secret
from teleporter_lab.connectors.base import BatchOptions, Connector, Options, Spec, address_of
from teleporter_lab.connectors.csv_values import TypeName
from teleporter_lab.connectors.rollers.lag import Lag
from teleporter_lab.connectors.rollers.source_roller import KeyName, SourceRoller
from teleporter_lab.connectors.rollers.template import sql_parts
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from teleporter_lab.connectors.sql_columns import Fetch, SqlColumnPages, SqlColumnRows
    from teleporter_lab.connectors.sql_database import Database
    from teleporter_lab.connectors.sql_follow import SqlFollow
    from teleporter_lab.connectors.sql_postgres_sink import PostgresSink
    from teleporter_lab.connectors.sql_rolled import SqlRolled
    from teleporter_lab.connectors.sql_sink import SqlSink
    from teleporter_lab.connectors.sql_source import SqlPages, SqlRows

Mode = Literal["insert", "upsert", "insertIgnore", "updateElseInsert", "delete"]
UPDATING: tuple[Mode, ...] = ("upsert", "updateElseInsert")
"""Modes that overwrite columns of rows that are there."""

PragmaName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]
PragmaValue = int | Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


def _renamed(value: Any, names: dict[str, str]) -> Any:
    """`value` with fields of the ancestor, which had other names, under those of today; blank ones are left out."""
    if not isinstance(value, dict):
        return value
    fields = dict(cast("dict[str, Any]", value))
    for old, new in names.items():
        if old in fields and new not in fields and (given := fields.pop(old)) not in (None, ""):
            fields[new] = given
    return fields


class SqlAddressOptions(Options):
    """The `client` block of a sql address."""

    @model_validator(mode="before")
    @classmethod
    def _of_the_ancestor(cls, value: Any) -> Any:
        return _renamed(value, {"jdbcUrl": "url", "username": "user", "maximumPoolSize": "poolSize"})

    url: str = Field(
        min_length=1,
        repr=False,
        description="`postgresql://host/db`, `mysql://host/db`, `sqlite:////folder/file.db`, or any SQLAlchemy URL.",
    )
    user: str | None = Field(default=None, description="User; empty: the one in the URL.")
    password: Secret | None = Field(default=None, description="Password, best as `${env:NAME}`.")
    pool_size: int = Field(default=5, ge=1, le=200, description="Connections kept open at most.")
    pragmas: dict[PragmaName, PragmaValue] = Field(
        default_factory=dict[PragmaName, PragmaValue],
        description="SQLite only: settings of each connection beside journal_mode WAL and busy_timeout 10000.",
    )
    adbc: bool = Field(
        default=False,
        description="SQLite only: read columns by ADBC, twice as fast, if nothing else in this process uses the file.",
    )


class SqlSourceOptions(Options):
    """The `client` block of a sql source."""

    query: str = Field(min_length=1, description="The SELECT to read; with `key`, without ORDER BY and LIMIT.")
    key: KeyName | Annotated[list[KeyName], Field(min_length=1, max_length=16)] | None = Field(
        default=None,
        description="A column, or columns together, unique and never null: read page by page, in its order.",
    )
    page_size: int = Field(
        default=2000,
        ge=1,
        le=1_000_000,
        description="Rows of a page, which is held in memory; of columns 20,000 if empty.",
    )
    follow: bool = Field(default=False, description="Look for new rows behind the key for ever.")
    interval: Duration = Field(
        default=1.0, description="With `follow`: how long to wait where there are none, such as 1.seconds."
    )
    lag: Lag = Field(
        default=0,
        description="How late a row may be committed behind a greater key, which is read again: 1000 ids, 1.minutes.",
    )
    types: dict[str, TypeName] = Field(
        default_factory=dict[str, TypeName],
        description="Columns only: types that the database does not tell or that should be others, by column.",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_the_ancestor(cls, value: Any) -> Any:
        return _renamed(value, {"sql": "query"})

    @field_validator("query")
    @classmethod
    def _with_variables(cls, query: str) -> str:
        sql_parts(query)
        return query

    @field_validator("interval")
    @classmethod
    def _a_pause(cls, seconds: float) -> float:
        if not 0.01 <= seconds < math.inf:
            raise ValueError("Must be a time of 10.millis at least")
        return seconds

    @model_validator(mode="after")
    def _by_key(self) -> SqlSourceOptions:
        if self.key is None and (self.follow or self.lag):
            what = "follow" if self.follow else "lag"
            raise ValueError(f"With {what} a key is needed, behind which rows are looked for")
        if isinstance(self.key, list) and len(set(self.key)) < len(self.key):
            raise ValueError("The key must name each column once")
        return self


class SqlSinkOptions(BatchOptions):
    """The `client` block of a sql sink."""

    table: str = Field(min_length=1, description="Table, or `schema.table`.")
    mode: Mode = Field(
        default="insert",
        description=(
            "Add rows, add or replace them by `keys`, add those that are not there, the same as upsert without a "
            "unique index, or delete by `keys`."
        ),
    )
    keys: list[str] = Field(
        default_factory=list[str],
        description="Columns that name a row; upsert and insertIgnore need a unique index on them.",
    )
    columns: list[str] | None = Field(
        default=None, min_length=1, description="Fields to write; empty: those of the first record, and no others."
    )
    update: list[str] | None = Field(
        default=None,
        min_length=1,
        description="upsert and updateElseInsert: columns overwritten in a row that is there; empty: all but the keys.",
    )
    setup: list[str] = Field(
        default_factory=list[str], description="Statements run at the start, such as CREATE TABLE IF NOT EXISTS."
    )
    connections: int | None = Field(
        default=None,
        ge=1,
        le=16,
        description="PostgreSQL: batches written at once, those of one key in order; empty: 2 with `keys`, else 1.",
    )
    exactly_once: bool = Field(
        default=False, description="Keep the position of the source in the transaction of the records."
    )
    position_table: str = Field(
        default="teleporter_position", min_length=1, description="Where `exactlyOnce` keeps it; made when missing."
    )

    @model_validator(mode="after")
    def _keyed(self) -> SqlSinkOptions:
        if self.mode in (*UPDATING, "delete") and not self.keys:
            raise ValueError(f"keys must name the columns by which {self.mode} finds a row")
        absent = [key for key in self.keys if self.columns is not None and key not in self.columns]
        if absent and self.mode != "delete":
            raise ValueError(f"columns must contain the key {absent[0]}")
        return self

    @model_validator(mode="after")
    def _updating(self) -> SqlSinkOptions:
        if self.update is not None and self.mode not in UPDATING:
            raise ValueError(f"update is for upsert and updateElseInsert, not for {self.mode}")
        for name in self.update or ():
            if name in self.keys:
                raise ValueError(f"update must not contain the key {name}")
            if self.columns is not None and name not in self.columns:
                raise ValueError(f"columns must contain {name}, which update names")
        return self

    @model_validator(mode="after")
    def _one_at_a_time(self) -> SqlSinkOptions:
        if self.exactly_once and (self.connections or 1) > 1:
            raise ValueError("connections must be 1 with exactlyOnce, which has one transaction after the other")
        return self


def _address(options: SqlAddressOptions, _: object) -> Database:
    from teleporter_lab.connectors.sql_database import Database

    return Database(options)


def _source(options: SqlSourceOptions, address: object) -> SqlPages | SqlRows | SqlFollow:
    from teleporter_lab.connectors.sql_database import Database
    from teleporter_lab.connectors.sql_readers import reader

    return reader(options, address_of(Database, address, SqlConnector.category))


def _rolled(
    options: SqlSourceOptions, address: object, roller: SourceRoller
) -> SqlPages | SqlRows | SqlFollow | SqlRolled:
    from teleporter_lab.connectors.sql_database import Database
    from teleporter_lab.connectors.sql_readers import rolled_reader

    return rolled_reader(options, address_of(Database, address, SqlConnector.category), roller)


def _columns(options: SqlSourceOptions, address: object) -> SqlColumnPages | SqlColumnRows:
    from teleporter_lab.connectors.sql_columns import SqlColumnPages, SqlColumnRows
    from teleporter_lab.connectors.sql_database import Database

    database = address_of(Database, address, SqlConnector.category)
    if options.follow or options.lag or isinstance(options.key, list):
        raise ConnectorError("follow, lag and a key of several columns are for rows: leave them out, or columnar=True.")
    fetch = _fetch(options, database)
    return SqlColumnPages(options, database, fetch) if options.key else SqlColumnRows(options, database, fetch)


def _distance(start: Any, end: Any) -> int | None:
    """Rows from one position to another in the same result, window or page. Keys have gaps, so they do not tell."""
    for count in ("row", "rows"):
        first, last = _place({count: 0} if start is None and count == "row" else start), _place(end)
        if count in first and count in last and {**first, count: 0} == {**last, count: 0}:
            return int(last[count]) - int(first[count])
    return None


def _place(position: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", position) if isinstance(position, dict) else {}


def _fetch(options: SqlSourceOptions, database: Database) -> Fetch:
    if database.adbc:
        from teleporter_lab.connectors.sql_adbc import AdbcFetch

        return AdbcFetch(options, database)
    from teleporter_lab.connectors.sql_rows_to_columns import DriverFetch

    return DriverFetch(options, database)


def _sink(options: SqlSinkOptions, address: object) -> PostgresSink | SqlSink:
    from teleporter_lab.connectors.sql_database import Database

    database = address_of(Database, address, SqlConnector.category)
    if database.asyncpg:
        from teleporter_lab.connectors.sql_postgres_sink import PostgresSink

        return PostgresSink(options, database)
    from teleporter_lab.connectors.sql_sink import SqlSink

    return SqlSink(options, database)


class SqlConnector(Connector):
    """SQL databases."""

    category = "sql"
    aliases = ("jdbc", "mysql", "hive")
    description = "SQL databases through SQLAlchemy: SQLite; PostgreSQL, MySQL and MariaDB with their extras."
    needs_address = True
    address = Spec(SqlAddressOptions, _address)
    source = Spec(
        SqlSourceOptions,
        _source,
        guarantee=(
            "With `key`, resumes exactly behind any row; with `lag` it reads the overlap again. Without, reads the "
            "whole result once: with ORDER BY over unique columns it resumes by the number of rows, otherwise it "
            "starts over. With a roller it resumes in its window the same way."
        ),
        blocking=True,  # readers that wait say otherwise
        columnar=_columns,
        roller=SourceRoller,
        rolled=_rolled,
        distance=_distance,
    )
    sink = Spec(
        SqlSinkOptions,
        _sink,
        guarantee=(
            "A batch is one transaction. Written again, it changes nothing with upsert, insertIgnore, updateElseInsert "
            "and delete; insert adds its rows again, or fails where a unique index forbids it. With exactlyOnce the "
            "position of the source is kept in the same transaction, and no batch is written twice."
        ),
        blocking=True,  # where asyncpg writes, the object says otherwise
        columnar=_sink,
        exactly_once="any",
    )
