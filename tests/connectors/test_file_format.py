"""A record that has no line is told by its place in the batch, and nothing of the batch is made."""

from __future__ import annotations

from typing import Any

import pytest

from teleporter_lab.connectors.file import FileSinkOptions
from teleporter_lab.connectors.file_format import LineFormat
from teleporter_lab.errors import BadRecord


def lines(**options: Any) -> LineFormat:
    return LineFormat(FileSinkOptions(path="out", **options))


@pytest.mark.parametrize(
    ("options", "records", "index", "said"),
    [
        ({}, ["a", "b", 5], 2, r"Record 3 of the batch for out cannot be written as text: .*int"),
        ({"encoding": "latin-1"}, ["a", "€"], 1, "Record 2 .* cannot be written as text"),
        ({"format": "jsonl"}, [object()], 0, "Record 1 .* cannot be written as jsonl"),
        ({"format": "bytes"}, [b"", "a"], 1, "Record 2 .* cannot be written as bytes: it is a str"),
        ({}, ["a", "b\n", "c\n"], 1, "Record 2 .* holds the delimiter"),
        ({"format": "bytes", "delimiter": "||"}, [b"a", b"b|"], 1, "Record 2 .* holds the delimiter"),
    ],
)
def test_the_place_of_a_bad_record(options: dict[str, Any], records: list[Any], index: int, said: str) -> None:
    with pytest.raises(BadRecord, match=said) as failure:
        lines(**options).encoded(records)
    assert failure.value.index == index


def test_a_form_is_gone_on_with_only_as_it_is() -> None:
    draft = lines(format="jsonl").draft([{"a": 1}, 2])
    assert (draft.body, draft.rows, draft.head) == (b'{"a":1}\n2\n', 2, b"")
    assert lines(format="jsonl").resumed(draft.form)
    assert not lines().resumed(draft.form)
