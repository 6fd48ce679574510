"""A database to read from, SQLite or PostgreSQL, filled without the connector."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.sql import SqlAddressOptions, SqlConnector, SqlSourceOptions
from teleporter_lab.connectors.sql_database import Database

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.postgres import Postgres

START = datetime(2024, 1, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


class Place:
    """A database with a table `events` of moments; `made` is a date-time on PostgreSQL and text on SQLite."""

    def __init__(self, path: Path, postgres: Postgres | None = None) -> None:
        self.kind = "sqlite" if postgres is None else "postgresql"
        self._path = path / "events.db"
        self.postgres = postgres
        self.run(f"CREATE TABLE events (id INTEGER, made {'TEXT' if postgres is None else 'TIMESTAMPTZ'}, name TEXT)")
        url = f"sqlite:///{self._path}" if postgres is None else postgres.url
        self.database = Database(SqlAddressOptions(url=url))

    def run(self, *statements: str) -> None:
        if self.postgres is not None:
            return self.postgres.run(*statements)
        with closing(sqlite3.connect(self._path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def add(self, *events: tuple[int, float]) -> None:
        """Rows of these ids, of so many minutes behind `START`."""
        suffix = "" if self.postgres is None else "+00"
        rows = ", ".join(f"({id_}, '{at(minutes):%Y-%m-%d %H:%M:%S}{suffix}', 'n{id_}')" for id_, minutes in events)
        self.run(f"INSERT INTO events VALUES {rows}")

    def record(self, id_: int, minutes: float) -> dict[str, Any]:
        made = f"{at(minutes):%Y-%m-%d %H:%M:%S}" if self.postgres is None else at(minutes)
        return {"id": id_, "made": made, "name": f"n{id_}"}

    def reader(self, roller: dict[str, Any] | None = None, **options: Any) -> Any:
        spec = SqlConnector.spec("source")
        assert spec.roller is not None
        made = None if roller is None else spec.roller.model_validate(roller)
        return spec.made(SqlSourceOptions.model_validate(options), self.database, made)

    def close(self) -> None:
        self.database.close()
