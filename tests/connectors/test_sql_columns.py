"""Queries are read as columns: the rows, positions and refusals of the row form, on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.connectors.sql import SqlAddressOptions, SqlConnector, SqlSourceOptions
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError
from teleporter_lab.testing.source_contract import ColumnarSourceContract, SourceCase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres

RECORDS = [
    {
        "id": n * 3,
        "name": f"Zoë {n}",
        "price": n / 4,
        "raw": b"\x00\xff" if n % 2 else None,
        "late": "x" if n > 60 else None,
    }
    for n in range(100)
]
MADE = "CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT, price DOUBLE PRECISION, raw {bytes}, late TEXT)"


def fill_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(MADE.format(bytes="BLOB"))
        connection.executemany("INSERT INTO goods VALUES (:id, :name, :price, :raw, :late)", RECORDS)


@pytest.fixture(params=["sqlite", "sqlite by ADBC", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with the table `goods`, of each kind."""
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        postgres.run(MADE.format(bytes="BYTEA"))
        postgres.fill("goods", RECORDS)
        made = Database(SqlAddressOptions(url=postgres.url))
    else:
        fill_sqlite(tmp_path / "goods.db")
        made = Database(SqlAddressOptions(url=f"sqlite:///{tmp_path}/goods.db", adbc=request.param == "sqlite by ADBC"))
    yield made
    made.close()


def columns(database: Database, **options: Any) -> Any:
    spec = SqlConnector.spec("source")
    assert spec.columnar is not None
    return spec.columnar(SqlSourceOptions(**options), database)


def rows(database: Database, **options: Any) -> Any:
    return SqlConnector.spec("source").make(SqlSourceOptions(**options), database)


def everything(reader: Any, position: Any = None, n: int = 1000) -> list[dict[str, Any]]:
    reader.open(position)
    records: list[dict[str, Any]] = []
    while (chunk := reader.read(n)) is not None:
        records += chunk if isinstance(chunk, list) else chunk.to_pylist()
    reader.close()
    return records


def case_of(database: Database, options: dict[str, Any], expected: list[dict[str, Any]]) -> SourceCase:
    few = 4 if database.backend == "postgresql" else 50
    return SourceCase(lambda: columns(database, **options), expected, lambda: rows(database, **options), few)


class TestKeysetColumns(ColumnarSourceContract):
    @pytest.fixture
    def case(self, database: Database) -> SourceCase:
        options = {
            "query": "SELECT *, ':x' || '12:30' AS text FROM goods WHERE id % 2 >= 0; ",
            "key": "id",
            "page_size": 7,
        }
        expected = [{**record, "text": ":x12:30"} for record in RECORDS]
        return case_of(database, options, expected)


class TestTextKeyColumns(ColumnarSourceContract):
    @pytest.fixture
    def case(self, database: Database) -> SourceCase:
        options = {"query": "SELECT * FROM goods -- all", "key": "name", "page_size": 30}
        expected = sorted(RECORDS, key=lambda record: str(record["name"]))
        return case_of(database, options, expected)


class TestOrderedColumns(ColumnarSourceContract):
    @pytest.fixture
    def case(self, database: Database) -> SourceCase:
        options = {"query": "SELECT * FROM goods ORDER BY id DESC", "page_size": 9}
        return case_of(database, options, RECORDS[::-1])


def test_a_column_that_is_empty_at_first_has_the_type_of_its_first_value(database: Database) -> None:
    reader = columns(database, query="SELECT id, late, NULL AS never FROM goods", key="id", page_size=5)
    reader.open(None)
    batch = reader.read(5)
    assert batch.schema.field("late").type == pa.string()
    assert batch.schema.field("never").type == pa.string()
    reader.close()


