"""Records are cut to rows, and a record that does not fit is told by its field."""

from __future__ import annotations

from typing import Any

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
