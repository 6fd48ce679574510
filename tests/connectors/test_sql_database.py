"""A database is reached, checked and told in one sentence without its secrets."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError

from teleporter_lab.config.secret import Secret
from teleporter_lab.connectors import sql_database
from teleporter_lab.connectors.base import Address
from teleporter_lab.connectors.sql import SqlAddressOptions
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError, MissingDriver, TeleporterError

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "pa55/w@rd"


def database(url: str, **options: Any) -> Database:
    return Database(SqlAddressOptions(url=url, **options))


def test_connections_have_the_pragmas(tmp_path: Path) -> None:
    one = database(f"sqlite:///{tmp_path}/x.db", pragmas={"busy_timeout": 77, "cache_size": -100})
    with one.connect("a look") as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "busy_timeout", "cache_size", "synchronous")
        }
        assert one.statistics() == {"in_use": 1, "idle": 0}
    assert settings == {"journal_mode": "wal", "busy_timeout": 77, "cache_size": -100, "synchronous": 2}
    assert one.statistics() == {"in_use": 0, "idle": 1}
    one.close()
    one.close()
    assert isinstance(one, Address)


async def test_check_asks_and_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    one = database(f"sqlite:///{path}")
    await one.check()
    assert not path.exists()
    with pytest.raises(AddressUnreachable, match=r"The database file .*x\.db is not there\."):
        one.must_exist()
    sqlite3.connect(path).close()
    path.write_text("this is no database, but long enough to be taken for one" * 100)
    with pytest.raises(AddressUnreachable, match=r"sqlite:////.*x\.db does not answer: file is not a database\.$"):
        await one.check()
    with pytest.raises(AddressUnreachable, match=r"The folder .*nosuch of the database file is not there"):
        await database(f"sqlite:///{tmp_path}/nosuch/x.db").check()
    one.close()


def test_a_database_can_be_opened_for_reading_only(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("CREATE TABLE t (id INTEGER)")
    one = database(f"sqlite:///file:{tmp_path}/x.db?mode=ro&uri=true", pragmas={"journal_mode": "DELETE"})
    one.must_exist()
    with pytest.raises(ConnectorError, match="attempt to write a readonly database"), one.begin("it") as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
    one.close()


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    one = database(f"sqlite:///{tmp_path}/x.db")
    with one.begin("setup") as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    with (
        pytest.raises(ConnectorError, match=r"refused the batch: UNIQUE constraint failed: t\.id\.$"),
        one.begin("the batch") as connection,
    ):
        connection.exec_driver_sql("INSERT INTO t VALUES (?)", [(1,), (2,), (1,)])
    with one.connect("a look") as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 0
    one.close()


def test_a_database_that_another_holds_is_told(tmp_path: Path) -> None:
    one = database(f"sqlite:///{tmp_path}/x.db", pragmas={"busy_timeout": 0})
    with one.begin("setup") as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER)")
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConnectorError, match="database is locked"), one.begin("the batch") as connection:
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
    one.close()


def test_a_connection_works_in_any_thread(tmp_path: Path) -> None:
    one = database(f"sqlite:///{tmp_path}/x.db", pool_size=1)
    counted: list[Any] = []

    def count() -> None:
        with one.connect("a look") as connection:
            counted.append(connection.exec_driver_sql("SELECT 1").scalar())

    for _ in range(3):
        thread = threading.Thread(target=count)
        thread.start()
        thread.join()
    one.close()
    assert counted == [1, 1, 1]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConnectorError, match="A SQLite database must be a file here"):
        database(url)


@pytest.mark.parametrize("url", ["not a url", "postgresql://u:secret@host:port/db", "://secret"])
def test_what_is_no_url_is_not_repeated(url: str) -> None:
    with pytest.raises(ConnectorError, match="The url of the address is none") as raised:
        database(url)
    assert "secret" not in "".join(everything_shown(raised.value))


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql://u:secret@h/db", "psycopg", "postgresql"),
        ("jdbc:postgresql://u:secret@h/db", "psycopg", "postgresql"),
        ("mysql://u:secret@h/db", "pymysql", "mysql"),
        ("mariadb://u:secret@h/db", "pymysql", "mysql"),
    ],
)
def test_a_missing_driver_names_its_extra(monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDriver, match=rf"pip install 'teleporter-lab\[{extra}\]'") as raised:
        database(url)
    assert "secret" not in "".join(everything_shown(raised.value))


def test_a_database_that_nobody_knows_needs_a_dialect() -> None:
    with pytest.raises(MissingDriver, match="No driver for nosuch databases is installed"):
        database("nosuch://u:secret@h/db")


def test_parts_that_a_database_has_not_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="The url of the address has parts that sqlite has not") as raised:
        database(f"sqlite:///{tmp_path}/x.db", password=Secret(PASSWORD))
    assert "pa55" not in "".join(everything_shown(raised.value))


def test_an_asynchronous_driver_is_refused() -> None:
    with pytest.raises(ConnectorError, match=r"aiosqlite is asynchronous; write sqlite:// alone"):
        database("sqlite+aiosqlite:///x.db")


def everything_shown(error: BaseException | None) -> list[str]:
    """What a traceback would print."""
    shown: list[str] = []
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return shown


def test_no_secret_is_in_any_repr_or_error() -> None:
    options = SqlAddressOptions(url="mysql://root@127.0.0.1/db", password=Secret(PASSWORD))
    inside = SqlAddressOptions(url="postgresql://root:pa55@h/db?sslpassword=pa55")
    assert "pa55" not in repr(options) + str(options) + repr(inside) + str(inside)
    assert "pa55" not in options.model_dump_json()


def test_what_a_driver_says_is_cut_and_masked(tmp_path: Path) -> None:
    one = database(f"sqlite:///file:{tmp_path}/x.db?uri=true&secret=pa55")
    assert repr(one) == f"sqlite:///{tmp_path}/x.db"
    said = DBAPIError("SELECT", (), sqlite3.OperationalError("no pa55 here.\nHint: more"))
    assert one.refused("the batch", said).message == f"The database {one!r} refused the batch: no •••• here."
    said.connection_invalidated = True
    assert isinstance(one.refused("it", said), AddressUnreachable)
    one.close()


async def test_a_database_that_does_not_answer_is_unreachable(tmp_path: Path) -> None:
    one = database(f"sqlite:///{tmp_path}/gone/x.db")
    with pytest.raises(TeleporterError, match="does not answer: unable to open database file") as raised:
        await asyncio.to_thread(one.acquire)
    assert type(raised.value) is AddressUnreachable


@pytest.mark.parametrize(
    ("url", "chosen"),
    [
        ("postgresql://h/db", True),
        ("jdbc:postgresql://h/db?sslmode=require", True),
        ("postgresql+psycopg://h/db", False),
        ("postgresql://h/db?gssencmode=disable", False),
        ("postgresql:///db?host=a&host=b", False),
    ],
)
def test_a_sink_of_postgresql_writes_by_asyncpg_where_the_url_leaves_it_to_us(url: str, chosen: bool) -> None:
    assert database(url).asyncpg is chosen


def test_nothing_is_written_by_asyncpg_where_it_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not database(f"sqlite:///{tmp_path}/x.db").asyncpg
    monkeypatch.setattr(sql_database, "find_spec", lambda _: None)
    assert not database("postgresql://h/db").asyncpg


def test_the_address_for_another_library_leaves_out_what_it_does_not_know() -> None:
    one = database("postgresql://h/db?connect_timeout=5&sslmode=require", user="u", password=Secret("p@ss"))
    assert one.libpq_uri("connect_timeout") == "postgresql://u:p%40ss@h/db?sslmode=require"


def test_values_that_a_database_refuses_make_a_bad_record(tmp_path: Path) -> None:
    one = database(f"sqlite:///{tmp_path}/x.db")
    for kind, expected in ((IntegrityError, BadRecord), (DataError, BadRecord), (OperationalError, ConnectorError)):
        said = kind("INSERT", (), sqlite3.DatabaseError("no"))
        assert type(one.refused("the batch", said)) is expected
    one.close()


def test_a_pool_in_which_all_are_in_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = database(f"sqlite:///{tmp_path}/x.db", poolSize=1)
    monkeypatch.setattr(one.engine.pool, "_timeout", 0)
    with one.connect("a look"), pytest.raises(AddressUnreachable, match=r"All 1 connections to the database .* in use"):
        one.acquire()
    one.close()
