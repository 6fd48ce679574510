"""A SQL sink checks the table, writes whole batches, and says in a sentence what is wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.connectors.sql import SqlAddressOptions, SqlSinkOptions
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.connectors.sql_sink import SqlSink
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, \"Na me\" TEXT DEFAULT 'none', day TEXT)")
    return path


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(SqlAddressOptions(url=f"sqlite:///{path}"))
    yield database
    database.close()


def rows(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM t ORDER BY id").fetchall()


def opened(database: Database, **options: Any) -> SqlSink:
    sink = SqlSink(SqlSinkOptions(**{"table": "t", **options}), database)
    sink.open()
    return sink


def test_of_the_same_key_twice_in_a_batch_the_last_one_wins(path: Path, database: Database) -> None:
    sink = opened(database, mode="upsert", keys=["id"])
    sink.write([{"id": 1, "day": "a"}, {"id": 2, "day": "b"}, {"id": 1, "day": "c"}])
    assert rows(path) == [(1, "none", "c"), (2, "none", "b")]


def test_upsert_leaves_other_columns_alone(path: Path, database: Database) -> None:
    opened(database).write([{"id": 1, "Na me": "kept", "day": date(2024, 1, 1)}])
    opened(database, mode="upsert", keys=["id"], columns=["id", "day"]).write([{"id": 1, "day": "new", "more": 5}])
    assert rows(path) == [(1, "kept", "new")]


def test_insert_ignore_keeps_the_first_row(path: Path, database: Database) -> None:
    sink = opened(database, mode="insertIgnore", keys=["id"])
    sink.write([{"id": 1, "Na me": "first"}, {"id": 1, "Na me": "second"}])
    assert rows(path) == [(1, "first", None)]


def test_delete_needs_the_keys_only_and_forgives_absent_rows(path: Path, database: Database) -> None:
    opened(database).write([{"id": n, "day": "x"} for n in range(5)])
    sink = opened(database, mode="delete", keys=["id", "day"])
    sink.write([{"id": 1, "day": "x", "more": 1}, {"id": 2, "day": "y"}, {"id": 99, "day": "x"}])
    assert [row[0] for row in rows(path)] == [0, 2, 3, 4]


def test_insert_says_what_the_database_refused_and_stores_nothing(path: Path, database: Database) -> None:
    sink = opened(database)
    with pytest.raises(ConnectorError) as raised:
        sink.write([{"id": 1}, {"id": 1}])
    assert raised.value.message == (
        f"The database sqlite:///{path} refused the batch for t, of which nothing is stored: "
        "UNIQUE constraint failed: t.id."
    )
    assert rows(path) == []


def test_a_table_that_is_not_there_is_told_at_the_start(database: Database) -> None:
    with pytest.raises(ConnectorError, match=r"has no table nosuch; make it, or let `setup` do so\.$"):
        opened(database, table="nosuch")


def test_a_table_that_vanishes_is_told_when_it_is_written(path: Path, database: Database) -> None:
    sink = opened(database)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE t")
    with pytest.raises(ConnectorError, match=r"refused the batch for t, .*: no such table: t\.$"):
        sink.write([{"id": 1}])


def test_columns_that_the_table_lacks_are_told(database: Database) -> None:
    with pytest.raises(ConnectorError, match=r"The table t has no column x; it has id, Na me, day\.$"):
        opened(database, columns=["id", "x"])
    with pytest.raises(ConnectorError, match="has no column y"):
        opened(database).write([{"id": 1, "y": 2}])


def test_records_that_lack_something_are_told(path: Path, database: Database) -> None:
    sink = opened(database, mode="upsert", keys=["id"])
    with pytest.raises(BadRecord, match=r"A record for t lacks the key id\.$"):
        sink.write([{"day": "x"}])
    sink.write([{"id": 1, "day": "x"}])
    with pytest.raises(BadRecord, match=r"Record 2 of the batch for t lacks the field day\.$"):
        sink.write([{"id": 2, "day": "x"}, {"id": 3}])
    with pytest.raises(BadRecord, match="must be a mapping of fields, not a str"):
        sink.write(["text"])
    assert len(rows(path)) == 1


@pytest.mark.parametrize("value", [1 << 70, "\ud800"])
def test_a_value_that_the_driver_cannot_bind_is_a_bad_record(path: Path, database: Database, value: Any) -> None:
    with pytest.raises(BadRecord, match="A record of the batch for t has a value that cannot be kept"):
        opened(database).write([{"id": 1, "day": "x"}, {"id": 2, "day": value}])
    assert rows(path) == []


def test_setup_runs_at_the_start_and_its_mistake_is_told(path: Path, database: Database) -> None:
    sink = opened(database, table="made", setup=["CREATE TABLE made (a TEXT)", "INSERT INTO made VALUES ('100% :x')"])
    sink.write([{"a": "b"}])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT a FROM made").fetchall() == [("100% :x",), ("b",)]
    with pytest.raises(
        ConnectorError, match="refused the setup statement 'CREATE TABEL x': near \"TABEL\": syntax error"
    ):
        opened(database, setup=["CREATE TABEL x"])


def test_upsert_without_a_unique_index_is_told(database: Database) -> None:
    sink = opened(database, mode="upsert", keys=["day"])
    with pytest.raises(ConnectorError, match="ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint"):
        sink.write([{"id": 1, "day": "x"}])


def test_a_database_that_is_not_reachable_is_told(tmp_path: Path) -> None:
    with pytest.raises(AddressUnreachable, match="does not answer: unable to open database file"):
        opened(Database(SqlAddressOptions(url=f"sqlite:///{tmp_path}/nosuch/x.db")))


def test_a_table_of_an_attached_schema_is_found(path: Path, database: Database) -> None:
    opened(database, table="main.t", mode="upsert", keys=["id"]).write([{"id": 1, "Na me": "x"}])
    assert rows(path) == [(1, "x", None)]


def test_a_record_that_is_refused_is_a_bad_one_and_its_neighbours_can_be_stored(path: Path, database: Database) -> None:
    sink = opened(database)
    with pytest.raises(BadRecord, match=r"refused the batch for t, of which nothing is stored: UNIQUE constr"):
        sink.write([{"id": 1}, {"id": 1}])
    sink.write([{"id": 1}])
    assert [row[0] for row in rows(path)] == [1]


def test_several_connections_are_refused(database: Database) -> None:
    with pytest.raises(ConnectorError, match=r"is written by one connection: no `connections`\.$"):
        opened(database, connections=2)
    opened(database, connections=1)


def test_what_is_no_number_is_a_null(path: Path, database: Database) -> None:
    """As the page says: SQLite has no NaN, and JSON neither that nor an infinity."""
    opened(database).write([{"id": 1, "day": float("nan")}, {"id": 2, "day": {"x": float("inf")}}])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT day FROM t ORDER BY id").fetchall() == [(None,), ('{"x":null}',)]
