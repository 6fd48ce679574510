"""Rows of an overlap are given once in a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from teleporter_lab.connectors.rollers.overlap import Overlap
from teleporter_lab.connectors.rollers.windows import Window

START = datetime(2024, 1, 1, tzinfo=UTC)


def window(start: float, end: float) -> Window:
    first, last = START + timedelta(seconds=start), START + timedelta(seconds=end)
    return Window(first, last, last)


def new(overlap: Overlap, *rows: tuple[object, ...]) -> list[tuple[object, ...]]:
    return [row for row in rows if overlap.is_new(row)]


def test_what_was_given_is_not_new_and_what_was_late_is() -> None:
    overlap = Overlap()
    overlap.begin(window(0, 10), kept=True)
    assert new(overlap, (1, "a"), (2, "b")) == [(1, "a"), (2, "b")]
    overlap.begin(window(5, 20), kept=True)
    assert new(overlap, (2, "b"), (3, "late"), (4, "d"), (1, "changed")) == [(3, "late"), (4, "d"), (1, "changed")]
    overlap.begin(window(9, 30), kept=True)
    assert new(overlap, (3, "late"), (2, "b")) == []


def test_rows_that_are_alike_are_counted() -> None:
    overlap = Overlap()
    overlap.begin(window(0, 10), kept=True)
    assert len(new(overlap, ("x",), ("x",))) == 2
    overlap.begin(window(5, 20), kept=True)
    assert len(new(overlap, ("x",), ("x",), ("x",))) == 1


def test_values_of_other_types_are_other_rows() -> None:
    overlap = Overlap()
    overlap.begin(window(0, 10), kept=True)
    assert len(new(overlap, (1,), ("1",), (1.0,), (None,), (b"1",), ("\ud800",))) == 6


def test_what_will_not_be_read_again_is_forgotten() -> None:
    overlap = Overlap()
    overlap.begin(window(0, 10), kept=True)
    new(overlap, (1,), (2,))
    overlap.begin(window(8, 20), kept=True)
    new(overlap, (3,))
    assert (overlap.rows, overlap.active) == (3, True)
    overlap.begin(window(18, 30), kept=False)
    assert overlap.rows == 1
    overlap.begin(window(30, 40), kept=False)
    assert (overlap.rows, overlap.active) == (0, False)
    assert new(overlap, (1,), (1,)) == [(1,), (1,)]


def test_a_window_that_is_begun_again_gives_the_rest() -> None:
    overlap = Overlap()
    overlap.begin(window(0, 10), kept=True)
    new(overlap, (1,), (2,))
    overlap.begin(window(0, 10), kept=True)
    assert new(overlap, (1,), (2,), (3,)) == [(3,)]
    overlap.begin(window(5, 20), kept=True)
    assert new(overlap, (1,), (3,)) == []
