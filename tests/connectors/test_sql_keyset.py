"""Keys of every type and of several columns: their form in a position, their statements, and pages by them for real."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql, postgresql, sqlite

from teleporter_lab.connectors.sql_keyset import KeyPages, escaped, key_from, key_json
from teleporter_lab.errors import ConnectorError
from teleporter_lab.testing.calls import call
from teleporter_lab.testing.source_contract import SourceCase, SourceContract
from tests.connectors.sql_places import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ZONE = timezone(timedelta(hours=5, minutes=30))
VALUES = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.binary(),
    st.uuids(),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.sampled_from([UTC, ZONE])),
    st.decimals(allow_nan=False, allow_infinity=False),
)


@given(key=st.lists(VALUES, min_size=1, max_size=4).map(tuple))
def test_a_key_comes_back_from_the_store_with_its_types(key: tuple[Any, ...]) -> None:
    position = json.loads(json.dumps({"key": key_json(key)}))
    again = key_from(position, ["k"] * len(key))
    assert again == key
    assert list(map(type, again)) == list(map(type, key))


def test_the_form_of_a_key() -> None:
    assert key_json((5,)) == 5
    assert key_json((datetime(2024, 1, 1, tzinfo=UTC), "x")) == [{"$datetime": "2024-01-01T00:00:00+00:00"}, "x"]


@pytest.mark.parametrize(
    ("position", "columns"),
    [
        (5, ["a"]),
        ({}, ["a"]),
        ({"key": None}, ["a"]),
        ({"key": True}, ["a"]),
        ({"key": [1, 2]}, ["a"]),
        ({"key": 1}, ["a", "b"]),
        ({"key": [1]}, ["a", "b"]),
        ({"key": [1, None]}, ["a", "b"]),
        ({"key": {"$uuid": "no"}}, ["a"]),
        ({"key": {"$decimal": "no"}}, ["a"]),
        ({"key": {"$datetime": 5}}, ["a"]),
        ({"key": {"$date": "2024-02-30"}}, ["a"]),
        ({"key": {"$bytes": "*"}}, ["a"]),
        ({"key": {"$uuid": "x", "more": 1}}, ["a"]),
        ({"key": {"$moon": "x"}}, ["a"]),
    ],
)
def test_a_position_of_something_else_is_refused(position: Any, columns: list[str]) -> None:
    with pytest.raises(ConnectorError, match=r"is no position of a query by key: that is \{\"key\": "):
        key_from(position, columns)


def compiled(dialect: Any, columns: list[str], **bounds: Any) -> str:
    return " ".join(str(KeyPages(columns, dialect.name).page("SELECT 1", **bounds).compile(dialect=dialect)).split())


def test_rows_are_compared_where_the_database_does_so_by_an_index() -> None:
    assert "WHERE (a, b) > (%(after_0)s, %(after_1)s) ORDER BY a, b" in compiled(
        postgresql.psycopg.dialect(), ["a", "b"], after=True
    )
    assert "WHERE (a, b) > (?, ?) AND a >= ? AND (a, b) <= (?, ?) ORDER BY a, b" in compiled(
        sqlite.dialect(), ["a", "b"], after=True, since=True, upto=True
    )
    assert "WHERE a >= %s AND (a > %s OR a = %s AND b > %s) ORDER BY a, b" in compiled(
        mysql.dialect(), ["a", "b"], after=True
    )
    assert "WHERE a > %s ORDER BY a" in compiled(mysql.dialect(), ["a"], after=True)


@pytest.mark.parametrize(
    "query", ["SELECT a::int, ':x', b\\:c, 5 % 3 FROM t WHERE d = 'x::y'", "SELECT '\\:' || '::' , :b"]
)
def test_a_query_stays_as_it_is_inside_a_statement(query: str) -> None:
    statement = KeyPages(["a"], "sqlite").page(escaped(f"{query} ;\n ")).compile(dialect=sqlite.dialect())
    assert str(statement).startswith(f"SELECT * \nFROM ({query}\n) AS page")
    assert statement.positiontup == ["count", "param_1"] or statement.positiontup == ["count"]


@pytest.mark.parametrize(
    ("names", "rows", "wrong"),
    [
        (["x"], [(1,)], "The query has no column a; it has x"),
        (["a", "b"], [(1, None)], "The key b must hold numbers or text and no nulls"),
        (["a", "b"], [(True, 1)], "The key a must hold numbers or text"),
        (["a", "b"], [(1, float("nan"))], "The key b must hold finite numbers"),
        (["a", "b"], [(Decimal("Infinity"), 1)], "The key a must hold finite numbers"),
        (["a", "b"], [(1, 2), (1, 2)], "The key a, b must be unique: a value stands twice"),
    ],
)
def test_a_key_that_could_lose_rows_is_refused(names: list[str], rows: list[Any], wrong: str) -> None:
    with pytest.raises(ConnectorError, match=wrong):
        KeyPages(["a", "b"], "sqlite").of(names, rows)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    postgres = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    place = Place(tmp_path, postgres)
    yield place
    place.close()


class TestKeyOfTwoColumns(SourceContract):
    @pytest.fixture
    def case(self, place: Place) -> SourceCase:
        events = [(n, n // 7) for n in range(60)]
        place.add(*reversed(events))
        few = 4 if place.kind == "postgresql" else 50
        records = [place.record(*event) for event in events]
        query = "SELECT * FROM events"
        return SourceCase(lambda: place.reader(query=query, key=["made", "id"], pageSize=4), records, most_readers=few)


KEYS = {
    "UUID": [UUID(int=n << 100) for n in range(30)],
    "NUMERIC(20, 5)": [Decimal(n) / 8 for n in range(-15, 15)],
    "TIMESTAMPTZ": [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(microseconds=n) for n in range(30)],
    "TIMESTAMP": [datetime(1970, 1, 1) - timedelta(days=n) for n in range(30, 0, -1)],
    "DATE": [date(2024, 2, 20) + timedelta(days=n) for n in range(30)],
    "BYTEA": [bytes([n]) for n in range(30)],
    "TEXT": [f"{n:02}\n'%:é" for n in range(30)],
    "CHAR(4)": [f"{n:04}" for n in range(30)],
}


@pytest.mark.postgres
@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_type_of_postgresql(kind: str, postgres: Any, tmp_path: Path) -> None:
    place = Place(tmp_path, postgres)
    place.run(f"CREATE TABLE keys (k {kind} PRIMARY KEY, n INTEGER)")
    postgres.fill("keys", [{"k": key, "n": 0} for key in reversed(KEYS[kind])])
    found: list[Any] = []
    position = None
    for columns in ("k", ["k", "n"]) * 3:
        position = None if position is None else {"key": [position["key"], 0] if columns != "k" else position["key"][0]}
        reader = place.reader(query="SELECT * FROM keys", key=columns, pageSize=2)
        reader.open(position)
        found += [record["k"] for record in [*(reader.read(1) or []), *(reader.read(9) or []), *(reader.read(2) or [])]]
        position = json.loads(json.dumps(reader.position))
        reader.close()
    place.close()
    assert found == KEYS[kind][: len(found)]
    assert len(found) == 24


def test_moments_of_an_hour_that_comes_twice_are_two_keys() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    moments = [datetime(2024, 10, 27, 2, 30, tzinfo=berlin, fold=fold) for fold in (0, 1)]
    assert moments[0] == moments[1]  # Python compares what the clocks show
    keys = KeyPages(["k"], "postgresql").of(["k"], [[moment] for moment in moments])
    assert keys == [(datetime(2024, 10, 27, hour, 30, tzinfo=UTC),) for hour in (0, 1)]


@pytest.mark.postgres
@pytest.mark.parametrize("options", [{}, {"follow": True}])
async def test_a_key_that_is_not_given_as_exactly_as_it_is_compared_is_told(
    options: dict[str, Any], postgres: Any, tmp_path: Path
) -> None:
    place = Place(tmp_path, postgres)
    place.run("CREATE TABLE keys (k REAL PRIMARY KEY)", "INSERT INTO keys VALUES (0.1), (0.2)")
    reader = place.reader(query="SELECT * FROM keys", key="k", pageSize=1, **options)
    await call(reader.open, None)
    assert await call(reader.read, 1) == [{"k": 0.1}]
    with pytest.raises(ConnectorError, match="The rows behind a value of the key k begin with it again"):
        await call(reader.read, 1)
    await call(reader.close)
    place.close()
