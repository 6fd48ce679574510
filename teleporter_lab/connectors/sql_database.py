"""One SQL database, shared by the sources and sinks of an instance.

Owns the engine with its pool, and the translation of its errors to one sentence without secrets. Refuses to know
tables.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from teleporter_lab.config.secret import MASK
from teleporter_lab.connectors.base import missing_driver
from teleporter_lab.connectors.sqlite_file import connection_to
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError, MissingDriver

if TYPE_CHECKING:
    from collections.abc import Generator

    from sqlalchemy import Connection
    from sqlalchemy.sql.compiler import IdentifierPreparer

    from teleporter_lab.connectors.sql import SqlAddressOptions

DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
"""The driver taken where the URL names none."""
ASYNCPG = {
    *("host", "port", "application_name", "options", "connect_timeout", "target_session_attrs", "passfile"),
    *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword"),
}
"""Parameters of a PostgreSQL URL that asyncpg knows as libpq does."""
EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_SECRET_NAME = re.compile("pass|pwd|secret|token|key", re.IGNORECASE)
PRAGMAS: dict[str, Any] = {"journal_mode": "WAL", "busy_timeout": 10_000}


class Database:
    """An engine. `str` and `repr` show dialect, host and database only."""

    def __init__(self, options: SqlAddressOptions) -> None:
        self._url = _url(options)
        self.asyncpg = _written_by_asyncpg(self._url, named="+" in options.url.partition("://")[0])
        """Whether a sink writes by asyncpg."""
        self.file = _file(self._url)
        """The path of a SQLite database; None for another one."""
        self.pragmas = {**PRAGMAS, **options.pragmas}
        self.adbc = options.adbc if self.file is not None else self._url.get_backend_name() == "postgresql"
        """Whether columns are read by ADBC."""
        self._most = options.pool_size
        self._engine = _engine(self._url, self.file, options.pool_size)
        self._quoting = _quoting(self._url)
        if self.file is not None:
            _set_pragmas(self._engine, self.pragmas)

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def backend(self) -> str:
        """The kind of database, `sqlite` or `postgresql` for instance."""
        return self._url.get_backend_name()

    def libpq_uri(self, *without: str) -> str:
        """The address of a PostgreSQL database for its own client library, with the password in it."""
        url = self._url.difference_update_query(without)
        return url.set(drivername="postgresql").render_as_string(hide_password=False)

    def quote(self, name: str) -> str:
        """`name` in SQL that goes to a driver as it is, where a percent sign is not doubled."""
        return self._quoting.quote(name)

    def acquire(self) -> Connection:
        """An open connection, the caller's to close. Raises AddressUnreachable."""
        try:
            return self._engine.connect()
        except PoolTimeout as error:
            raise AddressUnreachable(
                f"All {self._most} connections to the database {self} are in use; make `poolSize` of its address "
                "larger: one for each source that reads, and one for each sink."
            ) from error
        except SQLAlchemyError as error:
            raise AddressUnreachable(f"The database {self} does not answer: {self._reason(error)}.") from error

    @contextmanager
    def connect(self, what: str) -> Generator[Connection]:
        """A connection that is rolled back in the end. Errors say that `what` was refused."""
        connection = self.acquire()
        try:
            with connection:
                yield connection
        except SQLAlchemyError as error:
            raise self.refused(what, error) from error

    @contextmanager
    def begin(self, what: str) -> Generator[Connection]:
        """A transaction, committed in the end; on an error nothing of it is stored."""
        with self.connect(what) as connection, connection.begin():
            yield connection

    def refused(self, what: str, error: SQLAlchemyError) -> ConnectorError:
        """`error` as one sentence; AddressUnreachable when the connection is lost, BadRecord when values are wrong."""
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        kind, verb = (AddressUnreachable, "went away during") if lost else (ConnectorError, "refused")
        if isinstance(error, DataError | IntegrityError):
            kind = BadRecord
        return kind(f"The database {self} {verb} {what}: {self._reason(error)}.")

    def must_exist(self) -> None:
        """Raises AddressUnreachable for a SQLite file that is not there, which connecting would make."""
        if self.file is not None and not os.path.isfile(self.file):
            raise AddressUnreachable(f"The database file {self.file} is not there.")

    async def check(self) -> None:
        """Connects and asks. A SQLite file may still be missing if its folder is there."""
        await asyncio.to_thread(self._ping)

    def close(self) -> None:
        """Closes every connection that is not in use."""
        self._engine.dispose()

    def statistics(self) -> dict[str, int]:
        """Connections in use, and kept."""
        pool = self._engine.pool
        return {"in_use": _count(pool, "checkedout"), "idle": _count(pool, "checkedin")}

    def __repr__(self) -> str:
        if self.file is not None:
            return f"sqlite:///{self.file}"
        url = self._url
        return URL.create(url.get_backend_name(), None, None, url.host, url.port, url.database).render_as_string()

    def _ping(self) -> None:
        if self.file is not None and not os.path.exists(self.file):
            folder = os.path.dirname(os.path.abspath(self.file))
            if not os.path.isdir(folder):
                raise AddressUnreachable(f"The folder {folder} of the database file is not there.")
            return
        if self.adbc and self.file is not None:
            from teleporter_lab.connectors.sql_adbc import ping

            return ping(self)
        with self.connect("a SELECT") as connection:
            connection.exec_driver_sql("SELECT 1")

    def _reason(self, error: SQLAlchemyError) -> str:
        """The first line of what the driver said, without secrets."""
        said = str(error.orig if isinstance(error, DBAPIError) else error).strip() or type(error).__name__
        return self.line(said)

    def line(self, said: str) -> str:
        """The first line of what somebody said, as the end of a sentence, without secrets."""
        line = said.splitlines()[0][:300].rstrip(".")
        for secret in _secrets(self._url):
            line = line.replace(secret, MASK)
        return line


