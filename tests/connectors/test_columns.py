"""Records are cut to rows, and a record that does not fit is told by its field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from teleporter_lab.connectors.columns import Columns
from teleporter_lab.errors import BadRecord


def test_without_names_those_of_the_first_record_count_and_no_others() -> None:
    columns = Columns.of({"b": 1, "a": 2}, "t")
    assert columns.names == ("b", "a")
    assert columns.rows([{"a": 3, "b": 4}, {"b": 5, "a": None}]) == [(4, 3), (5, None)]
    with pytest.raises(
        BadRecord, match=r"^Record 2 of the batch for t has the field c, which the first record had not"
    ):
        columns.rows([{"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}])


def test_with_names_other_fields_are_left_out() -> None:
    assert Columns(["a"], "t", exact=False).rows([{"a": 1, "b": 2}, {"a": (3,)}]) == [(1,), ((3,),)]


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_a_missing_field_is_named(names: list[str]) -> None:
    with pytest.raises(BadRecord, match=rf"^Record 2 of the batch for t lacks the field {names[-1]}\.$"):
        Columns(names, "t", exact=False).rows([{"a": 1, "b": 2}, {"x": 1, **dict.fromkeys(names[:-1])}])


@pytest.mark.parametrize("record", ["text", ("tuple", 1), 5, None])
@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_what_is_no_mapping_is_refused(record: Any, names: list[str]) -> None:
    wrong = f"A record for t must be a mapping of fields, not a {type(record).__name__}."
    with pytest.raises(BadRecord, match=wrong):
        Columns(names, "t", exact=False).rows([{"a": 1, "b": 2}, record])
    with pytest.raises(BadRecord, match=wrong):
        Columns.of(record, "t")


def test_a_record_without_fields_is_refused() -> None:
    with pytest.raises(BadRecord, match="has no fields at all"):
        Columns.of({}, "t")


class Point(msgspec.Struct):
    a: int
    b: str | None = None


def test_structs_are_cut_by_their_attributes() -> None:
    points = [Point(1, "x"), Point(2)]
    columns = Columns.of(points[0], "t")
    assert columns.names == ("a", "b")
    assert columns.rows(points) == [(1, "x"), (2, None)]
    assert columns.cells(points) == [[1, 2], ["x", None]]
    assert Columns(["b"], "t", exact=False).cells(points) == [["x", None]]
    with pytest.raises(BadRecord, match=r"^Record 1 of the batch for t lacks the field c\.$"):
        Columns(["c"], "t", exact=False).rows(points)
    with pytest.raises(
        BadRecord, match=r"^Record 1 of the batch for t has the field b, which the first record had not"
    ):
        Columns(["a"], "t", exact=True).cells(points)


def test_columns_are_what_rows_are_and_know_the_place_of_a_bad_record() -> None:
    columns = Columns.of({"a": 1, "b": 2}, "t")
    assert columns.cells([{"a": 1, "b": 2}, {"b": 4, "a": 3}]) == [[1, 3], [2, 4]]
    for cut in (columns.cells, columns.rows):
        with pytest.raises(BadRecord, match=r"^Record 2 of the batch for t lacks the field b") as raised:
            cut([{"a": 1, "b": 2}, {"a": 3}])
        assert raised.value.index == 1
        with pytest.raises(BadRecord, match="write one kind of record"):
            cut([{"a": 1, "b": 2}, Point(1, "x")])
