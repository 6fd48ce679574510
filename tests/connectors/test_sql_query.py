"""Queries with variables become statements, and what does not fit its roller is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from teleporter_lab.connectors.rollers.source_roller import SourceRoller
from teleporter_lab.connectors.rollers.walk import Place
from teleporter_lab.connectors.rollers.windows import Window
from teleporter_lab.connectors.sql_query import Asked, RolledQuery
from teleporter_lab.errors import ConnectorError

START = datetime(2024, 1, 1, tzinfo=UTC)
PLACE = Place(Window(START, START + timedelta(minutes=10), START), page=2)
TIME = {"start": "2024-01-01T00:00:00", "period": "10.minutes"}


def asked(query: str, backend: str = "sqlite", place: Place = PLACE, **options: Any) -> Asked:
    return RolledQuery(query, SourceRoller.model_validate(options), backend).at(place)


def test_text_gets_quotes_where_it_needs_them() -> None:
    query = "SELECT ':a', b::int FROM t WHERE c >= {start} AND c < '{end}' LIMIT {offset},{pageSize} -- {x}\n;"
    made = asked(query, **TIME, pageSize=50)
    assert str(made.statement()) == (
        "SELECT ':a', b::int FROM t WHERE c >= '2024-01-01 00:00:00' AND c < '2024-01-01 00:10:00' LIMIT 100,50 -- {x}"
    )
    assert made.parameters == {}


PARAMETERS = "SELECT * FROM t WHERE c >= #{start}::timestamptz AND c < #{end}"


@pytest.mark.parametrize(
    ("backend", "options", "start"),
    [
        ("sqlite", {}, "2024-01-01 00:00:00"),
        ("postgresql", {}, "2024-01-01 00:00:00+00:00"),
        ("postgresql", {"zone": "Asia/Tokyo"}, "2024-01-01 09:00:00+09:00"),
        ("mysql", {}, datetime(2024, 1, 1)),
        ("mysql", {"zone": "+09:00"}, datetime(2024, 1, 1, 9)),
        ("oracle", {"timeFormat": "%Y%m%d"}, "20240101"),
        ("sqlite", {"timeFormat": "epochMillis"}, 1704067200000),
    ],
)
def test_a_moment_is_bound_in_the_form_that_the_database_compares(
    backend: str, options: dict[str, Any], start: object
) -> None:
    made = asked(PARAMETERS, backend, **TIME, **options)
    assert made.parameters["roller_start"] == start
    assert str(made.statement()) == "SELECT * FROM t WHERE c >=  :roller_start ::timestamptz AND c <  :roller_end "


def test_numbers_are_bound_as_numbers() -> None:
    made = asked("SELECT * FROM t LIMIT #{pageSize} OFFSET #{offset} + 0 * #{page}", pageSize=50, place=Place(page=3))
    assert made.parameters == {"roller_pageSize": 50, "roller_offset": 150, "roller_page": 3}


ALL = "SELECT * FROM t WHERE c >= #{start} AND c < #{end}"


@pytest.mark.parametrize(
    ("query", "options", "wrong"),
    [
        ("SELECT #{nope}", TIME, r"There is no #\{nope\}; the variables are"),
        ("SELECT * FROM t", TIME, r"walks over time, but the query does not ask for \{start\}"),
        ("SELECT * FROM t WHERE c > {start}", TIME, r"does not ask for \{end\}"),
        ("SELECT * FROM t WHERE c > {start}", {"pageSize": 5}, r"\{start\}, which needs a start in the roller"),
        (f"{ALL} LIMIT 5 OFFSET {{offset}}", TIME, r"asks for \{offset\}, which needs a pageSize in the roller"),
        (f"{ALL} LIMIT {{pageSize}}", {**TIME, "pageSize": 5}, r"asks for \{pageSize\} without \{offset\} or"),
        (f"{ALL} OFFSET {{offset}}", {**TIME, "pageSize": 5, "key": "id"}, r"leave \{offset\} out of the query"),
        ("SELECT * FROM t", {"pageSize": 5}, r"has pages, but the query asks for neither \{offset\} nor \{page\}"),
    ],
)  # fmt: skip
def test_a_query_that_does_not_fit_is_told(query: str, options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConnectorError, match=wrong):
        asked(query, **options)
