"""A store in a SQL database, which several brokers may share: a table of keys and texts for each of the two tables.

Owns the statements. Every verb is one statement (compare-and-set is its WHERE), so nothing is ever locked for longer.
Texts are kept as UTF-8 bytes, as PostgreSQL's own texts cannot hold every character. Refuses SQLite, which has a
store of its own with a lock against a second broker.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import Column, LargeBinary, MetaData, String, Table, delete, insert, make_url, select, update
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from teleporter_lab.broker.stores.base import ANYTHING, Expect, Item, check_expectation
from teleporter_lab.errors import InvalidInput, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import URL, ColumnElement, CursorResult
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

DRIVERS: Final = {
    "postgresql": ("asyncpg", "postgresql", {"timeout": 5, "command_timeout": 30}),
    "mysql": ("asyncmy", "mysql", {"connect_timeout": 5}),
    "mariadb": ("asyncmy", "mysql", {"connect_timeout": 5}),
}
"""By the scheme of a URL: the driver, the extra that installs it, and how long it waits, in seconds."""

COLLATIONS: Final = {"postgresql": "C", "mysql": "utf8mb4_bin", "mariadb": "utf8mb4_bin"}
"""Under which keys are sorted by their bytes, which is the order of Python's texts."""

LONGEST_KEY: Final = 600
CONNECTIONS: Final = 8
TRIES: Final = 10


class SqlStore:
    """One table. Several may stand on the same engine; the last one that is closed disposes of it."""

    def __init__(self, shared: SharedEngine, table: Table) -> None:
        self._shared = shared
        self._table = table
        self._closed = False
        shared.users += 1

    async def get(self, key: str) -> str | None:
        """The text under `key`, None where there is none."""
        return await self._run(lambda connection: self._get(connection, key))

    async def range(self, prefix: str, start: int = 0, limit: int | None = None) -> list[Item]:
        """The items whose key begins with `prefix`, by key, without the first `start`, at most `limit`."""
        columns = self._table.c
        query = select(columns.key, columns.value).where(*self._below(prefix)).order_by(columns.key).offset(start)

        async def read(connection: AsyncConnection) -> list[Item]:
            result = await connection.execute(query.limit(limit))
            return [(key, bytes(value).decode()) for key, value in result]

        return [] if limit == 0 else await self._run(read)

    async def write(self, key: str, value: str, expect: Expect = ANYTHING) -> None:
        """Keep `value` under `key`, on disk; raises Conflict where `expect` does not hold."""
        if len(key) > LONGEST_KEY:
            raise InvalidInput(f"The key {key[:80]}… is longer than {LONGEST_KEY} characters.")
        data = value.encode()
        await self._run(
            lambda connection: (
                self._put(connection, key, data) if expect is ANYTHING else self._swap(connection, key, data, expect)
            )
        )

    async def delete(self, key: str, expect: Expect = ANYTHING) -> bool:
        """Forget `key`, on disk; says whether it was there. Raises Conflict where `expect` does not hold."""
        return await self._run(lambda connection: self._delete(connection, key, expect))

    async def close(self) -> None:
        """Give back the connections; a second call does nothing."""
        if not self._closed:
            self._closed = True
            await self._shared.release()

    # ---- with a connection

    async def _get(self, connection: AsyncConnection, key: str) -> str | None:
        value = await connection.scalar(select(self._table.c.value).where(self._table.c.key == key))
        return None if value is None else bytes(value).decode()

    async def _put(self, connection: AsyncConnection, key: str, data: bytes) -> None:
        for _ in range(TRIES):
            if await self._update(connection, key, data) or await self._insert(connection, key, data):
                return
        raise StoreError(f"{key} is written and deleted by others all the time: try again.")

    async def _swap(self, connection: AsyncConnection, key: str, data: bytes, expect: Expect) -> None:
        if expect is None:
            done = await self._insert(connection, key, data)
        else:
            done = await self._update(connection, key, data, self._table.c.value == str(expect).encode())
        if not done:
            await self._refuse(connection, key, expect)

    async def _delete(self, connection: AsyncConnection, key: str, expect: Expect) -> bool:
        current = await self._get(connection, key)
        check_expectation(key, current, expect)
        if current is None:
            return False
        held = () if expect is ANYTHING else (self._table.c.value == current.encode(),)
        result: CursorResult[Any] = await connection.execute(delete(self._table).where(self._table.c.key == key, *held))
        if not result.rowcount and expect is not ANYTHING:
            await self._refuse(connection, key, expect)
        return bool(result.rowcount)

    async def _update(self, connection: AsyncConnection, key: str, data: bytes, *held: ColumnElement[bool]) -> bool:
        statement = update(self._table).where(self._table.c.key == key, *held).values(value=data)
        result: CursorResult[Any] = await connection.execute(statement)
        return bool(result.rowcount)

    async def _insert(self, connection: AsyncConnection, key: str, data: bytes) -> bool:
        """False where the key is there already."""
        try:
            await connection.execute(insert(self._table).values(key=key, value=data))
        except IntegrityError:
            return False
        return True

    async def _refuse(self, connection: AsyncConnection, key: str, expect: Expect) -> None:
        """Raises the Conflict that says why; where the value has become the expected one again, as well."""
        current = await self._get(connection, key)
        check_expectation(key, None if current == expect else current, expect)
        check_expectation(key, "", None)

    def _below(self, prefix: str) -> list[ColumnElement[bool]]:
        """The conditions for keys that begin with `prefix`: a stretch of the index."""
        key = self._table.c.key
        last = prefix and _next_text(prefix)
        return [key >= prefix, *([key < last] if last else [])] if prefix else []

    async def _run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        if self._closed:
            raise StoreError(f"The store {self._shared.url} is closed.")
        try:
            async with self._shared.engine.connect() as connection:
                return await work(connection)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise StoreError(f"The store {self._shared.url} failed: {_said(error)}") from error


