"""Of rows with the same key those are found that count."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.connectors.sql_keys import Survivors, of_last_rows, survivors

KEY = st.none() | st.integers(0, 3)


def test_rows_that_all_differ_need_nothing() -> None:
    assert survivors([[1, 2, 3]], 3) is None
    assert survivors([[1, 1], ["a", "b"]], 2) is None


def test_the_last_row_of_a_key_and_its_first_are_told() -> None:
    assert survivors([[1, 2, 1, 3, 1]], 5) == Survivors(last=[1, 3, 4], first=[1, 3, 0])
    assert survivors([[1, 1, 1], ["a", "b", "a"]], 3) == Survivors(last=[1, 2], first=[1, 0])


def test_a_key_with_a_null_is_like_no_other() -> None:
    assert survivors([[None, None]], 2) == Survivors([0, 1], [0, 1])
    assert survivors([[1, 1, 2, 2], [None, None, 5, 5]], 4) == Survivors([0, 1, 3], [0, 1, 2])


def test_what_cannot_be_compared_is_left_to_the_database() -> None:
    assert survivors([[[1], [1]]], 2) is None


def test_columns_that_are_written_once_keep_their_first_value() -> None:
    left = Survivors(last=[1, 2], first=[1, 0])
    assert of_last_rows([[7, 8, 7], ["a", "b", "c"], [1, 2, 3]], left, [False, True, False]) == [
        [8, 7],
        ["b", "a"],
        [2, 3],
    ]


@given(rows=st.lists(st.tuples(KEY, KEY), min_size=1, max_size=30))
def test_what_is_left_is_the_last_and_first_of_each_key(rows: list[tuple[Any, Any]]) -> None:
    found = survivors([list(column) for column in zip(*rows, strict=True)], len(rows))
    places = {at: [at] for at, row in enumerate(rows) if None in row}
    for at, row in enumerate(rows):
        if None not in row:
            key = hash(row) + 1000
            places.setdefault(key, []).append(at)
    expected = sorted((each[-1], each[0]) for each in places.values())
    assert (list(zip(found.last, found.first, strict=True)) if found else [(at, at) for at in range(len(rows))]) == (
        expected
    )