def test_a_resumed_read_has_the_types_that_the_first_one_had(database: Database) -> None:
    query = "SELECT id, CASE WHEN id < 150 THEN 1.5 ELSE 2.0 END AS n FROM goods"
    schemas: list[Any] = []
    for position in (None, {"key": 200}):
        reader = columns(database, query=query, key="id", page_size=10)
        reader.open(position)
        schemas.append(reader.read(5).schema)
        reader.close()
    assert schemas[0].equals(schemas[1])


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"key": "twice"}, "The key twice must be unique: a value stands twice"),
        ({"key": "hole"}, "The key hole must hold numbers or text and no nulls"),
        ({"key": "raw"}, "The key raw must hold numbers or text and no nulls"),
        ({"key": "nosuch"}, "nosuch"),
        ({"key": "id", "types": {"other": "int"}}, "The query has no column other; it has id, raw, twice, hole"),
        ({"key": "id", "types": {"raw": "int"}}, "raw"),
        ({"types": {"other": "int"}}, "The query has no column other"),
    ],
)
def test_what_could_lose_rows_or_fits_nowhere_is_refused(database: Database, options: Any, wrong: str) -> None:
    query = "SELECT id, raw, id / 10 AS twice, NULLIF(id, 3) AS hole FROM goods WHERE raw IS NOT NULL OR id = 0"
    reader = columns(database, query=query, page_size=50, **options)
    with pytest.raises(ConnectorError, match=wrong) as raised:
        everything(reader)
    reader.close()
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("key", [None, "id"])
def test_mistakes_are_told_in_a_sentence(database: Database, key: str | None) -> None:
    for query, wrong in (
        ("SELECT * FROM nosuch", r"refused the query: .*nosuch[^.]*\.$"),
        ("SELEKT 1", r"refused the query: .*[^.]\.$"),
        ("SELECT id, id FROM goods", r"The query gives the column id twice; name them apart with AS\.$|ambiguous"),
    )[: 2 if key and database.file else 3]:  # of a query inside another one SQLite numbers such columns itself
        reader = columns(database, query=query, key=key)
        with pytest.raises(ConnectorError, match=wrong):
            everything(reader)
        reader.close()


def test_without_an_order_a_resumed_read_starts_over(database: Database) -> None:
    reader = columns(database, query="SELECT id FROM goods")
    reader.open({"row": 5})
    assert len(reader.read(4)) == 4
    assert reader.position is None
    assert reader.statistics() == {"records": 4}
    reader.close()


def test_a_position_behind_the_last_row_is_the_end(database: Database) -> None:
    reader = columns(database, query="SELECT id FROM goods ORDER BY id")
    reader.open({"row": 500})
    assert reader.read(1) is None
    assert reader.position == {"row": 100}


@pytest.mark.parametrize("position", [{"offset": 1}, 5])
def test_a_position_of_something_else_is_refused(database: Database, position: Any) -> None:
    with pytest.raises(ConnectorError, match="is no position of a query"):
        columns(database, query="SELECT * FROM goods", key="id").open(position)
    with pytest.raises(ConnectorError, match="is no position of a query"):
        columns(database, query="SELECT 1 ORDER BY 1").open(position)


def test_an_empty_table_has_no_rows(database: Database) -> None:
    for key in (None, "id"):
        reader = columns(database, query="SELECT * FROM goods WHERE id < 0", key=key)
        assert everything(reader) == []


def test_types_make_of_a_column_what_they_say(database: Database) -> None:
    query = (
        "SELECT id, '2024-01-02' AS d, '2024-01-02 03:04:05' AS t, '2024-01-02T03:04:05Z' AS z, '1.50' AS m, "
        "id AS f, id AS s, 1 AS b FROM goods WHERE id < 5"
    )
    types = {"d": "date", "t": "datetime", "z": "datetime", "m": "decimal", "f": "float", "s": "text", "b": "bool"}
    (first, second) = everything(columns(database, query=query, key="id", types=types))
    assert second == {
        "id": 3,
        "d": date(2024, 1, 2),
        "t": datetime(2024, 1, 2, 3, 4, 5),
        "z": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "m": Decimal("1.5"),
        "f": 3.0,
        "s": "3",
        "b": True,
    }
    assert first["s"] == "0"


Look = Callable[..., None]


@pytest.mark.parametrize("adbc", [False, True])
def test_a_column_of_sqlite_that_changes_its_type_is_told(tmp_path: Path, adbc: bool) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER, v)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, 5), (2, 6), (3, 7.5), (4, "x")])
    database = Database(SqlAddressOptions(url=f"sqlite:///{tmp_path}/x.db", adbc=adbc))
    reader = columns(database, query="SELECT * FROM t WHERE id < 4", key="id", page_size=1)
    with pytest.raises(ConnectorError, match=r"column v .*`types`\.$"):
        everything(reader)
    reader.close()
    kept = everything(
        columns(database, query="SELECT * FROM t WHERE id < 4", key="id", page_size=1, types={"v": "float"})
    )
    assert [row["v"] for row in kept] == [5.0, 6.0, 7.5]
    texts = everything(columns(database, query="SELECT * FROM t", key="id", types={"v": "text"}))
    assert [row["v"] for row in texts][3:] == ["x"]
    assert adbc or [row["v"] for row in texts] == ["5", "6", "7.5", "x"]  # ADBC's SQLite writes numbers its own way
    database.close()


