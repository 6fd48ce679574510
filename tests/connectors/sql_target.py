"""A database that a test writes to, and how to ask it without the connector."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.connectors.sql import SqlAddressOptions, SqlConnector, SqlSinkOptions
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.testing.calls import call

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.services.postgres import Postgres

GOODS = "CREATE TABLE IF NOT EXISTS goods (id BIGINT{key}, name TEXT, price DOUBLE PRECISION, raw {bytes})"


class Target:
    """A database with a table `goods`: PostgreSQL where there is one, else SQLite; `driver` is for its URL."""

    def __init__(self, path: Path, postgres: Postgres | None = None, driver: str = "postgresql") -> None:
        self.kind = "sqlite" if postgres is None else "postgresql"
        self._path = path
        self._postgres = postgres
        url = postgres.url.replace("postgresql", driver, 1) if postgres is not None else f"sqlite:///{path}"
        self.database = Database(SqlAddressOptions(url=url))

    def rows(self, query: str = "SELECT * FROM goods ORDER BY id") -> list[dict[str, Any]]:
        if self._postgres is not None:
            return self._postgres.rows(query) if self._postgres.there("goods") else []
        with closing(sqlite3.connect(self._path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def run(self, *statements: str) -> None:
        if self._postgres is not None:
            return self._postgres.run(*statements)
        with closing(sqlite3.connect(self._path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def made(self, key: bool) -> list[str]:
        return [GOODS.format(key=" PRIMARY KEY" if key else "", bytes="BLOB" if self.kind == "sqlite" else "BYTEA")]

    def sink(self, **options: Any) -> Any:
        return SqlConnector.spec("sink").make(SqlSinkOptions(**{"table": "goods", **options}), self.database)


DRIVERS = ["sqlite", *(pytest.param(name, marks=pytest.mark.postgres) for name in ("postgresql", "postgresql+psycopg"))]
"""The databases that a test is to be run on, and how they are written to."""


def target_of(request: pytest.FixtureRequest, path: Path) -> Target:
    """The target that a fixture with these parameters is asked for."""
    if request.param == "sqlite":
        return Target(path)
    return Target(path, request.getfixturevalue("postgres"), request.param)


@asynccontextmanager
async def opened(target: Target, **options: Any) -> AsyncGenerator[Any]:
    """A sink, open."""
    sink = target.sink(**options)
    try:
        await call(sink.open)
        yield sink
    finally:
        await call(sink.close)


async def written(target: Target, *batches: Any, **options: Any) -> list[dict[str, Any]]:
    """What the table holds when a sink has written `batches`."""
    async with opened(target, **options) as sink:
        for batch in batches:
            await call(sink.write, batch)
    return target.rows()


def some(**columns: Any) -> Any:
    return pa.RecordBatch.from_pydict(columns)