class SharedEngine:
    """The connections of the two tables of a broker."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        self.engine = engine
        self.url = url
        """Without the password."""
        self.users = 0

    async def release(self) -> None:
        self.users -= 1
        if self.users == 0:
            await self.engine.dispose()


async def open_sql(url: str) -> tuple[SqlStore, SqlStore, str]:
    """Both tables, made where they are missing, and the URL without its password.

    Raises InvalidInput for a URL that is none, StoreError where the driver is missing or the database does not answer.
    """
    parsed = _parsed(url)
    shown = parsed.render_as_string(hide_password=True)
    driver, extra, waits = DRIVERS[parsed.get_backend_name()]
    try:
        importlib.import_module(driver)
    except ImportError as error:
        raise StoreError(f"The driver {driver} is not installed: pip install 'teleporter-lab[{extra}]'.") from error
    engine = create_async_engine(
        parsed.set(drivername=f"{parsed.get_backend_name()}+{driver}"),
        isolation_level="AUTOCOMMIT", pool_pre_ping=True, pool_size=CONNECTIONS, hide_parameters=True,
        connect_args=waits,
    )  # fmt: skip
    metadata = MetaData()
    config, runtime = (_table(name, parsed.get_backend_name(), metadata) for name in ("config", "runtime"))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(metadata.create_all)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        await engine.dispose()
        raise StoreError(f"The store {shown} cannot be opened: {_said(error)}") from error
    shared = SharedEngine(engine, shown)
    return SqlStore(shared, config), SqlStore(shared, runtime), shown


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput("The URL of the store is none: write postgresql://user@host/database.") from None


def _table(name: str, backend: str, metadata: MetaData) -> Table:
    value = LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")
    key = Column("key", String(LONGEST_KEY, collation=COLLATIONS[backend]), primary_key=True)
    return Table(f"teleporter_{name}", metadata, key, Column("value", value, nullable=False))


def _next_text(prefix: str) -> str:
    """The least text above all that begin with `prefix`; empty where there is none."""
    for end in range(len(prefix), 0, -1):
        if (code := ord(prefix[end - 1])) < 0x10FFFF:
            code = 0xE000 if code == 0xD7FF else code + 1  # there are no characters in the gap of the surrogates
            return prefix[: end - 1] + chr(code)
    return ""


def _said(error: Exception) -> str:
    """The first line of what the driver said."""
    text = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
