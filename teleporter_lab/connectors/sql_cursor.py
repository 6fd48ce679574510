"""One result that is read bit by bit, while the database holds the rest of it.

Owns the connection of it: PostgreSQL names a cursor, MySQL sends rows as they are fetched, SQLite steps. Calls may come
from several threads, one at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, CursorResult, Executable

    from teleporter_lab.connectors.sql_database import Database


AS_IT_IS: dict[str, Any] = {"no_parameters": True}
"""Options of execution for SQL that somebody has written: its percent signs mean what they mean in the database."""


class Cursor:
    """A query that is open. Memory: `buffer` rows."""

    def __init__(self, database: Database, buffer: int) -> None:
        self._database = database
        self._buffer = buffer
        self._connection: Connection | None = None
        self._result: CursorResult[Any] | None = None
        self.names: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        return self._result is not None

    def open(self, statement: str | Executable, parameters: Mapping[str, Any] | None = None) -> None:
        """Asks; text goes to the driver as it is. Raises ConnectorError."""
        self.close()
        self._connection = self._database.acquire()
        try:
            streaming = self._connection.execution_options(stream_results=True, max_row_buffer=self._buffer)
            if isinstance(statement, str):
                self._result = streaming.exec_driver_sql(statement, execution_options=AS_IT_IS)
            else:
                self._result = streaming.execute(statement, dict(parameters or {}))
            self.names = names_of(self._result)
        except SQLAlchemyError as error:
            self.close()
            raise self._database.refused("the query", error) from error
        except BaseException:
            self.close()
            raise

    def fetch(self, n: int) -> Sequence[Sequence[Any]]:
        """The next rows, `n` at most; none at the end and when it is closed. Raises ConnectorError."""
        if self._result is None:
            return ()
        try:
            return self._result.fetchmany(n)
        except SQLAlchemyError as error:
            raise self._database.refused("the query", error) from error

    def close(self) -> None:
        """Lets go of the result and its connection; a second call does nothing."""
        result, self._result = self._result, None
        connection, self._connection = self._connection, None
        try:
            if result is not None:
                result.close()
        finally:
            if connection is not None:
                connection.close()


def names_of(result: CursorResult[Any]) -> tuple[str, ...]:
    """The columns of a result. Raises ConnectorError when one stands twice."""
    names = tuple(result.keys())
    distinct(names)
    return names


def distinct(names: Sequence[str]) -> None:
    """Raises ConnectorError when a query gives a column twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConnectorError(f"The query gives the column {twice[0]} twice; name them apart with AS.")
