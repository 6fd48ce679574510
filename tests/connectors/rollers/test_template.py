"""Values get into queries and filters as text and as parameters, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.connectors.rollers.template import (
    AsText,
    Bound,
    Literal,
    check_filter,
    filled,
    sql_parts,
    sql_text,
    variables,
)

VALUES = {
    "start": datetime(2024, 1, 1, tzinfo=UTC),
    "end": "2024-01-02 00:00:00",
    "page": 3,
    "offset": 30,
    "pageSize": 10,
}


def test_a_query_in_its_parts() -> None:
    query = "SELECT '{start}', {page} FROM t WHERE a >= #{start} AND b = '{\"x\": 1}' LIMIT {offset},{pageSize}"
    parts = sql_parts(query)
    assert parts == [
        Literal("SELECT "),
        Literal("'"),
        AsText("start", quoted=True),
        Literal("'"),
        Literal(", "),
        AsText("page", quoted=False),
        Literal(" FROM t WHERE a >= "),
        Bound("start"),
        Literal(" AND b = "),
        Literal("'{\"x\": 1}'"),
        Literal(" LIMIT "),
        AsText("offset", quoted=False),
        Literal(","),
        AsText("pageSize", quoted=False),
    ]
    assert variables(parts) == {"start", "page", "offset", "pageSize"}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT '{word}' FROM t",
        "SELECT {fn now()}",
        "SELECT 1 -- #{nope} {start}",
        "/* {start} #{x} */ SELECT 1",
        "{Start} {}",
    ],
)
def test_what_is_no_variable_stays_as_it_is(query: str) -> None:
    parts = sql_parts(query)
    assert variables(parts) == set()
    assert "".join(part.text for part in parts if isinstance(part, Literal)) == query


@pytest.mark.parametrize("query", ["a > #{begin}", "a > #{}", "a > #{ start }", "'#{x}'", "#{page size}"])
def test_an_unknown_parameter_is_told(query: str) -> None:
    with pytest.raises(ValueError, match=r"There is no #\{.*\}; the variables are #\{start\}, #\{end\}, #\{page\}"):
        sql_parts(query)


def test_a_parameter_between_quotes_is_told() -> None:
    with pytest.raises(ValueError, match=r"#\{start\} stands between quotes, where no parameter can: leave out the"):
        sql_parts("SELECT * FROM t WHERE a > '#{start}'")


def test_text_that_is_no_number_gets_quotes() -> None:
    assert sql_text(AsText("end", quoted=False), VALUES) == "'2024-01-02 00:00:00'"
    assert sql_text(AsText("end", quoted=True), VALUES) == "2024-01-02 00:00:00"
    assert sql_text(AsText("page", quoted=False), VALUES) == "3"
    assert sql_text(AsText("end", quoted=False), {"end": "20240102"}) == "20240102"


@given(query=st.text(alphabet="abc'\"`-/*#{}:;\n ", max_size=40))
def test_a_query_without_variables_is_never_changed(query: str) -> None:
    try:
        parts = sql_parts(query)
    except ValueError:
        assert "#{" in query
    else:
        assert "".join(part.text for part in parts if isinstance(part, Literal)) == query


def test_a_filter_keeps_the_types_of_its_parameters() -> None:
    filter_: Any = {
        "at": {"$gte": "#{start}", "$lt": "{end}"},
        "n": ["#{page}", "{page}", 5, None, "{word}"],
        "p{page}": "#{page}/x",
    }
    assert filled(filter_, VALUES) == {
        "at": {"$gte": VALUES["start"], "$lt": "2024-01-02 00:00:00"},
        "n": [3, "3", 5, None, "{word}"],
        "p3": "3/x",
    }
    assert check_filter(filter_) == {"start", "end", "page"}


def test_an_unknown_parameter_of_a_filter_is_told() -> None:
    with pytest.raises(ValueError, match=r"There is no #\{begin\}"):
        check_filter({"at": {"$gte": "#{begin}"}})
