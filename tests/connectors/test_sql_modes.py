"""Every mode leaves in every database what writing row after row would leave."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors.columns import Columns
from teleporter_lab.connectors.sql import SqlSinkOptions
from teleporter_lab.connectors.sql_modes import configured, shaped
from teleporter_lab.errors import BadRecord, ConnectorError
from teleporter_lab.testing.calls import call
from tests.connectors.sql_target import DRIVERS, Target, opened, some, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Row = dict[str, Any]

KEYED = "CREATE TABLE goods (id BIGINT, part TEXT, name TEXT, price DOUBLE PRECISION, UNIQUE (id, part))"
LOOSE = "CREATE TABLE goods (id BIGINT, part TEXT, name TEXT, price DOUBLE PRECISION)"

ROW = st.fixed_dictionaries(
    {
        "id": st.none() | st.integers(0, 2),
        "part": st.sampled_from(["a", "b"]),
        "name": st.none() | st.sampled_from(["x", "y", "z"]),
        "price": st.integers(0, 9).map(lambda number: number / 2),
    }
)
WAYS: list[dict[str, Any]] = [
    {"mode": "insert"},
    {"mode": "upsert"},
    {"mode": "upsert", "update": ["price"]},
    {"mode": "insertIgnore"},
    {"mode": "updateElseInsert"},
    {"mode": "updateElseInsert", "update": ["name"]},
    {"mode": "delete"},
]
"""What the sink is told, beside the keys."""


@pytest.fixture(params=DRIVERS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    made = target_of(request, tmp_path / "goods.db")
    yield made
    made.database.close()


def after(rows: list[Row], record: Row, mode: str, update: list[str] | None) -> list[Row]:
    """The table once `record` has been written to it alone."""
    same = [row for row in rows if row["id"] is not None and all(row[key] == record[key] for key in ("id", "part"))]
    if mode == "delete":
        return [row for row in rows if row not in same]
    if mode == "insert" or not same:
        return [*rows, dict(record)]
    if mode != "insertIgnore":
        for row in same:
            row.update({name: record[name] for name in update or ("name", "price")})
    return rows


def ordered(rows: list[Row]) -> list[tuple[Any, ...]]:
    return sorted((tuple(row[name] for name in ("id", "part", "name", "price")) for row in rows), key=repr)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "+".join(map(str, way.values())))
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.lists(ROW, max_size=5), batches=st.lists(st.lists(ROW, min_size=1, max_size=8), max_size=3))
def test_a_batch_does_what_its_rows_would_do_one_after_the_other(
    target: Target, way: dict[str, Any], before: list[Row], batches: list[list[Row]]
) -> None:
    mode, update = way["mode"], way.get("update")
    unique = mode in ("upsert", "insertIgnore")
    target.run("DROP TABLE IF EXISTS goods", KEYED if unique else LOOSE)
    model: list[Row] = []
    for record in before:
        model = after(model, record, "upsert" if unique else "insert", None)

    async def write() -> None:
        async with opened(target, mode="insert") as sink:
            if model:
                await call(sink.write, [dict(row) for row in model])
        async with opened(target, keys=["id", "part"], **way) as sink:
            for batch in batches:
                await call(sink.write, batch)

    asyncio.run(write())
    for record in (record for batch in batches for record in batch):
        model = after(model, record, mode, update)
    assert ordered(target.rows("SELECT id, part, name, price FROM goods")) == ordered(model)


@pytest.mark.parametrize("mode", ["upsert", "updateElseInsert"])
async def test_where_there_are_only_keys_a_row_that_is_there_stays(target: Target, mode: str) -> None:
    target.run("CREATE TABLE goods (id BIGINT PRIMARY KEY, name TEXT)", "INSERT INTO goods VALUES (1, 'kept')")
    async with opened(target, mode=mode, keys=["id"]) as sink:
        await call(sink.write, [{"id": 2}, {"id": 1}, {"id": 2}])
    assert target.rows() == [{"id": 1, "name": "kept"}, {"id": 2, "name": None}]


async def test_update_else_insert_overwrites_every_row_of_the_key(target: Target) -> None:
    target.run("CREATE TABLE goods (id BIGINT, name TEXT)", "INSERT INTO goods VALUES (1, 'a'), (1, 'b'), (2, 'c')")
    async with opened(target, mode="updateElseInsert", keys=["id"]) as sink:
        await call(sink.write, [{"id": 1, "name": "x"}, {"id": 3, "name": "y"}])
    assert [tuple(row.values()) for row in target.rows()] == [(1, "x"), (1, "x"), (2, "c"), (3, "y")]


@pytest.mark.parametrize("mode", ["upsert", "updateElseInsert", "delete"])
async def test_a_batch_of_columns_does_the_same(target: Target, mode: str) -> None:
    target.run("CREATE TABLE goods (id BIGINT PRIMARY KEY, name TEXT)", "INSERT INTO goods VALUES (1, 'a'), (9, 'z')")
    async with opened(target, mode=mode, keys=["id"]) as sink:
        await call(sink.write, some(id=[1, 2, 2], name=["b", "c", "d"]))
    left = [(9, "z")] if mode == "delete" else [(1, "b"), (2, "d"), (9, "z")]
    assert [tuple(row.values()) for row in target.rows()] == left


def options(**fields: Any) -> SqlSinkOptions:
    return SqlSinkOptions(**{"table": "t", **fields})


def test_what_is_overwritten_is_all_but_the_keys_unless_update_says_less() -> None:
    columns = Columns(["id", "a", "b"], "t", exact=True)
    assert shaped(options(mode="upsert", keys=["id"]), columns, ["id", "a", "b"]).update == ("a", "b")
    assert shaped(options(mode="upsert", keys=["id"], update=["b"]), columns, ["id", "a", "b"]).update == ("b",)


def test_the_config_names_the_columns_or_the_first_record_does() -> None:
    assert configured(options()) is None
    named = configured(options(columns=["a"]))
    deleted = configured(options(mode="delete", keys=["id"]))
    assert (named and named.names, deleted and deleted.names) == (("a",), ("id",))


def test_columns_that_are_nowhere_are_told() -> None:
    columns = Columns(["id", "a"], "t", exact=True)
    with pytest.raises(ConnectorError, match=r"^The table t has no column a; it has id, b\.$"):
        shaped(options(), columns, ["id", "b"])
    with pytest.raises(ConnectorError, match=r"^The table t has no column x; it has id, a\.$"):
        shaped(options(mode="upsert", keys=["id"], update=["x"]), columns, ["id", "a"])
    with pytest.raises(BadRecord, match=r"^A record for t lacks b, which `update` names\.$"):
        shaped(options(mode="upsert", keys=["id"], update=["b"]), columns, ["id", "a", "b"])
    with pytest.raises(BadRecord, match=r"^A record for t lacks the key k\.$"):
        shaped(options(mode="upsert", keys=["k"]), columns, ["id", "a", "k"])


@pytest.mark.parametrize("mode", ["insert", "upsert", "updateElseInsert", "delete"])
@pytest.mark.parametrize("form", [list, pa.RecordBatch.from_pylist], ids=["rows", "columns"])
async def test_percent_signs_are_signs_like_others(target: Target, mode: str, form: Any) -> None:
    setup = ['CREATE TABLE "50%" ("id%" BIGINT PRIMARY KEY, "n%" TEXT)', """INSERT INTO "50%" VALUES (7, '5%')"""]
    setup.append("""DELETE FROM "50%" WHERE "n%" LIKE '%\\%%' AND "id%" % 2 = 0""")
    async with opened(target, table="50%", mode=mode, keys=["id%"], setup=setup) as sink:
        await call(sink.write, form([{"id%": 7 if mode == "delete" else 8, "n%": "x%s"}]))
    query = 'SELECT * FROM "50%" ORDER BY 1'
    database = target.database
    with database.connect("a look") as connection:
        found = connection.exec_driver_sql(query, execution_options={"no_parameters": True}).fetchall()
    assert [tuple(row) for row in found] == ([] if mode == "delete" else [(7, "5%"), (8, "x%s")])
