"""Which columns rows have, when they are taken over, and which record is a bad one."""

from __future__ import annotations

from typing import Any

import pytest

from teleporter_lab.connectors.csv import CsvSinkOptions
from teleporter_lab.connectors.csv_format import CsvFormat
from teleporter_lab.errors import BadRecord


def form(**options: Any) -> CsvFormat:
    return CsvFormat(CsvSinkOptions(path="out", **options))


def test_a_draft_changes_nothing_until_it_is_stored() -> None:
    rows = form()
    draft = rows.draft([{"a": 1, "b": None}])
    assert (draft.head, draft.body, draft.rows) == (b"a,b\n", b"1,\n", 1)
    assert rows.columns is None
    rows.stored(draft)
    assert rows.columns is not None
    with pytest.raises(BadRecord, match="has the field c"):
        rows.draft([{"a": 1, "b": 2, "c": 3}])


@pytest.mark.parametrize(
    ("options", "goes_on", "names"),
    [
        ({}, True, ("a", "b")),
        ({"columns": ["a", "b"]}, True, ("a", "b")),
        ({"columns": ["b", "a"]}, False, ("b", "a")),
        ({"delimiter": ";"}, False, ("a", "b")),
        ({"header": False}, False, ("a", "b")),
    ],
)
def test_a_file_is_gone_on_with_if_it_looks_the_same(options: dict[str, Any], goes_on: bool, names: Any) -> None:
    rows = form(**options)
    assert rows.resumed(form().draft([{"a": 1, "b": 2}]).form) is goes_on
    assert rows.columns is not None
    assert rows.columns.names == names


@pytest.mark.parametrize(
    ("records", "index"),
    [([{"a": 1}, {"a": "€"}], 1), ([{"a": 1}, {"b": 1}], 1), ([{"a": 1}, {"a": 1}, {"a": 1, "b": 2}], 2)],
)
def test_the_place_of_a_bad_record(records: list[dict[str, Any]], index: int) -> None:
    with pytest.raises(BadRecord) as failure:
        form(encoding="latin-1").encoded(records)
    assert failure.value.index == index


def test_a_header_that_cannot_be_written_is_nobody_s_fault() -> None:
    with pytest.raises(BadRecord, match="cannot be written as CSV") as failure:
        form(encoding="latin-1", columns=["€"]).encoded([{"€": 1}])
    assert failure.value.index is None
