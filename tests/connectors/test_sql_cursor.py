"""A result is held by the database and read bit by bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.connectors.sql_cursor import Cursor
from teleporter_lab.errors import ConnectorError
from teleporter_lab.testing.calls import call
from tests.connectors.sql_places import Place

if TYPE_CHECKING:
    from pathlib import Path


def test_rows_come_in_the_size_that_is_asked_for(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.add((1, 0), (2, 0), (3, 0))
    cursor = Cursor(place.database, 2)
    assert cursor.fetch(5) == ()
    cursor.open("SELECT id FROM events ORDER BY id")
    assert cursor.names == ("id",)
    assert [tuple(row) for row in cursor.fetch(2)] == [(1,), (2,)]
    assert cursor.is_open
    assert [tuple(row) for row in cursor.fetch(2)] == [(3,)]
    cursor.open("SELECT id FROM events")
    assert place.database.statistics()["in_use"] == 1
    cursor.close()
    cursor.close()
    assert place.database.statistics()["in_use"] == 0
    place.close()


@pytest.mark.parametrize("query", ["SELECT * FROM nosuch", "SELECT id, id FROM events"])
def test_a_query_that_is_refused_gives_its_connection_back(tmp_path: Path, query: str) -> None:
    place = Place(tmp_path)
    with pytest.raises(ConnectorError):
        Cursor(place.database, 2).open(query)
    assert place.database.statistics()["in_use"] == 0
    place.close()


WINDOW = "SELECT id FROM many WHERE made >= #{start} AND made < #{end} ORDER BY id"


@pytest.mark.postgres
@pytest.mark.parametrize("roller", [None, {"start": "2024-01-01", "end": "2024-01-02"}])
async def test_postgresql_keeps_the_rest_of_the_result(tmp_path: Path, postgres: Any, roller: Any) -> None:
    """A named cursor: the session sends what is fetched from it and nothing on its own."""
    place = Place(tmp_path, postgres)
    place.run("CREATE TABLE many AS SELECT n AS id, DATE '2024-01-01' AS made FROM generate_series(1, 100000) AS n")
    reader = place.reader(roller, query="SELECT id FROM many" if roller is None else WINDOW, pageSize=500)
    await call(reader.open, None)
    assert len(await call(reader.read, 100)) == 100
    [session] = postgres.rows(
        "SELECT query, state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert session["query"].startswith("FETCH FORWARD")
    assert session["state"] == "idle in transaction"
    await call(reader.close)
    assert place.database.statistics()["in_use"] == 0
    place.close()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("roller", "more"),
    [
        (None, ""),
        ({"pageSize": 9}, " LIMIT {pageSize} OFFSET {offset}"),
        ({"pageSize": 9}, " LIMIT 9 OFFSET #{offset}"),
    ],
)
async def test_a_percent_sign_of_a_query_is_the_databases(
    tmp_path: Path, postgres: Any, roller: Any, more: str
) -> None:
    place = Place(tmp_path, postgres)
    place.run("CREATE TABLE odd AS SELECT n AS id, 'a%' || n AS name FROM generate_series(1, 3) AS n")
    reader = place.reader(roller, query=f"SELECT id FROM odd WHERE name LIKE 'a%' AND id % 2 = 1 ORDER BY id{more}")
    await call(reader.open, None)
    assert await call(reader.read, 9) == [{"id": 1}, {"id": 3}]
    await call(reader.close)
    place.close()
