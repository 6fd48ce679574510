"""A database that a test writes to, and how to ask it without the connector."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from teleporter_lab.connectors.sql import SqlAddressOptions, SqlConnector, SqlSinkOptions
from teleporter_lab.connectors.sql_database import Database

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.postgres import Postgres

GOODS = "CREATE TABLE IF NOT EXISTS goods (id BIGINT{key}, name TEXT, price DOUBLE PRECISION, raw {bytes})"


class Target:
    """A database with a table `goods`: PostgreSQL where there is one, else SQLite."""

    def __init__(self, path: Path, postgres: Postgres | None = None) -> None:
        self.kind = "sqlite" if postgres is None else "postgresql"
        self._path = path
        self._postgres = postgres
        url = postgres.url if postgres is not None else f"sqlite:///{path}"
        self.database = Database(SqlAddressOptions(url=url))

    def rows(self, query: str = "SELECT * FROM goods ORDER BY id") -> list[dict[str, Any]]:
        if self._postgres is not None:
            return self._postgres.rows(query) if self._postgres.there("goods") else []
        with closing(sqlite3.connect(self._path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def made(self, key: bool) -> list[str]:
        return [GOODS.format(key=" PRIMARY KEY" if key else "", bytes="BLOB" if self.kind == "sqlite" else "BYTEA")]

    def sink(self, **options: Any) -> Any:
        return SqlConnector.spec("sink").make(SqlSinkOptions(**{"table": "goods", **options}), self.database)


def written(target: Target, *batches: Any, **options: Any) -> list[dict[str, Any]]:
    sink = target.sink(**options)
    sink.open()
    try:
        for batch in batches:
            sink.write(batch)
    finally:
        sink.close()
    return target.rows()


def some(**columns: Any) -> Any:
    return pa.RecordBatch.from_pydict(columns)
