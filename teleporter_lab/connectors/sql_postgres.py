"""Connections of one PostgreSQL sink, by asyncpg.

Owns opening and closing them, and the translation of their errors to one sentence without secrets. Refuses to know
tables. Each sink has connections of its own, so that no sink waits for another one's.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.base import require
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from teleporter_lab.connectors.sql_database import Database

CONNECT_SECONDS = 30.0
"""How long opening a connection may take, unless the URL has a `connect_timeout`."""

CLOSE_SECONDS = 5.0
"""How long a connection may take to say goodbye."""

CUSTOM_PLANS = 12
"""The first version of the server that can be told to plan anew each time."""


def driver() -> Any:
    """asyncpg. Raises MissingDriver, which says how to install it."""
    return require("asyncpg", "postgresql")


class Connections:
    """Opened when they are needed, kept while they live."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._idle: list[Any] = []
        self._closed = False

    @asynccontextmanager
    async def one(self, what: str, *, batch: bool = False) -> AsyncGenerator[Any]:
        """A connection that nobody else uses meanwhile. Errors say that `what` was refused, a `batch` as a whole.

        Raises AddressUnreachable when the database does not answer or the connection is lost, BadRecord when it
        refuses a value, else ConnectorError.
        """
        connection = await self._take()
        try:
            yield connection
        except _errors() as error:
            lost = connection.is_closed() or isinstance(error, OSError) or _state(error).startswith(("08", "57P"))
            raise (self._lost(what, error, batch) if lost else self._refused(what, error, batch)) from error
        finally:
            if self._closed or connection.is_in_transaction():
                connection.terminate()  # what others would write in a transaction left open would never be stored
            elif not connection.is_closed():
                self._idle.append(connection)

    async def close(self) -> None:
        """Closes those that nobody uses, the others when they are given back; a second call does nothing."""
        self._closed = True
        while self._idle:
            await _end(self._idle.pop())

    async def _take(self) -> Any:
        self._closed = False
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        try:
            return await self._connected()
        except (*_errors(), ValueError, OverflowError) as error:
            raise AddressUnreachable(
                f"The database {self._database} does not answer: {self._reason(error)}."
            ) from error

    async def _connected(self) -> Any:
        seconds = float(self._database.engine.url.query.get("connect_timeout") or CONNECT_SECONDS)  # type: ignore[arg-type]
        connection = await driver().connect(self._database.libpq_uri("connect_timeout"), timeout=seconds)
        try:
            if connection.get_server_version().major >= CUSTOM_PLANS:
                # A plan that was made while the table was empty would be kept when it is large.
                await connection.execute("SET plan_cache_mode = force_custom_plan")
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _lost(self, what: str, error: Exception, batch: bool) -> AddressUnreachable:
        what += ", of which all or nothing is stored" * batch
        return AddressUnreachable(f"The database {self._database} went away during {what}: {self._reason(error)}.")

    def _refused(self, what: str, error: Exception, batch: bool) -> ConnectorError:
        kind = BadRecord if _state(error).startswith(("22", "23")) else ConnectorError
        what += ", of which nothing is stored" * batch
        return kind(f"The database {self._database} refused {what}: {self._reason(error)}.")

    def _reason(self, error: Exception) -> str:
        return self._database.line(str(error).strip() or type(error).__name__)


def _state(error: Exception) -> str:
    """The SQLSTATE; empty where there is none."""
    return str(getattr(error, "sqlstate", None) or "")


async def _end(connection: Any) -> None:
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except (*_errors(), TimeoutError):
        connection.terminate()  # it is gone, or will be


def _errors() -> tuple[type[Exception], ...]:
    asyncpg = driver()
    return (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
