"""Queries are read by key or as a whole, and what would lose rows is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.connectors.sql import SqlAddressOptions, SqlSourceOptions
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.connectors.sql_source import SqlPages, SqlRows, ordered
from teleporter_lab.errors import AddressUnreachable, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute('CREATE TABLE t (id INTEGER, "Na me" TEXT, twice INTEGER, hole INTEGER)')
        rows = [(n, f"n{n}", n // 5, n or None) for n in range(20)]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    return path


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(SqlAddressOptions(url=f"sqlite:///{path}"))
    yield database
    database.close()


def pages(database: Database, query: str = "SELECT * FROM t", key: str = "id", size: int = 4) -> SqlPages:
    return SqlPages(SqlSourceOptions(query=query, key=key, page_size=size), database)


def rows(database: Database, query: str) -> SqlRows:
    return SqlRows(SqlSourceOptions(query=query), database)


def test_rows_that_are_added_while_pages_are_read_are_read_too(path: Path, database: Database) -> None:
    reader = pages(database)
    reader.open({"key": 17})
    assert [row["id"] for row in reader.read(1) or []] == [18]
    reader = pages(database, size=1)
    reader.open({"key": 17})
    assert [row["id"] for row in reader.read(9) or []] == [18]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO t VALUES (25, 'late', 9, 9)")
    assert [row["id"] for row in reader.read(9) or []] == [19]
    assert [row["id"] for row in reader.read(9) or []] == [25]
    assert reader.read(9) is None


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("twice", "The key twice must be unique: a value stands twice"),
        ("hole", "The key hole must hold numbers or text and no nulls"),
        ("nosuch", "no such column: nosuch"),
        ("noSuch", "The query has no column noSuch; it has id, Na me, twice, hole"),
    ],
)
def test_a_key_that_could_lose_rows_is_refused(database: Database, key: str, wrong: str) -> None:
    reader = pages(database, key=key, size=5)
    reader.open(None)
    with pytest.raises(ConnectorError, match=wrong):
        reader.read(10)


def test_a_page_costs_a_walk_of_the_index_and_no_offset(database: Database) -> None:
    with database.begin("an index") as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX i ON t (id)")
    with database.connect("a plan") as connection:
        sql = "SELECT * FROM (SELECT * FROM t\n) AS page WHERE id > 5 ORDER BY id LIMIT 5"
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")]
    assert plan == ["SEARCH t USING INDEX i (id>?)"]


def test_without_an_order_a_resumed_read_starts_over(database: Database) -> None:
    reader = rows(database, "SELECT id FROM t")
    reader.open(None)
    assert len(reader.read(5) or []) == 5
    assert reader.position is None
    reader.close()
    again = rows(database, "SELECT id FROM t")
    again.open({"row": 5})
    assert (again.read(1) or [])[0] == {"id": 0}
    again.close()


def test_a_cursor_gives_its_connection_back_at_the_end(database: Database) -> None:
    reader = rows(database, "SELECT id FROM t")
    reader.open(None)
    assert database.statistics()["in_use"] == 1
    while reader.read(7) is not None:
        pass
    assert database.statistics()["in_use"] == 0
    assert reader.statistics() == {"records": 20}


def test_a_position_behind_the_last_row_is_the_end(database: Database) -> None:
    reader = rows(database, "SELECT id FROM t ORDER BY id")
    reader.open({"row": 500})
    assert reader.read(1) is None


@pytest.mark.parametrize("ordered_", [True, False])
def test_after_an_error_a_result_goes_on_where_its_order_is_known(
    path: Path, database: Database, ordered_: bool
) -> None:
    reader = rows(database, f"SELECT id FROM t{' ORDER BY id' if ordered_ else ''}")
    reader.open(None)
    assert [row["id"] for row in reader.read(5) or []] == [0, 1, 2, 3, 4]
    reader._cursor.close()
    rename(path, "t", "hidden")
    with pytest.raises(ConnectorError, match="no such table: t"):
        reader.read(5)
    rename(path, "hidden", "t")
    if ordered_:
        assert [row["id"] for row in reader.read(3) or []] == [5, 6, 7]
    else:
        with pytest.raises(ConnectorError, match="no such table: t"):
            reader.read(5)
    reader.close()
    assert reader.read(5) is None


def rename(path: Path, one: str, other: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"ALTER TABLE {one} RENAME TO {other}")


def read(reader: SqlPages | SqlRows) -> None:
    try:
        reader.open(None)
        reader.read(1)
    finally:
        reader.close()


@pytest.mark.parametrize("make", [pages, rows])
def test_mistakes_are_told_in_a_sentence(database: Database, make: Any) -> None:
    with pytest.raises(ConnectorError, match=r"refused the query: no such table: nosuch\.$"):
        read(make(database, "SELECT * FROM nosuch"))
    with pytest.raises(ConnectorError, match=r"refused the query: near .*: syntax error\.$"):
        read(make(database, "SELEKT 1"))


def test_a_column_that_would_hide_another_is_told(database: Database) -> None:
    with pytest.raises(ConnectorError, match=r"The query gives the column id twice; name them apart with AS\.$"):
        read(rows(database, "SELECT id, id FROM t"))


@pytest.mark.parametrize("position", [{"offset": 1}, 5])
def test_a_position_of_something_else_is_refused(database: Database, position: Any) -> None:
    with pytest.raises(ConnectorError, match="is no position of a query"):
        pages(database).open(position)
    with pytest.raises(ConnectorError, match="is no position of a query"):
        rows(database, "SELECT 1 ORDER BY 1").open(position)


def test_a_database_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    missing = Database(SqlAddressOptions(url=f"sqlite:///{tmp_path}/missing.db"))
    for reader in (pages(missing), rows(missing, "SELECT 1")):
        with pytest.raises(AddressUnreachable, match=r"missing\.db is not there"):
            reader.open(None)
    assert not (tmp_path / "missing.db").exists()


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT * FROM t ORDER  BY id", True),
        ("select * from t order\nby id", True),
        ("SELECT * FROM (SELECT * FROM t ORDER BY id)", False),
        ("SELECT row_number() OVER (PARTITION BY (a) ORDER BY id) FROM t", False),
        ("SELECT 'order by' FROM t -- order by id", False),
        ('SELECT "order by" /* order by */ FROM t', False),
        ("SELECT f((a), ')') FROM t ORDER BY 1", True),
        ("SELECT * FROM border_by", False),
    ],
)
def test_order_is_seen_where_it_counts(query: str, answer: bool) -> None:
    assert ordered(query) is answer
