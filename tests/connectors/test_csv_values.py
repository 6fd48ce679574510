"""Text becomes values column by column, or is refused with a reason."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from teleporter_lab.connectors.csv_values import UNFIT, TypeName, Values, guess


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("text", "", ""),
        ("text", "NA", None),
        ("int", "-12", -12),
        ("int", "", None),
        ("int", "NA", None),
        ("float", "1e3", 1000.0),
        ("bool", "TRUE", True),
        ("bool", "n", False),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("datetime", "2024-02-29T01:02:03+02:00", datetime(2024, 2, 29, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))),
        ("decimal", "1.50", Decimal("1.50")),
    ],
)
def test_values(kind: TypeName, text: str, value: Any) -> None:
    values = Values(["x", "y"], {"x": kind}, ["NA"], None)
    assert values.records([[text, "a"], [text, "b"]], 1) == [{"x": value, "y": "a"}, {"x": value, "y": "b"}]
    assert type(values.records([[text, "a"]], 1)[0]["x"]) is type(value)
    assert values.wrong([text, "a"]) == ""


@pytest.mark.parametrize("kind", ["int", "float", "bool", "date", "datetime", "decimal"])
def test_text_that_does_not_fit_is_told_by_its_column(kind: TypeName) -> None:
    values = Values(["ok", "x"], {"x": kind}, [], None)
    with pytest.raises(UNFIT):
        values.records([["1", ""], ["1", "what?"]], 1)
    assert values.wrong(["1", "what?"]) == f"the column x must hold {kind}, not 'what?'"


def test_a_null_that_looks_like_a_number_is_one_all_the_same() -> None:
    assert Values(["x"], {"x": "int"}, ["-999"], None).records([["-999"], ["5"]], 1) == [{"x": None}, {"x": 5}]


def test_rows_are_numbered() -> None:
    values = Values(["x"], {}, [], "row")
    assert values.records([["a"], ["b"]], 7) == [{"x": "a", "row": 7}, {"x": "b", "row": 8}]
    assert values.records([], 7) == []


def test_types_are_guessed_with_care() -> None:
    names = ["int", "float", "bool", "date", "when", "zip", "text", "none"]
    rows = [
        ["1", "1", "true", "2024-01-01", "2024-01-01T00:00:00Z", "01234", "a", ""],
        ["-20", "2.5", "False", "2024-01-02", "2024-01-01 00:00", "99999", "1", "NA"],
        ["NA", "", "", "", "", "", "", ""],
    ]
    assert guess(rows, names, ["NA"]) == {
        "int": "int",
        "float": "float",
        "bool": "bool",
        "date": "date",
        "when": "datetime",
        "zip": "text",
        "text": "text",
        "none": "text",
    }
    assert guess([], names, []) == {}
