"""Columns of every type go into tables of every type, or are refused by the database; and come back as they were."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors.sql import SqlAddressOptions, SqlConnector, SqlSinkOptions, SqlSourceOptions
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.errors import ConnectorError
from teleporter_lab.testing.calls import call
from tests.connectors.sql_target import Target, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres


@pytest.mark.postgres
class TestPostgresTypes:
    """What comes of values whose types are not just those of the table."""

    VALUES: tuple[tuple[str, Any, Any], ...] = (
        ("smallint", pa.array([1, None]), [1, None]),
        ("bigint", pa.array([1, None], pa.int8()), [1, None]),
        ("integer", pa.array([2.5, None]), [2, None]),
        ("integer", pa.array(["7", None]), [7, None]),
        ("bigint", pa.array([1, None], pa.uint64()), [1, None]),
        ("real", pa.array([1.5, None]), [1.5, None]),
        ("double precision", pa.array([1, None]), [1.0, None]),
        ("numeric(12,2)", pa.array([Decimal("1.5"), None]), [Decimal("1.50"), None]),
        ("numeric", pa.array([1.5, None]), [Decimal("1.5"), None]),
        ("boolean", pa.array([True, None]), [True, None]),
        ("text", pa.array([5, None]), ["5", None]),
        ("text", pa.array(["a", None]).dictionary_encode(), ["a", None]),
        ("varchar(3)", pa.array(["abc", None], pa.large_string()), ["abc", None]),
        ("char(3)", pa.array(["ab", None]), ["ab ", None]),
        ("bytea", pa.array([b"\xff", None]), [b"\xff", None]),
        ("date", pa.array(["2024-02-29", None]), [date(2024, 2, 29), None]),
        ("date", pa.array([date(2024, 2, 29), None], pa.date64()), [date(2024, 2, 29), None]),
        ("time", pa.array([time(1, 2, 3), None], pa.time32("s")), [time(1, 2, 3), None]),
        ("timestamp", pa.array([0, None], pa.timestamp("ms")), [datetime(1970, 1, 1), None]),
        (
            "timestamptz",
            pa.array([0, None], pa.timestamp("s", "Europe/Berlin")),
            [datetime(1970, 1, 1, tzinfo=UTC), None],
        ),
        ("timestamptz", pa.array(["2024-01-01 00:00+00", None]), [datetime(2024, 1, 1, tzinfo=UTC), None]),
        ("jsonb", pa.array(['{"a": 1}', None]), [{"a": 1}, None]),
        ("jsonb", pa.array([{"a": 1}, None]), [{"a": 1}, None]),
        ("jsonb", pa.array([[{"a": 1}], None]), [[{"a": 1}], None]),
        ("uuid", pa.array(["11111111-1111-1111-1111-111111111111", None]), [UUID(int=int("1" * 32, 16)), None]),
        ("integer[]", pa.array([[1, 2], None]), [[1, 2], None]),
        ("text[]", pa.array([["a"], None]), [["a"], None]),
        ("text", pa.nulls(2), [None, None]),
    )

    @pytest.fixture(params=["postgresql", "postgresql+psycopg"])
    def target(self, request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[Target]:
        made = Target(tmp_path, postgres, request.param)
        yield made
        made.database.close()

    @pytest.mark.parametrize(("declared", "column", "kept"), VALUES)
    async def test_the_database_converts_what_it_can(
        self, target: Target, postgres: Postgres, declared: str, column: Any, kept: Any
    ) -> None:
        postgres.run(f"CREATE TABLE goods (other INT DEFAULT 7, v {declared}, id INT)")
        batch = pa.RecordBatch.from_arrays([pa.array([1, 2]), column], names=["id", "v"])
        assert [row["v"] for row in await written(target, batch)] == kept
        assert postgres.rows("SELECT DISTINCT other FROM goods") == [{"other": 7}]

    @pytest.mark.parametrize(
        ("declared", "column"),
        [
            ("integer", pa.array([1 << 40])),
            ("integer", pa.array(["x"])),
            ("varchar(3)", pa.array(["abcd"])),
            ("text", pa.array(["a\0b"])),
            ("boolean", pa.array([5])),
            ("date", pa.array(["noon"])),
            ("jsonb", pa.array(["{"])),
            ("integer NOT NULL", pa.nulls(1, pa.int64())),
        ],
    )
    async def test_and_says_what_it_cannot(
        self, target: Target, postgres: Postgres, declared: str, column: Any
    ) -> None:
        postgres.run(f"CREATE TABLE goods (v {declared}, id INT)")
        said = (
            "refused the batch for goods, of which nothing is stored|^A record of the batch for goods has a value in v "
        )
        for _ in range(2):
            with pytest.raises(ConnectorError, match=said) as raised:
                await written(target, pa.RecordBatch.from_arrays([pa.array([1]), column], names=["id", "v"]))
            assert "\n" not in raised.value.message
        assert target.rows() == []


ROW = st.fixed_dictionaries(
    {
        "i": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        "t": st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
        "f": st.none() | st.floats(allow_nan=False),
        "b": st.none() | st.binary(max_size=4),
        "d": st.none() | st.dates(date(1, 1, 1)),
        "z": st.none() | st.datetimes(timezones=st.just(UTC)),
        "m": st.none() | st.decimals(-(10**15), 10**15, places=6),
        "o": st.none() | st.booleans(),
        "l": st.none() | st.lists(st.none() | st.integers(0, 9), max_size=3),
    }
)
TYPES = [
    ("k", pa.int32()),
    ("i", pa.int64()),
    ("t", pa.string()),
    ("f", pa.float64()),
    ("b", pa.binary()),
    ("d", pa.date32()),
    ("z", pa.timestamp("us", "UTC")),
    ("m", pa.decimal128(30, 6)),
    ("o", pa.bool_()),
    ("l", pa.list_(pa.int64())),
]
TABLE = (
    "CREATE TABLE IF NOT EXISTS wide (k INT PRIMARY KEY, i BIGINT, t TEXT, f DOUBLE PRECISION, b BYTEA, d DATE, "
    "z TIMESTAMPTZ, m NUMERIC(30, 6), o BOOLEAN, l BIGINT[])"
)


@pytest.mark.postgres
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(ROW, min_size=1, max_size=12),
    mode=st.sampled_from(["insert", "upsert"]),
    driver=st.sampled_from(["postgresql", "postgresql+psycopg"]),
)
def test_rows_go_through_the_sink_and_the_source_of_columns_unchanged(
    postgres: Postgres, rows: list[dict[str, Any]], mode: str, driver: str
) -> None:
    postgres.run(TABLE, "TRUNCATE wide")
    keyed = [{"k": number, **row} for number, row in enumerate(rows)]
    database = Database(SqlAddressOptions(url=postgres.url.replace("postgresql", driver)))
    sink = SqlConnector.spec("sink").make(SqlSinkOptions(table="wide", mode=mode, keys=["k"]), database)  # type: ignore[arg-type]

    async def write() -> None:
        await call(sink.open)
        await call(sink.write, pa.RecordBatch.from_pylist(keyed, schema=pa.schema(TYPES)))
        await call(sink.close)

    asyncio.run(write())
    spec = SqlConnector.spec("source")
    assert spec.columnar is not None
    reader = spec.columnar(SqlSourceOptions(query="SELECT * FROM wide", key="k"), database)
    reader.open(None)
    batch = reader.read(100)
    reader.close()
    database.close()
    assert batch.schema.equals(pa.schema(TYPES))
    assert batch.to_pylist() == keyed
