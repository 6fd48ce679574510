"""A sink of PostgreSQL keeps the promises of a sink, by rows and by columns, and says what is wrong with a record."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pyarrow as pa
import pytest

from teleporter_lab.connectors.sql_postgres_sink import PostgresSink
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError
from teleporter_lab.testing.parallel_sink_contract import ParallelCase, ParallelSinkContract
from teleporter_lab.testing.sink_contract import ColumnarSinkContract, SinkCase, SinkContract
from tests.connectors.sql_target import Target, opened, some, written
from tests.services.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import Server

pytestmark = pytest.mark.postgres

RECORDS = [{"id": n * 3, "name": f"Zoë {n}", "price": n / 4, "raw": b"\x00\xff" if n % 2 else None} for n in range(20)]
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string()), ("price", pa.float64()), ("raw", pa.binary())])


@pytest.fixture
def target(tmp_path: Path, postgres: Postgres) -> Iterator[Target]:
    made = Target(tmp_path, postgres)
    yield made
    made.database.close()


class AllModes(SinkContract):
    """The contract, for each mode that adds rows."""

    @pytest.fixture(params=["insert", "upsert", "insertIgnore", "updateElseInsert"])
    def case(self, request: pytest.FixtureRequest, target: Target) -> SinkCase:
        mode, adds = request.param, request.param == "insert"
        unique = mode in ("upsert", "insertIgnore")
        options: dict[str, Any] = {"mode": mode} if adds else {"mode": mode, "keys": ["id"]}
        order = "ctid" if adds else "id"
        return SinkCase(
            make=lambda: target.sink(setup=target.made(key=unique), **options),
            read_back=lambda: target.rows(f"SELECT * FROM goods ORDER BY {order}"),
            records=RECORDS,
            bad=[*RECORDS[:5], {**RECORDS[5], "name": "a\0b"}],
            idempotent=not adds,
            form=self.form,
        )

    def form(self, records: Any) -> Any:
        return list(records)


class TestRows(AllModes):
    """By rows."""


class TestColumns(ColumnarSinkContract, AllModes):
    """By columns."""

    def form(self, records: Any) -> Any:
        return pa.RecordBatch.from_pylist(list(records), schema=SCHEMA)


class TestParallel(ParallelSinkContract):
    """Several batches at once, on connections of their own."""

    @pytest.fixture(params=["upsert", "updateElseInsert", "insert"])
    def case(self, request: pytest.FixtureRequest, target: Target) -> ParallelCase:
        options: dict[str, Any] = {"mode": request.param, "connections": 3, "keys": ["id"]}
        target.run(*target.made(key=request.param == "upsert"))
        return ParallelCase(
            make=lambda: target.sink(**options),
            read_back=lambda: target.rows("SELECT * FROM goods ORDER BY ctid"),
            batches=[RECORDS[:5], RECORDS[5:10], RECORDS[10:15], RECORDS[15:]],
            newer=[{**record, "name": "newer"} for record in RECORDS[:5]],
            idempotent=request.param != "insert",
        )


def test_it_does_not_block_and_is_chosen_unless_the_url_names_another(postgres: Postgres, tmp_path: Path) -> None:
    assert isinstance(Target(tmp_path, postgres).sink(), PostgresSink)
    assert Target(tmp_path, postgres).sink().blocking is False
    assert Target(tmp_path, postgres, "postgresql+psycopg").sink().blocking is True


@pytest.mark.parametrize(
    ("declared", "value", "kept"),
    [
        ("text", 5, "5"),
        ("text", {"a": 1}, '{"a":1}'),
        ("jsonb", {"a": [1, None]}, {"a": [1, None]}),
        ("jsonb", [1, "x"], [1, "x"]),
        ("json", '{"a": 1}', {"a": 1}),
        ("numeric(10,3)", 0.1, Decimal("0.100")),
        ("bigint", "12", 12),
        ("integer", 2.5, 2),
        ("date", date.max, date.max),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("timestamp", datetime(2024, 1, 1, 12, tzinfo=UTC), datetime(2024, 1, 1, 12)),
        ("timestamptz", "2024-01-01T12:00:00Z", datetime(2024, 1, 1, 12, tzinfo=UTC)),
        ("timestamptz", datetime(2024, 1, 1, 12), datetime(2024, 1, 1, 12, tzinfo=UTC)),
        ("uuid", str(UUID(int=1)), UUID(int=1)),
        ("text[]", ['a"b', None, "c\\d", "{}"], ['a"b', None, "c\\d", "{}"]),
        ("integer[]", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ("jsonb[]", [{"a": "b"}], [{"a": "b"}]),
        ("mood", "sad", "sad"),
        ("short", "abc", "abc"),
        ("boolean", 1, True),
        ("bytea", b"\x00", b"\x00"),
    ],
)
@pytest.mark.parametrize("mode", ["insert", "upsert"])
async def test_values_are_kept_as_an_insert_would_keep_them(
    target: Target, mode: str, declared: str, value: Any, kept: Any
) -> None:
    target.run(
        "CREATE TYPE mood AS ENUM ('sad')", "CREATE DOMAIN short AS varchar(3)", "SET TimeZone TO 'UTC'",
        f"CREATE TABLE goods (id BIGINT PRIMARY KEY, v {declared})",
    )  # fmt: skip
    found = await written(target, [{"id": 1, "v": value}, {"id": 2, "v": None}], mode=mode, keys=["id"])
    assert [row["v"] for row in found] == [kept, None]


@pytest.mark.parametrize(
    ("declared", "value", "said"),
    [
        ("text NOT NULL", None, 'null value in column "v" of relation "goods" violates not-null constraint'),
        ("int CHECK (v > 0)", -1, 'new row for relation "goods" violates check constraint "goods_v_check"'),
        ("varchar(3)", "abcd", "value too long for type character varying(3)"),
        ("int UNIQUE", 7, 'duplicate key value violates unique constraint "goods_v_key"'),
        ("int", "x", 'invalid input syntax for type integer: "x"'),
        ("jsonb", "{", "invalid input syntax for type json"),
        ("numeric(3,1)", Decimal(1000), "numeric field overflow"),
        ("text", "a\0b", 'invalid byte sequence for encoding "UTF8": 0x00'),
        ("date", "2024-02-30", 'date/time field value out of range: "2024-02-30"'),
        ("int REFERENCES other (id)", 5, "violates foreign key constraint"),
    ],
)
@pytest.mark.parametrize("mode", ["insert", "upsert"])
async def test_a_record_that_the_database_refuses_is_told(
    target: Target, mode: str, declared: str, value: Any, said: str
) -> None:
    target.run("CREATE TABLE other (id INT PRIMARY KEY)", f"CREATE TABLE goods (id INT PRIMARY KEY, v {declared})")
    first = {"int UNIQUE": 7, "text NOT NULL": "x", "text": "x"}.get(declared)
    async with opened(target, mode=mode, keys=["id"]) as sink:
        with pytest.raises(BadRecord) as raised:
            await sink.write([{"id": 1, "v": first}, {"id": 2, "v": value}])
        await sink.write([{"id": 3, "v": first}])
    assert raised.value.message.startswith(f"The database {target.database} refused the batch for goods, of which noth")
    assert said in raised.value.message
    assert "\n" not in raised.value.message
    assert [row["id"] for row in target.rows()] == [3]


@pytest.mark.parametrize(
    ("declared", "value", "said"),
    [
        ("int", 1 << 40, "integer cannot hold: value out of int32 range"),
        ("bigint", 1 << 70, "bigint cannot hold: value out of int64 range"),
        ("text", "\ud800", "text cannot hold: 'utf-8' codec can't encode"),
        ("float8", 10**400, "double precision cannot hold: int too large to convert to float"),
        ("timestamptz", object(), "timestamp with time zone cannot hold: it is a object"),
        ("date", 5, "date cannot hold: it is a int"),
    ],
)
@pytest.mark.parametrize("mode", ["insert", "upsert", "updateElseInsert"])
async def test_a_value_that_no_such_column_holds_is_told_by_its_field(
    target: Target, mode: str, declared: str, value: Any, said: str
) -> None:
    target.run(f"CREATE TABLE goods (id INT PRIMARY KEY, v {declared})")
    async with opened(target, mode=mode, keys=["id"]) as sink:
        with pytest.raises(BadRecord) as raised:
            await sink.write([{"id": 1, "v": None}, {"id": 1, "v": None}, {"id": 2, "v": value}])
    assert raised.value.message.startswith(f"A record of the batch for goods has a value in v that {said}")
    assert raised.value.index == 2
    assert target.rows() == []


async def test_keys_that_only_the_database_finds_equal_are_written_in_order(target: Target) -> None:
    target.run("CREATE TABLE goods (id NUMERIC(6, 1) PRIMARY KEY, name TEXT)")
    batch = [{"id": 1.04, "name": "a"}, {"id": 2, "name": "b"}, {"id": 0.98, "name": "c"}]
    async with opened(target, mode="upsert", keys=["id"]) as sink:
        await sink.write(batch)
        assert sink.keys_of(batch) is None
    assert [tuple(row.values()) for row in target.rows()] == [(Decimal("1.0"), "c"), (Decimal("2.0"), "b")]


async def test_structs_are_written_like_mappings(target: Target) -> None:
    class Good(msgspec.Struct):
        id: int
        name: str

    found = await written(target, [Good(1, "x"), Good(2, "y")], setup=target.made(key=False))
    assert [(row["id"], row["name"]) for row in found] == [(1, "x"), (2, "y")]


async def test_what_is_missing_is_told(target: Target) -> None:
    with pytest.raises(ConnectorError, match=r"has no table goods; make it, or let `setup` do so\.$"):
        await written(target)
    with pytest.raises(ConnectorError, match=r"refused the setup statement 'CREATE TABEL x': syntax error at or near "):
        await written(target, setup=["CREATE TABEL x"])
    target.run("CREATE TABLE goods (id INT)")
    with pytest.raises(ConnectorError, match=r"The table goods has no column x; it has id\.$"):
        await written(target, [{"x": 1}])
    with pytest.raises(ConnectorError, match="no unique or exclusion constraint matching the ON CONFLICT"):
        await written(target, [{"id": 1}], mode="upsert", keys=["id"])


async def test_it_says_how_many_batches_it_writes_at_once_and_which_keys_they_have(target: Target) -> None:
    assert target.sink().parallel == 1
    assert target.sink(mode="upsert", keys=["id"]).parallel == 2
    assert target.sink(keys=["id"]).parallel == 2
    assert target.sink(mode="upsert", keys=["id"], exactly_once=True).parallel == 1
    assert target.sink(connections=5).parallel == 5
    target.run("CREATE TABLE goods (id BIGINT, name TEXT, PRIMARY KEY (id, name))")
    async with opened(target, mode="upsert", keys=["id"]) as sink:
        assert sink.keys_of([{"id": 1, "name": "a"}, {"id": 2}, {"id": 1}]) == {1, 2}
        assert sink.keys_of(some(id=[3, 4])) == {3, 4}
        assert sink.keys_of([{"id": "1"}]) is None
        assert sink.keys_of([{"name": "a"}]) is None
    async with opened(target, mode="delete", keys=["id", "name"]) as sink:
        assert sink.keys_of([{"id": 1, "name": "a"}]) == {(1, "a")}
    async with opened(target, mode="insertIgnore") as sink:
        assert sink.keys_of([{"id": 1, "name": "a"}]) is None
    async with opened(target) as sink:
        assert sink.keys_of([{"id": 1, "name": "a"}]) == frozenset()


async def test_batches_with_other_keys_are_written_at_the_same_time(target: Target) -> None:
    target.run("CREATE TABLE goods (id BIGINT PRIMARY KEY, name TEXT)", "INSERT INTO goods VALUES (1, 'old')")
    async with opened(target, mode="upsert", keys=["id"]) as sink, opened(target, mode="upsert", keys=["id"]) as other:
        async with other._connections.one("it") as connection, connection.transaction():
            await connection.execute("SELECT * FROM goods WHERE id = 1 FOR UPDATE")
            waiting = asyncio.create_task(sink.write([{"id": 1, "name": "new"}]))
            await asyncio.sleep(0)
            await sink.write([{"id": 2, "name": "beside"}])
            assert not waiting.done()
        await waiting
    assert [row["name"] for row in target.rows()] == ["new", "beside"]


async def test_what_the_database_ends_for_others_to_go_on_is_written_again(target: Target) -> None:
    target.run("CREATE TABLE goods (id BIGINT PRIMARY KEY, name TEXT)", "INSERT INTO goods VALUES (1, 'a'), (2, 'b')")
    async with opened(target, mode="upsert", keys=["id"]) as sink, opened(target, mode="upsert", keys=["id"]) as other:
        async with other._connections.one("it") as connection:
            await connection.execute(
                "BEGIN; SET LOCAL deadlock_timeout = '1h'; UPDATE goods SET name = 'x' WHERE id = 2"
            )
            waiting = asyncio.create_task(sink.write([{"id": 1, "name": "new"}, {"id": 2, "name": "new"}]))
            await until_one_waits(target)
            await connection.execute("UPDATE goods SET name = 'x' WHERE id = 1; COMMIT")
        await waiting
    assert [row["name"] for row in target.rows()] == ["new", "new"]


async def until_one_waits(target: Target) -> None:
    waits = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while not target.rows(waits)[0]["n"]:
        await asyncio.sleep(0)


async def test_a_server_that_is_killed_in_the_middle_of_a_batch_is_told_and_found_again(
    tmp_path: Path, killed_server: Server
) -> None:
    postgres = Postgres(killed_server.url("postgres"))
    target = Target(tmp_path, postgres)
    postgres.run("CREATE TABLE goods (id BIGINT PRIMARY KEY, name TEXT)", "INSERT INTO goods VALUES (1, 'old')")
    async with opened(target, mode="upsert", keys=["id"]) as sink, opened(target) as other:
        async with other._connections.one("it") as connection:
            await connection.execute("BEGIN; SELECT * FROM goods FOR UPDATE")
            writing = asyncio.create_task(sink.write([{"id": 2, "name": "new"}, {"id": 1, "name": "new"}]))
            await until_one_waits(target)
            killed_server.kill()
            with pytest.raises(AddressUnreachable, match="went away during the batch for goods, of which all or nothi"):
                await writing
        with pytest.raises(AddressUnreachable, match="does not answer: "):
            await sink.write([{"id": 3, "name": "new"}])
        killed_server.start()
        assert target.rows() == [{"id": 1, "name": "old"}]
        await sink.write([{"id": 2, "name": "new"}, {"id": 1, "name": "new"}])
    assert [tuple(row.values()) for row in target.rows()] == [(1, "new"), (2, "new")]
    target.database.close()
