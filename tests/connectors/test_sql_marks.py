"""A position is kept with the records, or neither; and it is never set back by a run that has been overtaken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateTable

from teleporter_lab.connectors.sql import SqlAddressOptions, SqlConnector
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.connectors.sql_marks import Marks
from teleporter_lab.engine.endpoints import Mark
from teleporter_lab.errors import Conflict, ConnectorError
from teleporter_lab.testing.calls import call
from teleporter_lab.testing.exactly_once_contract import ExactlyOnceCase, ExactlyOnceSinkContract
from tests.connectors.sql_target import DRIVERS, Target, opened, some, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "/position/n/t/s/in"
UPSERT: dict[str, Any] = {"mode": "upsert", "keys": ["id"], "exactly_once": True}


@pytest.fixture(params=DRIVERS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    made = target_of(request, tmp_path / "goods.db")
    made.run("CREATE TABLE goods (id BIGINT PRIMARY KEY, name TEXT)")
    yield made
    made.database.close()


def mark(text: str, expect: str | None = None, key: str = KEY) -> Mark:
    return Mark(key, text, expect, text)


def rows(*ids: int) -> list[dict[str, Any]]:
    return [{"id": number, "name": "x"} for number in ids]


class TestExactlyOnce(ExactlyOnceSinkContract):
    """The contract, where each record would be there twice if it were written twice."""

    @pytest.fixture(params=["rows", "columns"])
    def case(self, request: pytest.FixtureRequest, target: Target) -> ExactlyOnceCase:
        target.run("DROP TABLE goods", "CREATE TABLE goods (id BIGINT, name VARCHAR(20) CHECK (length(name) < 20))")
        records = [{"id": n, "name": f"name {n}"} for n in range(12)]
        return ExactlyOnceCase(
            make=lambda: target.sink(exactly_once=True),
            read_back=target.rows,
            records=records,
            bad=[*records[:3], {"id": 99, "name": "x" * 20}],
            form=pa.RecordBatch.from_pylist if request.param == "columns" else list,
        )


async def test_records_and_position_are_stored_together(target: Target) -> None:
    async with opened(target, **UPSERT) as sink:
        assert await call(sink.marked, KEY) is None
        await call(sink.write_marked, rows(1, 2), mark("a"))
        assert await call(sink.marked, KEY) == "a"
        await call(sink.write_marked, some(id=[3], name=["x"]), mark("b", "a"))
        await call(sink.write_marked, [], mark("c", "b"))
        await call(sink.write_marked, [], mark("other", key=f"{KEY}2"))
        assert await call(sink.marked, KEY) == "c"
    async with opened(target, **UPSERT) as sink:
        assert [await call(sink.marked, key) for key in (KEY, f"{KEY}2", "none")] == ["c", "other", None]
    assert [row["id"] for row in target.rows()] == [1, 2, 3]


@pytest.mark.parametrize("expect", [None, "old"])
async def test_a_run_that_has_been_overtaken_stores_nothing(target: Target, expect: str | None) -> None:
    async with opened(target, **UPSERT) as sink:
        await call(sink.write_marked, rows(1), mark("new"))
        with pytest.raises(Conflict, match=r"^Another run has written the position /position/n/t/s/in since; "):
            await call(sink.write_marked, rows(2), mark("mine", expect))
        assert await call(sink.marked, KEY) == "new"
    async with opened(target, **UPSERT) as sink:
        with pytest.raises(Conflict):
            await call(sink.write_marked, rows(3), mark("mine", "never", key="nothing"))
    assert [row["id"] for row in target.rows()] == [1]


async def test_a_refused_batch_leaves_the_position(target: Target) -> None:
    async with opened(target, exactly_once=True) as sink:
        await call(sink.write_marked, rows(1), mark("a"))
        with pytest.raises(ConnectorError, match="refused the batch for goods, of which nothing is stored: "):
            await call(sink.write_marked, rows(2, 1), mark("b", "a"))
        assert await call(sink.marked, KEY) == "a"
        await call(sink.write_marked, rows(2), mark("b", "a"))
    assert [row["id"] for row in target.rows()] == [1, 2]


async def test_a_batch_that_was_stored_though_its_answer_was_lost_is_not_stored_again(target: Target) -> None:
    target.run("DROP TABLE goods", "CREATE TABLE goods (id BIGINT, name TEXT)")
    async with opened(target, exactly_once=True) as sink:
        for text, expect in (("a", None), ("b", "a")):
            await call(sink.write_marked, rows(1), mark(text, expect))
            await call(sink.write_marked, rows(1), mark(text, expect))
    assert [row["id"] for row in target.rows()] == [1, 1]


async def test_of_two_runs_only_one_goes_on(target: Target) -> None:
    async with opened(target, **UPSERT) as first, opened(target, **UPSERT) as second:
        for expect, number in ((None, 1), ("1-first", 2), ("2-first", 3)):
            await call(first.write_marked, rows(number), mark(f"{number}-first", expect))
            with pytest.raises(Conflict):
                await call(second.write_marked, rows(number + 10), mark(f"{number}-second", expect))
    assert [row["id"] for row in target.rows()] == [1, 2, 3]


@pytest.mark.postgres
@pytest.mark.parametrize("target", ["postgresql"], indirect=True)
@pytest.mark.parametrize("expect", [None, "start"])
async def test_of_two_at_the_same_time_one_is_told(target: Target, expect: str | None) -> None:
    async with opened(target, **UPSERT) as first, opened(target, **UPSERT) as second:
        if expect:
            await first.write_marked([], mark("start"))
        both = (sink.write_marked(rows(n), mark(str(n), expect)) for n, sink in enumerate((first, second)))
        done = await asyncio.gather(*both, return_exceptions=True)
        kept = await first.marked(KEY)
    assert sorted(map(repr, map(type, done))) == sorted(map(repr, (type(None), Conflict)))
    assert [row["id"] for row in target.rows()] == [int(kept)]


async def test_the_table_of_positions_is_made_once_and_may_have_another_name(target: Target) -> None:
    options = {**UPSERT, "position_table": "My positions"}
    for _ in range(2):
        async with opened(target, **options) as sink:
            await call(sink.write_marked, [], mark("a", await call(sink.marked, KEY)))
    assert [row["key"] for row in target.rows('SELECT * FROM "My positions"')] == [KEY]
    async with opened(target, **UPSERT), opened(target, **UPSERT):
        assert target.rows("SELECT * FROM teleporter_position") == []


def test_what_has_no_transactions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(SqlAddressOptions(url=f"sqlite:///{tmp_path}/x.db"))
    marks = Marks(database, "p")
    monkeypatch.setattr(database.engine.dialect, "name", "hive")
    with pytest.raises(ConnectorError, match=r"cannot keep positions for exactlyOnce: hive is not known to have tran"):
        marks.must_be_able("t")
    monkeypatch.setattr(database.engine.dialect, "name", "mysql")
    monkeypatch.setattr(marks, "_engine_of", lambda table: "InnoDB" if table == "good" else "MyISAM")
    marks.must_be_able("good")
    with pytest.raises(ConnectorError, match=r"the table t is of the engine MyISAM, which has no transactions\.$"):
        marks.must_be_able("t")
    database.close()


def test_autocommit_is_refused() -> None:
    database = Database(SqlAddressOptions(url="postgresql://h/db?autocommit=true"))
    with pytest.raises(ConnectorError, match=r"exactlyOnce: its url asks for autocommit\.$"):
        Marks(database, "p").must_be_able("t")


def test_mysql_gets_a_table_that_it_can_index(tmp_path: Path) -> None:
    marks = Marks(Database(SqlAddressOptions(url=f"sqlite:///{tmp_path}/x.db")), "p")
    made = " ".join(str(CreateTable(marks._table).compile(dialect=mysql.dialect())).split())
    assert made == (
        "CREATE TABLE p ( `key` VARCHAR(700) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, "
        "record LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, "
        "updated DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (`key`) )ENGINE=InnoDB"
    )


def test_it_is_declared() -> None:
    assert SqlConnector.spec("sink").exactly_once == "any"