def _url(options: SqlAddressOptions) -> URL:
    try:
        url = make_url(options.url.removeprefix("jdbc:"))
    except (ArgumentError, ValueError):
        raise ConnectorError("The url of the address is none: write dialect://host/database.") from None
    if "+" not in url.drivername:
        url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    if options.user is not None:
        url = url.set(username=options.user)
    if options.password is not None:
        url = url.set(password=options.password.reveal())
    return url


def _written_by_asyncpg(url: URL, *, named: bool) -> bool:
    """A driver that the URL names is the one that is used, and parameters are left to the one that knows them."""
    known = all(name in ASYNCPG and isinstance(value, str) for name, value in url.query.items())
    return url.get_backend_name() == "postgresql" and not named and known and find_spec("asyncpg") is not None


def _file(url: URL) -> str | None:
    """The path of a SQLite database; None for another one. Raises ConnectorError for one that lives in memory."""
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or ":memory:" in url.database or url.query.get("mode") == "memory":
        raise ConnectorError("A SQLite database must be a file here; use the memory connector for records in memory.")
    return url.database.removeprefix("file:")


def _engine(url: URL, file: str | None, pool_size: int) -> Engine:
    arguments: dict[str, Any] = {"pool_pre_ping": True}
    if file is not None:
        arguments = {"connect_args": {"check_same_thread": False, "factory": connection_to(file)}}
    try:
        if url.get_dialect().is_async:
            raise ConnectorError(
                f"The driver {url.drivername} is asynchronous; write {url.get_backend_name()}:// alone."
            )
        return create_engine(url, hide_parameters=True, pool_size=pool_size, max_overflow=0, **arguments)
    except (NoSuchModuleError, ImportError) as error:
        _no_driver(url, error)
    except ArgumentError:
        raise ConnectorError(f"The url of the address has parts that {url.get_backend_name()} has not.") from None


def _no_driver(url: URL, error: Exception) -> NoReturn:
    backend = url.get_backend_name()
    if isinstance(error, ImportError) and backend in EXTRAS:
        raise missing_driver(error.name or url.get_driver_name(), EXTRAS[backend]) from error
    raise MissingDriver(
        f"No driver for {url.drivername} databases is installed; install the package of its SQLAlchemy dialect."
    ) from error


def _quoting(url: URL) -> IdentifierPreparer:
    dialect: Any = url.get_dialect()
    return dialect(paramstyle="named").identifier_preparer


def _set_pragmas(engine: Engine, pragmas: dict[str, Any]) -> None:
    def on_connect(connection: Any, _: object) -> None:
        for name, value in pragmas.items():
            connection.execute(f"PRAGMA {name}={value}").close()

    event.listen(engine, "connect", on_connect)


def _secrets(url: URL) -> list[str]:
    """What no error may show: the password, and the values of parameters that are called like one."""
    hidden = [value for name, value in url.query.items() if isinstance(value, str) and _SECRET_NAME.search(name)]
    return [str(value) for value in (url.password, *hidden) if value]


def _count(pool: Any, name: str) -> int:
    return int(getattr(pool, name)()) if hasattr(pool, name) else 0
