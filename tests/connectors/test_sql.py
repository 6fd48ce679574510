"""The SQL connector keeps the promises of a source and of a sink on SQLite, and its forms say what is wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from teleporter_lab.connectors.base import Registry
from teleporter_lab.connectors.sql import SqlAddressOptions, SqlConnector, SqlSinkOptions, SqlSourceOptions
from teleporter_lab.errors import ConnectorError
from teleporter_lab.testing.sink_contract import SinkCase, SinkContract
from teleporter_lab.testing.source_contract import SourceCase, SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.connectors.sql_database import Database

RECORDS = [{"id": n * 3, "name": f"Zoë {n}", "price": n / 4, "raw": b"\x00" if n % 2 else None} for n in range(100)]
SETUP = ["CREATE TABLE IF NOT EXISTS goods (id INTEGER PRIMARY KEY, name TEXT, price REAL, raw BLOB)"]
LOG = ["CREATE TABLE IF NOT EXISTS goods (id INTEGER, name TEXT, price REAL, raw BLOB)"]

Look = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "goods.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Registry.load().get("sql").spec("address").make(SqlAddressOptions(url=f"sqlite:///{path}"), None)
    yield database
    database.close()


@pytest.fixture
def look(path: Path) -> Look:
    """Asks the database without the connector; an absent table is empty."""

    def look(query: str = "SELECT * FROM goods ORDER BY rowid") -> list[dict[str, Any]]:
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    return look


def fill(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(SETUP[0])
        connection.executemany("INSERT INTO goods VALUES (:id, :name, :price, :raw)", RECORDS)


def source(database: Database, **options: Any) -> Any:
    return SqlConnector.spec("source").make(SqlSourceOptions(**options), database)


def sink(database: Database, **options: Any) -> Any:
    return SqlConnector.spec("sink").make(SqlSinkOptions(table="goods", **options), database)


class TestKeysetSource(SourceContract):
    @pytest.fixture
    def case(self, path: Path, database: Database) -> SourceCase:
        fill(path)
        query = "SELECT *, ':x' || '12:30' AS text FROM goods WHERE id % 2 >= 0; "
        expected = [{**record, "text": ":x12:30"} for record in RECORDS]
        return SourceCase(lambda: source(database, query=query, key="id", page_size=7), expected)


class TestTextKeySource(SourceContract):
    @pytest.fixture
    def case(self, path: Path, database: Database) -> SourceCase:
        fill(path)
        expected = sorted(RECORDS, key=lambda record: str(record["name"]))
        return SourceCase(
            lambda: source(database, query="SELECT * FROM goods -- all", key="name", page_size=30), expected
        )


class TestOrderedSource(SourceContract):
    @pytest.fixture
    def case(self, path: Path, database: Database) -> SourceCase:
        fill(path)
        query = "SELECT * FROM goods ORDER BY id DESC"
        return SourceCase(lambda: source(database, query=query, page_size=9), RECORDS[::-1])


class TestInsertSink(SinkContract):
    @pytest.fixture
    def case(self, database: Database, look: Look) -> SinkCase:
        return SinkCase(
            make=lambda: sink(database, setup=LOG),
            read_back=look,
            records=RECORDS,
            bad=[*RECORDS[:5], {"id": 1000, "name": "no price", "raw": None}],
        )


class TestUpsertSink(SinkContract):
    @pytest.fixture
    def case(self, database: Database, look: Look) -> SinkCase:
        return SinkCase(
            make=lambda: sink(database, mode="upsert", keys=["id"], setup=SETUP),
            read_back=look,
            records=RECORDS,
            bad=[*RECORDS[:5], {**RECORDS[5], "id": 1 << 70}],
            idempotent=True,
        )


class TestUpdateElseInsertSink(SinkContract):
    @pytest.fixture
    def case(self, database: Database, look: Look) -> SinkCase:
        return SinkCase(
            make=lambda: sink(database, mode="updateElseInsert", keys=["id"], setup=LOG),
            read_back=look,
            records=RECORDS,
            bad=[*RECORDS[:5], {**RECORDS[5], "id": 1 << 70}],
            idempotent=True,
        )


class TestInsertIgnoreSink(SinkContract):
    @pytest.fixture
    def case(self, database: Database, look: Look) -> SinkCase:
        return SinkCase(
            make=lambda: sink(database, mode="insertIgnore", setup=SETUP),
            read_back=look,
            records=RECORDS,
            bad=[*RECORDS[:5], {**RECORDS[5], "price": object()}],
            idempotent=True,
        )


def test_what_is_shared_is_one_address_for_source_and_sink(path: Path, database: Database, look: Look) -> None:
    fill(path)
    reader, writer = (
        source(database, query="SELECT id, name FROM goods", key="id"),
        sink(database, mode="delete", keys=["id"]),
    )
    reader.open(None)
    writer.open()
    while (chunk := reader.read(10)) is not None:
        writer.write(chunk[1:])
    assert [row["id"] for row in look()] == [record["id"] for record in RECORDS[::10]]
    assert reader.statistics() == writer.statistics() | {"records": 100}


def test_an_address_is_needed() -> None:
    with pytest.raises(ConnectorError, match="needs an address of category sql; none is configured"):
        SqlConnector.spec("source").make(SqlSourceOptions(query="SELECT 1"), None)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"mode": "upsert"}, "keys must name the columns by which upsert finds a row"),
        ({"mode": "delete"}, "keys must name the columns by which delete finds a row"),
        ({"mode": "upsert", "keys": ["id"], "columns": ["name"]}, "columns must contain the key id"),
        ({"mode": "merge"}, "Input should be 'insert', 'upsert', 'insertIgnore', 'updateElseInsert' or"),
        ({"mode": "updateElseInsert"}, "keys must name the columns by which updateElseInsert finds a row"),
        ({"update": ["a"]}, "update is for upsert and updateElseInsert, not for insert"),
        ({"mode": "upsert", "keys": ["id"], "update": ["id"]}, "update must not contain the key id"),
        (
            {"mode": "upsert", "keys": ["id"], "columns": ["id", "a"], "update": ["b"]},
            "columns must contain b, which update names",
        ),
        ({"exactly_once": True, "connections": 2}, "connections must be 1 with exactlyOnce"),
        ({"connections": 17}, "Input should be less than or equal to 16"),
    ],
)
def test_sink_forms_refuse_what_cannot_work(options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        SqlSinkOptions(table="t", **options)


@pytest.mark.parametrize("pragmas", [{"x; DROP TABLE t": 1}, {"cache_size": "1; DROP TABLE t"}])
def test_a_pragma_is_a_name_and_a_word(pragmas: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SqlAddressOptions(url="sqlite:///x", pragmas=pragmas)
