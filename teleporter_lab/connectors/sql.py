"""SQL databases: the forms and the declaration.

Owns the options. Refuses to import SQLAlchemy, so that a form costs nothing; `sql_database`, `sql_source` and
`sql_sink` are imported when something is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from teleporter_lab.config.secret import Secret
from teleporter_lab.connectors.base import BatchOptions, Connector, Options, Spec, address_of
from teleporter_lab.connectors.csv_values import TypeName

if TYPE_CHECKING:
    from teleporter_lab.connectors.sql_columns import Fetch, SqlColumnPages, SqlColumnRows
    from teleporter_lab.connectors.sql_database import Database
    from teleporter_lab.connectors.sql_sink import SqlSink
    from teleporter_lab.connectors.sql_source import SqlPages, SqlRows

Mode = Literal["insert", "upsert", "insertIgnore", "delete"]
PragmaName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]
PragmaValue = int | Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


class SqlAddressOptions(Options):
    """The `client` block of a sql address."""

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
    key: str | None = Field(
        default=None,
        min_length=1,
        description="A column that is unique and never null: read page by page, in its order.",
    )
    page_size: int = Field(
        default=2000,
        ge=1,
        le=1_000_000,
        description="Rows of a page, which is held in memory; of columns 20,000 if empty.",
    )
    types: dict[str, TypeName] = Field(
        default_factory=dict[str, TypeName],
        description="Columns only: types that the database does not tell or that should be others, by column.",
    )


class SqlSinkOptions(BatchOptions):
    """The `client` block of a sql sink."""

    table: str = Field(min_length=1, description="Table, or `schema.table`.")
    mode: Mode = Field(
        default="insert",
        description="Add rows, add or replace them by `keys`, add those that are not there, or delete by `keys`.",
    )
    keys: list[str] = Field(
        default_factory=list[str], description="Columns that name a row; the table has a unique index on them."
    )
    columns: list[str] | None = Field(
        default=None, min_length=1, description="Fields to write; empty: those of the first record, and no others."
    )
    setup: list[str] = Field(
        default_factory=list[str], description="Statements run at the start, such as CREATE TABLE IF NOT EXISTS."
    )

    @model_validator(mode="after")
    def _keyed(self) -> SqlSinkOptions:
        if self.mode in ("upsert", "delete") and not self.keys:
            raise ValueError(f"keys must name the columns by which {self.mode} finds a row")
        absent = [key for key in self.keys if self.columns is not None and key not in self.columns]
        if absent and self.mode != "delete":
            raise ValueError(f"columns must contain the key {absent[0]}")
        return self


def _address(options: SqlAddressOptions, _: object) -> Database:
    from teleporter_lab.connectors.sql_database import Database

    return Database(options)


def _source(options: SqlSourceOptions, address: object) -> SqlPages | SqlRows:
    from teleporter_lab.connectors.sql_database import Database
    from teleporter_lab.connectors.sql_source import SqlPages, SqlRows

    database = address_of(Database, address, SqlConnector.category)
    return SqlPages(options, database) if options.key else SqlRows(options, database)


def _columns(options: SqlSourceOptions, address: object) -> SqlColumnPages | SqlColumnRows:
    from teleporter_lab.connectors.sql_columns import SqlColumnPages, SqlColumnRows
    from teleporter_lab.connectors.sql_database import Database

    database = address_of(Database, address, SqlConnector.category)
    fetch = _fetch(options, database)
    return SqlColumnPages(options, database, fetch) if options.key else SqlColumnRows(options, database, fetch)


def _fetch(options: SqlSourceOptions, database: Database) -> Fetch:
    if database.adbc:
        from teleporter_lab.connectors.sql_adbc import AdbcFetch

        return AdbcFetch(options, database)
    from teleporter_lab.connectors.sql_rows_to_columns import DriverFetch

    return DriverFetch(options, database)


def _sink(options: SqlSinkOptions, address: object) -> SqlSink:
    from teleporter_lab.connectors.sql_database import Database
    from teleporter_lab.connectors.sql_sink import SqlSink

    return SqlSink(options, address_of(Database, address, SqlConnector.category))


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
            "With `key`, resumes exactly behind any row. Without, reads the whole result once: with ORDER BY over "
            "unique columns it resumes by the number of rows, otherwise it starts over."
        ),
        blocking=True,
        columnar=_columns,
    )
    sink = Spec(
        SqlSinkOptions,
        _sink,
        guarantee=(
            "A batch is one transaction. Written again, it changes nothing with upsert, insertIgnore and delete; "
            "insert adds its rows again, or fails where a unique index forbids it."
        ),
        blocking=True,
        columnar=_sink,
    )
