"""How far a stream has come, kept in the database of its sink.

Owns the table of positions and its compare-and-set inside somebody else's transaction. Refuses to begin or end one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    DateTime,
    MetaData,
    Table,
    Text,
    bindparam,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.dialects.mysql import LONGTEXT, VARCHAR
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from teleporter_lab.errors import Conflict, ConnectorError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from teleporter_lab.connectors.sql_database import Database
    from teleporter_lab.engine.endpoints import Mark

ABLE = ("postgresql", "sqlite", "mysql", "mariadb")
"""Databases that are known to keep a transaction whole."""

MYSQL_TEXT: dict[str, Any] = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
"""Text that is told apart by every byte; 700 letters of it can be indexed."""


def lost(mark: Mark) -> Conflict:
    """The error of a run that has been overtaken."""
    return Conflict(f"Another run has written the position {mark.key} since; this one has to end.")


class Marks:
    """The table of positions, by SQLAlchemy."""

    def __init__(self, database: Database, target: str) -> None:
        self._database = database
        self._target = target
        schema, _, name = target.rpartition(".")
        self._table = Table(
            name,
            MetaData(),
            Column("key", Text().with_variant(VARCHAR(700, **MYSQL_TEXT), "mysql", "mariadb"), primary_key=True),
            Column("record", Text().with_variant(LONGTEXT(**MYSQL_TEXT), "mysql", "mariadb"), nullable=False),
            Column("updated", DateTime(timezone=True), nullable=False, server_default=text("CURRENT_TIMESTAMP")),
            schema=schema or None,
            mysql_engine="InnoDB",
        )

    def must_be_able(self, table: str) -> None:
        """Raises ConnectorError where the database cannot keep records and position in one transaction."""
        dialect = self._database.engine.dialect.name
        why = ""
        if dialect not in ABLE:
            why = f"{dialect} is not known to have transactions"
        elif str(self._database.engine.url.query.get("autocommit", "")).lower() not in ("", "0", "false"):
            why = "its url asks for autocommit"
        elif dialect in ("mysql", "mariadb"):
            engine = self._engine_of(table)
            why = f"the table {table} is of the engine {engine}, which has no transactions" * (engine != "InnoDB")
        if why:
            raise ConnectorError(f"The database {self._database} cannot keep positions for exactlyOnce: {why}.")

    def make(self) -> None:
        """Makes the table where it is missing. Raises ConnectorError."""
        with self._database.begin(f"the table {self._target} for exactlyOnce") as connection:
            if not inspect(connection).has_table(self._table.name, self._table.schema):
                connection.execute(CreateTable(self._table, if_not_exists=True))

    def kept(self, connection: Connection, key: str, *, locked: bool = False) -> str | None:
        """The text kept under `key`; `locked` keeps others from changing it until the transaction ends."""
        asked = select(self._table.c.record).where(self._table.c.key == key)
        return connection.execute(asked.with_for_update() if locked else asked).scalar()

    def put(self, connection: Connection, mark: Mark) -> bool:
        """Keeps the mark; False where that very mark is there, so that its records are as well. Raises Conflict.

        A mark can be there when the connection was lost between the commit and its answer.
        """
        kept = self.kept(connection, mark.key, locked=True)
        if kept == mark.text != mark.expect:
            return False
        if kept != mark.expect or not self._swapped(connection, mark):
            raise lost(mark)
        return True

    def _swapped(self, connection: Connection, mark: Mark) -> bool:
        columns = self._table.c
        if mark.expect is None:
            try:
                connection.execute(insert(self._table), {"key": mark.key, "record": mark.text})
            except IntegrityError as error:
                raise lost(mark) from error
            return True
        there = (columns.key == bindparam("of")) & (columns.record == bindparam("expected"))
        new = update(self._table).where(there).values(record=bindparam("new"), updated=func.now())
        done = connection.execute(new, {"of": mark.key, "expected": mark.expect, "new": mark.text})
        return done.rowcount == 1

    def _engine_of(self, table: str) -> str:
        schema, _, name = table.rpartition(".")
        asked = (
            "SELECT engine FROM information_schema.tables "
            "WHERE table_schema = coalesce(:schema, DATABASE()) AND table_name = :name"
        )
        with self._database.connect(f"a look at {table}") as connection:
            return str(connection.execute(text(asked), {"schema": schema or None, "name": name}).scalar())
