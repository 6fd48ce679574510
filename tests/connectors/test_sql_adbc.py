"""PostgreSQL by ADBC: its types in columns, its errors in a sentence, and no secret in either."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pytest

from teleporter_lab.config.secret import Secret
from teleporter_lab.connectors.sql import SqlAddressOptions, SqlConnector, SqlSourceOptions
from teleporter_lab.connectors.sql_adbc import Adbc, ping
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.errors import AddressUnreachable, ConnectorError, MissingDriver

if TYPE_CHECKING:
    from tests.services.postgres import Postgres


def reader(database: Database, query: str, **options: Any) -> Any:
    spec = SqlConnector.spec("source")
    assert spec.columnar is not None
    return spec.columnar(SqlSourceOptions(query=query, **options), database)


def read(database: Database, query: str, **options: Any) -> Any:
    """The first batch."""
    one = reader(database, query, **options)
    try:
        one.open(None)
        return one.read(10)
    finally:
        one.close()


TYPES: list[tuple[str, Any, Any]] = [
    ("1::smallint", pa.int16(), 1),
    ("1", pa.int32(), 1),
    ("1::bigint", pa.int64(), 1),
    ("1.5::real", pa.float32(), 1.5),
    ("1.5::double precision", pa.float64(), 1.5),
    ("12.34::numeric(12,2)", pa.decimal128(12, 2), Decimal("12.34")),
    ("12.34::numeric", pa.decimal128(38, 18), Decimal("12.34")),
    ("1::numeric(60,2)", pa.decimal128(38, 18), Decimal(1)),
    ("'x'::text", pa.string(), "x"),
    ("'x'::varchar(5)", pa.string(), "x"),
    ("true", pa.bool_(), True),
    ("date '2024-02-29'", pa.date32(), date(2024, 2, 29)),
    ("time '01:02:03'", pa.time64("us"), time(1, 2, 3)),
    ("timestamp '2024-02-29 01:02:03.5'", pa.timestamp("us"), datetime(2024, 2, 29, 1, 2, 3, 500000)),
    ("timestamptz '2024-02-29 01:02:03+02'", pa.timestamp("us", "UTC"), datetime(2024, 2, 28, 23, 2, 3, tzinfo=UTC)),
    ("'\\x00ff'::bytea", pa.binary(), b"\x00\xff"),
    ("'{\"a\": 1}'::jsonb", pa.string(), '{"a": 1}'),
    ("'11111111-1111-1111-1111-111111111111'::uuid", pa.uuid(), UUID(int=int("1" * 32, 16))),
    ("'{1,2}'::int[]", pa.list_(pa.int32()), [1, 2]),
    ("NULL::numeric(5,1)", pa.decimal128(5, 1), None),
    ("NULL", pa.string(), None),
]


@pytest.mark.postgres
def test_types_are_those_of_the_database(postgres: Postgres) -> None:
    database = Database(SqlAddressOptions(url=postgres.url))
    query = "SELECT 1 AS k, " + ", ".join(f"{value} AS c{n}" for n, (value, _, _) in enumerate(TYPES))
    for options in ({}, {"key": "k"}):
        batch = read(database, query, **options)
        assert batch.schema.types[1:] == [kind for _, kind, _ in TYPES]
        assert [column[0].as_py() for column in batch.columns[1:]] == [value for *_, value in TYPES]
        assert all(field.metadata is None for field in batch.schema)
    database.close()


@pytest.mark.postgres
@pytest.mark.parametrize(
    "value",
    ["inet '10.0.0.1'", "5::money", "'101'::bit(3)", "point '(1,2)'", "'{1.5}'::numeric[]", "timetz '01:02+02'"],
)
def test_types_that_only_the_database_knows_are_refused_with_a_way_out(postgres: Postgres, value: str) -> None:
    database = Database(SqlAddressOptions(url=postgres.url))
    with pytest.raises(
        ConnectorError, match=r"The column v of the query is .*, which columns cannot hold; cast it .* v::text"
    ):
        read(database, f"SELECT {value} AS v")
    assert read(database, f"SELECT ({value})::text AS v").schema.types == [pa.string()]
    database.close()


@pytest.mark.postgres
def test_a_number_that_no_decimal_holds_is_told(postgres: Postgres) -> None:
    database = Database(SqlAddressOptions(url=postgres.url))
    with pytest.raises(
        ConnectorError, match=r"The column v of the query, string, does not fit: .*'nan'.* name others in `types`"
    ):
        read(database, "SELECT 'NaN'::numeric AS v")
    assert read(database, "SELECT 'NaN'::numeric AS v", types={"v": "text"}).to_pylist() == [{"v": "nan"}]
    database.close()


@pytest.mark.postgres
def test_a_page_by_number_is_copied_and_one_by_text_is_bound(postgres: Postgres) -> None:
    postgres.run(
        "CREATE TABLE t (id BIGINT, name TEXT)", "INSERT INTO t SELECT n, 'it''s ' || n FROM generate_series(1, 9) n"
    )
    database = Database(SqlAddressOptions(url=postgres.url))
    for key, after, expected in (("id", 7, [8, 9]), ("name", "it's 7", [8, 9]), ("id", -1, list(range(1, 10)))):
        one = reader(database, "SELECT * FROM t", key=key)
        one.open({"key": after})
        assert one.read(20)["id"].to_pylist() == expected
        one.close()
    database.close()


@pytest.mark.postgres
def test_a_lost_connection_is_told_and_the_next_read_has_a_new_one(postgres: Postgres) -> None:
    database = Database(SqlAddressOptions(url=postgres.url))
    one = reader(database, "SELECT n FROM generate_series(1, 9) n", key="n", page_size=3)
    one.open(None)
    assert len(one.read(9)) == 3
    others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    postgres.run(f"SELECT pg_terminate_backend(pid) FROM {others}")
    with pytest.raises(AddressUnreachable, match="went away during the query: "):
        one.read(9)
    assert one.read(9)["n"].to_pylist() == [4, 5, 6]
    one.close()
    database.close()


@pytest.mark.postgres
def test_an_error_in_the_middle_of_a_result_is_told(postgres: Postgres) -> None:
    database = Database(SqlAddressOptions(url=postgres.url))
    one = reader(database, "SELECT 1 / (200000 - n) AS v, repeat('x', 500) AS w FROM generate_series(1, 300000) n")
    one.open(None)
    with pytest.raises(ConnectorError, match=r"refused the query: division by zero\.$"):
        list(iter(lambda: one.read(65_536), None))
    one.close()
    database.close()


@pytest.mark.postgres
def test_it_answers(postgres: Postgres) -> None:
    database = Database(SqlAddressOptions(url=postgres.url))
    ping(database)
    database.close()


def test_no_error_shows_the_password() -> None:
    database = Database(
        SqlAddressOptions(url="postgresql://root@127.0.0.1:1/pa55?sslpassword=pa55", password=Secret("pa55"))
    )
    with pytest.raises(
        AddressUnreachable, match=r"^The database postgresql://127\.0\.0\.1:1/pa55 does not answer: "
    ) as raised:
        ping(database)
    assert "\n" not in raised.value.message
    said = database.line("connection to pa55 failed.\nwith pa55")
    assert said == "connection to •••• failed"
    database.close()


def test_a_missing_driver_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    database = Database(SqlAddressOptions(url="postgresql://127.0.0.1:1/x"))
    adbc = Adbc(database, autocommit=True)
    with pytest.raises(MissingDriver, match=r"pip install 'teleporter-lab\[adbc\]'"), adbc.cursor("it"):
        pass
    adbc.close()
    database.close()
