"""A SQLite file is open in one library at a time, as two in one process break each other's locks."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import adbc_driver_sqlite.dbapi as adbc_sqlite
import pytest

from teleporter_lab.connectors.sql import SqlAddressOptions, SqlConnector, SqlSinkOptions, SqlSourceOptions
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.connectors.sqlite_file import ADBC, PYTHON, connection_to, give_back, take
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(10)])
    return path


def locked(path: Path) -> bool:
    """Whether another process finds the file locked for writing."""
    code = (
        f"import sqlite3; c = sqlite3.connect({str(path)!r}, timeout=0, isolation_level=None)\n"
        "try:\n    c.execute('BEGIN IMMEDIATE')\nexcept sqlite3.OperationalError:\n    print('locked')"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "locked\n"


def test_why_it_matters(path: Path) -> None:
    """Should this ever fail, both libraries have learned to live together, and the guard may go."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert locked(path)
        with adbc_sqlite.connect(str(path)) as other, other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM t")
            cursor.fetchall()
        assert not locked(path)


def test_the_other_library_is_refused_while_one_is_in_use(tmp_path: Path) -> None:
    path, link = tmp_path / "x.db", tmp_path / "link.db"
    link.symlink_to(path)
    take(str(path), PYTHON)
    take(str(path), PYTHON)
    with pytest.raises(ConnectorError, match=r"link\.db is in use without ADBC in this process, .* Leave `adbc` out"):
        take(str(link), ADBC)
    give_back(str(path), PYTHON)
    with pytest.raises(ConnectorError, match="without ADBC"):
        take(str(link), ADBC)
    give_back(str(path), PYTHON)
    take(str(link), ADBC)
    with pytest.raises(ConnectorError, match="is in use by ADBC in this process"):
        take(str(path), PYTHON)
    give_back(str(path), ADBC)
    take(str(path), PYTHON)
    give_back(str(path), PYTHON)


def test_a_connection_counts_while_it_is_open(path: Path) -> None:
    made = connection_to(str(path))
    connection = sqlite3.connect(path, factory=made)
    with pytest.raises(ConnectorError):
        take(str(path), ADBC)
    connection.close()
    connection.close()
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(path / "no" / "where", factory=made)
    take(str(path), ADBC)
    with pytest.raises(ConnectorError):
        sqlite3.connect(path, factory=made)
    give_back(str(path), ADBC)


def reader(database: Database) -> Any:
    spec = SqlConnector.spec("source")
    assert spec.columnar is not None
    return spec.columnar(SqlSourceOptions(query="SELECT * FROM t", key="id", page_size=2), database)


async def test_a_reader_by_adbc_and_a_sink_do_not_meet(path: Path) -> None:
    url = f"sqlite:///{path}"
    columns, others = Database(SqlAddressOptions(url=url, adbc=True)), Database(SqlAddressOptions(url=url))
    await columns.check()
    first = reader(columns)
    first.open(None)
    assert len(first.read(5)) == 2
    sink = SqlConnector.spec("sink").make(SqlSinkOptions(table="t"), others)
    with pytest.raises(ConnectorError, match="is in use by ADBC in this process"):
        sink.open()
    first.close()
    sink.open()
    sink.write([{"id": 100}])
    second = reader(columns)
    second.open(None)
    with pytest.raises(ConnectorError, match="is in use without ADBC in this process"):
        second.read(5)
    others.close()  # what it keeps for later use
    assert len(second.read(5)) == 2
    second.close()
    columns.close()


def test_an_address_gives_up_for_adbc_what_it_keeps_itself(path: Path) -> None:
    database = Database(SqlAddressOptions(url=f"sqlite:///{path}", adbc=True))
    with database.connect("a look") as connection:
        connection.exec_driver_sql("SELECT 1")
    assert database.statistics()["idle"] == 1
    columns = reader(database)
    columns.open(None)
    assert len(columns.read(5)) == 2
    columns.close()
    database.close()
