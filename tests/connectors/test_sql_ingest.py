"""Columns are written to SQLite and PostgreSQL as rows would be, a batch a transaction."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.connectors import sql_ingest
from teleporter_lab.connectors.sql import SqlAddressOptions, SqlConnector, SqlSinkOptions
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError
from teleporter_lab.testing.sink_contract import ColumnarSinkContract, SinkCase
from tests.connectors.sql_target import DRIVERS, Target, some, target_of, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres

RECORDS = [{"id": n * 3, "name": f"Zoë {n}", "price": n / 4, "raw": b"\x00\xff" if n % 2 else None} for n in range(20)]
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string()), ("price", pa.float64()), ("raw", pa.binary())])


@pytest.fixture(params=DRIVERS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    made = target_of(request, tmp_path / "goods.db")
    yield made
    made.database.close()


def form(records: Any) -> Any:
    """The batch that records are; an id that no column can hold makes a batch that no table takes."""
    if any(each["id"] > 1 << 60 for each in records):
        return pa.RecordBatch.from_pylist(list(records)).set_column(0, "id", pa.array(["no id"] * len(records)))
    return pa.RecordBatch.from_pylist(list(records), schema=SCHEMA)


BAD = [*RECORDS[:5], {**RECORDS[5], "id": 1 << 61}]


class TestInsertOfColumns(ColumnarSinkContract):
    @pytest.fixture
    def case(self, target: Target) -> SinkCase:
        setup = target.made(key=False)
        if target.kind == "sqlite":  # which would keep the text
            setup = [setup[0].replace("id BIGINT", "id BIGINT CHECK (typeof(id) = 'integer')")]
        read = target.rows
        order = "ctid" if target.kind == "postgresql" else "rowid"
        return SinkCase(
            make=lambda: target.sink(setup=setup),
            read_back=lambda: read(f"SELECT * FROM goods ORDER BY {order}"),
            records=RECORDS,
            bad=BAD,
            form=form,
        )


class TestUpsertOfColumns(ColumnarSinkContract):
    @pytest.fixture
    def case(self, target: Target) -> SinkCase:
        setup = target.made(key=True)
        if target.kind == "sqlite":
            setup = [setup[0].replace("id BIGINT", "id INTEGER")]
        return SinkCase(
            make=lambda: target.sink(mode="upsert", keys=["id"], setup=setup),
            read_back=target.rows,
            records=RECORDS,
            bad=BAD,
            idempotent=True,
            form=form,
        )


class TestInsertIgnoreOfColumns(ColumnarSinkContract):
    @pytest.fixture
    def case(self, target: Target) -> SinkCase:
        setup = target.made(key=True)
        if target.kind == "sqlite":
            setup = [setup[0].replace("id BIGINT", "id BIGINT CHECK (typeof(id) = 'integer')")]
        mode = {"mode": "insertIgnore", "keys": ["id"]} if target.kind == "sqlite" else {"mode": "insertIgnore"}
        return SinkCase(
            make=lambda: target.sink(setup=setup, **mode),
            read_back=target.rows,
            records=RECORDS,
            bad=BAD,
            idempotent=True,
            form=form,
        )


async def test_of_the_same_key_twice_in_a_batch_the_last_one_wins(target: Target) -> None:
    batch = some(id=[1, 2, 1, 2], name=["a", "b", "c", "d"])
    found = await written(target, batch, mode="upsert", keys=["id"], setup=target.made(key=True))
    assert [(row["id"], row["name"]) for row in found] == [(1, "c"), (2, "d")]


async def test_upsert_and_ignore_keep_what_they_should(target: Target) -> None:
    setup = target.made(key=True)
    await written(target, some(id=[1, 2], name=["kept", "old"], price=[1.0, 2.0]), setup=setup)
    found = await written(target, some(id=[2, 3], name=["new", "new"]), mode="upsert", keys=["id"])
    assert [(row["name"], row["price"]) for row in found] == [("kept", 1.0), ("new", 2.0), ("new", None)]
    found = await written(target, some(id=[1, 4, 4], name=["x", "first", "second"]), mode="insertIgnore", keys=["id"])
    assert [row["name"] for row in found] == ["kept", "new", "new", "first"]
    found = await written(target, some(id=[1, 5]), mode="upsert", keys=["id"])
    assert [(row["id"], row["name"]) for row in found][-1] == (5, None)


async def test_delete_needs_the_keys_only_and_forgives_absent_rows(target: Target) -> None:
    await written(target, some(id=list(range(5)), name=["x"] * 5), setup=target.made(key=True))
    batch = some(more=[0, 0, 0], id=[1, 2, 99], name=["x", "y", "x"])
    assert [row["id"] for row in await written(target, batch, mode="delete", keys=["id", "name"])] == [0, 2, 3, 4]


async def test_columns_are_chosen_by_the_config(target: Target) -> None:
    batch = some(more=[9], name=["x"], id=[1])
    found = await written(target, batch, columns=["id", "name"], setup=target.made(key=False))
    assert found == [{"id": 1, "name": "x", "price": None, "raw": None}]
    with pytest.raises(ConnectorError, match=r"The table goods has no column more; it has id, name, price, raw\."):
        await written(target, batch)
    with pytest.raises(ConnectorError, match=r"The batch for goods lacks the column id\."):
        await written(target, some(name=["x"]), columns=["id", "name"])


async def test_what_the_database_refuses_is_told_in_a_sentence(target: Target) -> None:
    with pytest.raises(ConnectorError, match=r"refused the batch for goods, of which nothing is stored: .*[^.]\.$"):
        await written(target, some(id=[1, 1]), setup=target.made(key=True))
    assert target.rows() == []


@pytest.mark.postgres
def test_exact_types_are_copied_and_others_go_by_a_stage(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    postgres.run("CREATE SCHEMA s", 'CREATE TABLE s."Goods" ("Id" INT PRIMARY KEY, "na me" TEXT, UNIQUE ("na me"))')
    staged: list[int] = []
    whole = sql_ingest.Ingest._by_stage
    monkeypatch.setattr(
        sql_ingest.Ingest,
        "_by_stage",
        lambda self, cursor, batch: (staged.append(len(batch)), whole(self, cursor, batch)),
    )
    database = Database(SqlAddressOptions(url=postgres.url.replace("postgresql", "postgresql+psycopg")))

    def write(batch: Any, **options: Any) -> None:
        sink = SqlConnector.spec("sink").make(SqlSinkOptions(table="s.Goods", **options), database)
        sink.open()
        sink.write(batch)
        sink.close()

    write(pa.RecordBatch.from_pydict({"na me": ["a", "b"], "Id": [1, 2]}))
    assert staged == []
    write(pa.RecordBatch.from_pydict({"na me": ["c"], "Id": ["3"]}))
    write(pa.RecordBatch.from_pydict({"na me": [None, None, "d"], "Id": [4, 5, 6]}), mode="upsert", keys=["na me"])
    write(pa.RecordBatch.from_pydict({"na me": ["d"], "Id": [7]}), mode="upsert", keys=["na me"])
    assert staged == [1, 3, 1]
    found = postgres.rows('SELECT * FROM s."Goods" ORDER BY 1')
    assert [(row["Id"], row["na me"]) for row in found] == [
        (1, "a"),
        (2, "b"),
        (3, "c"),
        (4, None),
        (5, None),
        (7, "d"),
    ]
    database.close()


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
async def test_a_view_is_written_as_rows_would_be(tmp_path: Path, postgres: Postgres, driver: str) -> None:
    postgres.run(
        "CREATE TABLE base (id BIGINT, name TEXT)", "CREATE VIEW goods AS SELECT name, id FROM base WHERE id > 0"
    )
    target = Target(tmp_path, postgres, driver)
    assert await written(target, some(id=[1], name=["x"])) == [{"name": "x", "id": 1}]
    target.database.close()


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
async def test_a_batch_of_other_types_finds_a_stage_of_its_own(tmp_path: Path, postgres: Postgres, driver: str) -> None:
    postgres.run("CREATE TABLE goods (id BIGINT PRIMARY KEY, name TEXT)")
    target = Target(tmp_path, postgres, driver)
    batches = [
        some(id=[1], name=["a"]),
        some(id=["2"], name=["b"]),
        some(id=["1", "3"], name=["c", "d"]),
        some(id=[3], name=[4]),
    ]
    found = await written(target, *batches, mode="upsert", keys=["id"])
    assert [(row["id"], row["name"]) for row in found] == [(1, "c"), (2, "b"), (3, "4")]
    target.database.close()


@pytest.mark.postgres
def test_a_lost_connection_is_told_and_the_next_batch_has_a_new_one(tmp_path: Path, postgres: Postgres) -> None:
    postgres.run("CREATE TABLE goods (id BIGINT)")
    target = Target(tmp_path, postgres, "postgresql+psycopg")
    sink = target.sink()
    sink.open()
    sink.write(some(id=[1]))
    others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    postgres.run(f"SELECT pg_terminate_backend(pid) FROM {others}")
    with pytest.raises(AddressUnreachable, match="went away during the batch for goods, of which nothing is stored: "):
        sink.write(some(id=[2]))
    sink.write(some(id=[2]))
    sink.close()
    assert [row["id"] for row in target.rows()] == [1, 2]
    target.database.close()


async def test_sqlite_keeps_columns_in_the_form_of_rows(tmp_path: Path) -> None:
    target = Target(tmp_path / "x.db")
    batch = some(
        id=[1],
        d=[date(2024, 1, 2)],
        t=[datetime(2024, 1, 2, 3, 4, 5)],
        m=[Decimal("1.50")],
        j=[{"a": [1]}],
        o=[True],
    )
    setup = ["CREATE TABLE goods (id INTEGER, d TEXT, t TEXT, m TEXT, j TEXT, o INTEGER)"]
    expected = {
        "id": 1,
        "d": "2024-01-02",
        "t": "2024-01-02 03:04:05",
        "m": "1.50",
        "j": json.dumps({"a": [1]}),
        "o": 1,
    }
    assert [{**row, "j": json.dumps(json.loads(row["j"]))} for row in await written(target, batch, setup=setup)] == [
        expected
    ]
    target.database.close()


@pytest.mark.postgres
@pytest.mark.parametrize("kind", [pa.int64(), pa.int32()])
async def test_a_value_that_the_table_does_not_take_is_a_bad_record(
    tmp_path: Path, postgres: Postgres, kind: Any
) -> None:
    target = Target(tmp_path, postgres, "postgresql+psycopg")
    batch = pa.RecordBatch.from_arrays([pa.array([1, 1], kind)], names=["id"])
    with pytest.raises(BadRecord, match="duplicate key value violates unique constraint"):
        await written(target, batch, setup=target.made(key=True))
    target.database.close()