@pytest.mark.parametrize("adbc", [False, True])
def test_a_database_file_that_is_not_there_is_not_made(tmp_path: Path, adbc: bool) -> None:
    missing = Database(SqlAddressOptions(url=f"sqlite:///{tmp_path}/missing.db", adbc=adbc))
    for key in (None, "id"):
        with pytest.raises(AddressUnreachable, match=r"missing\.db is not there"):
            columns(missing, query="SELECT 1", key=key).open(None)
    assert not (tmp_path / "missing.db").exists()


def test_one_connection_is_enough_for_a_cursor_and_its_types(tmp_path: Path) -> None:
    fill_sqlite(tmp_path / "goods.db")
    database = Database(SqlAddressOptions(url=f"sqlite:///{tmp_path}/goods.db", pool_size=1))
    reader = columns(database, query="SELECT * FROM goods ORDER BY id", page_size=5)
    assert everything(reader) == RECORDS
    assert database.statistics() == {"in_use": 0, "idle": 1}
    database.close()


def read_on(reader: Any, got: list[int]) -> None:
    """Reads to the end, or an error; `got` has the ids as far as they came."""
    while (batch := reader.read(7)) is not None:
        got += batch["id"].to_pylist()


def sometimes_text(path: Path, adbc: bool) -> Database:
    """Whole numbers in `v`, but a text in the row 11."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER, v)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x" if n == 11 else n) for n in range(1, 21)])
    return Database(SqlAddressOptions(url=f"sqlite:///{path}", adbc=adbc))


@pytest.mark.parametrize("adbc", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_by_key_a_bad_row_comes_after_the_good_ones_and_is_passed(tmp_path: Path, adbc: bool, size: int) -> None:
    database = sometimes_text(tmp_path / "x.db", adbc)
    reader = columns(database, query="SELECT * FROM t", key="id", page_size=size)
    reader.open(None)
    got: list[int] = []
    while len(got) < 10:
        got += reader.read(100)["id"].to_pylist()
    with pytest.raises(BadRecord, match=r"column v .*`types`\.$"):
        reader.read(100)
    while (batch := reader.read(100)) is not None:
        got += batch["id"].to_pylist()
    assert got == [n for n in range(1, 21) if n != 11]
    reader.close()
    again = columns(database, query="SELECT * FROM t", key="id", page_size=size)
    assert [row["id"] for row in everything(again, {"key": 11})] == list(range(12, 21))
    database.close()


@pytest.mark.parametrize("adbc", [False, True])
def test_after_a_failed_read_of_a_whole_result_the_same_error_comes_again(tmp_path: Path, adbc: bool) -> None:
    database = sometimes_text(tmp_path / "x.db", adbc)
    for order in ("", " ORDER BY id"):
        reader = columns(database, query=f"SELECT * FROM t{order}", page_size=5)
        reader.open(None)
        got: list[int] = []
        with pytest.raises(ConnectorError) as first:
            read_on(reader, got)
        for _ in range(3):
            with pytest.raises(ConnectorError) as again:
                reader.read(3)
            assert again.value.message == first.value.message
        assert got == list(range(1, len(got) + 1))
        reader.close()
    database.close()


def test_after_a_passing_error_a_whole_result_goes_on_where_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = columns(database, query="SELECT id FROM goods ORDER BY id", page_size=6)
    reader.open(None)
    got: list[int] = []
    whole, fetch = reader._fetch.whole, reader._fetch
    failed: list[int] = []

    def flaky() -> Any:
        batches = whole()
        try:
            for batch in batches:
                for at in range(len(batch)):
                    if len(got) == 40 and len(failed) < 2:
                        failed.append(at)
                        raise AddressUnreachable("The line is cut.")
                    yield batch.slice(at, 1)
        finally:
            batches.close()

    reader.close()
    monkeypatch.setattr(fetch, "whole", flaky)
    reader = type(reader)(SqlSourceOptions(query="SELECT id FROM goods ORDER BY id", page_size=6), database, fetch)
    reader.open(None)
    for _ in range(2):
        with pytest.raises(AddressUnreachable, match="cut"):
            read_on(reader, got)
    read_on(reader, got)
    assert got == [record["id"] for record in RECORDS]
    assert reader.position == {"row": 100}
    assert reader.read(7) is None
    reader.close()
