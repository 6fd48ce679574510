"""A walk over windows and pages reads every row, however it is cut, and its position is plain JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors.rollers.deadline import Deadline
from teleporter_lab.connectors.rollers.pages import Pages
from teleporter_lab.connectors.rollers.walk import Roller, Walk
from teleporter_lab.connectors.rollers.windows import FINISHED, Wait, Windows
from teleporter_lab.errors import ConnectorError
from tests.connectors.rollers.walk_model import END, Case, at, finished, read

TEN = at(10) - at(0)
WINDOWS = Windows(at(0), Deadline(at(25)), TEN, TEN)


def begun(walk: Walk, seconds: float) -> Walk:
    step = walk.step(at(seconds))
    assert isinstance(step, Walk)
    return step


def test_pages_within_windows() -> None:
    walk = begun(Roller(WINDOWS, Pages(2)).walk(None), 100)
    assert (walk.here.page, walk.here.window) == (0, WINDOWS.next(None, at(100)))
    walk = walk.passed(1).passed(1).page_over(2)
    assert (walk.here.page, walk.here.rows) == (1, 0)
    walk = begun(walk.page_over(0), 100)
    assert walk.here.page == 0
    assert walk.here.window is not None
    assert walk.here.window.start == at(10)
    walk = begun(walk.passed(1).page_over(1), 100).page_over(0)
    assert finished(walk, 100)
    assert walk.step(at(100)) is FINISHED


def test_pages_alone_and_everything_at_once() -> None:
    walk = begun(Roller(pages=Pages(2, first=3)).walk(None), 0)
    assert (walk.here.page, walk.here.window) == (3, None)
    assert finished(walk.passed(1).page_over(1), 0)
    walk = begun(Roller().walk(None), 0)
    assert walk.passed(5).position == {"rows": 5}
    assert finished(walk.page_over(5), 0)


def test_a_walk_waits() -> None:
    assert Roller(WINDOWS).walk(None).step(at(3)) == Wait(at(10))


POSITION = {
    "start": "2024-01-01T00:00:00+00:00",
    "end": "2024-01-01T00:00:10+00:00",
    "read": "2024-01-01T00:01:40+00:00",
}


def test_positions() -> None:
    paged, whole, keyed = Roller(WINDOWS, Pages(2)), Roller(WINDOWS), Roller(WINDOWS, keyed=True)
    assert Roller(WINDOWS).walk(None).position is None
    assert begun(paged.walk(None), 100).passed(1).position == {**POSITION, "page": 0, "rows": 1}
    assert begun(whole.walk(None), 100).passed(1).passed(3).position == {**POSITION, "rows": 4}
    assert begun(keyed.walk(None), 100).passed(2, [1, "x"]).position == {**POSITION, "key": [1, "x"]}
    unordered = Roller(WINDOWS, counted=False)
    assert begun(unordered.walk(None), 100).passed(3).position == {**POSITION, "rows": 0}
    for roller in (paged, whole, keyed):
        walk = begun(roller.walk(None), 100).passed(2, 7)
        assert roller.walk(walk.position) == walk


def test_a_window_begins_anew() -> None:
    roller = Roller(WINDOWS, Pages(2))
    walk = begun(roller.walk(None), 100)
    assert walk.passed(2).page_over(2).passed(1).again() == walk


def test_nothing_is_read_before_it_was_asked_for() -> None:
    with pytest.raises(ValueError, match="There is nothing being read"):
        _ = Roller(WINDOWS).walk(None).here


@pytest.mark.parametrize(
    ("roller", "position", "wrong"),
    [
        (Roller(WINDOWS), 5, "start is missing or no text"),
        (Roller(WINDOWS), {"rows": 5}, "start is missing or no text"),
        (Roller(WINDOWS), {**POSITION, "end": "soon", "rows": 1}, "end is no date-time with an offset"),
        (Roller(WINDOWS), {**POSITION, "read": "2024-01-01T00:00:00", "rows": 1}, "read is no date-time with an off"),
        (Roller(WINDOWS), {**POSITION, "end": POSITION["start"], "rows": 1}, "start must be before end"),
        (Roller(WINDOWS), POSITION, "rows is missing or no whole number"),
        (Roller(WINDOWS), {**POSITION, "rows": -1}, "rows is missing or no whole number"),
        (Roller(WINDOWS, Pages(2)), {**POSITION, "rows": 1}, "page is missing or no whole number"),
        (Roller(WINDOWS, keyed=True), {**POSITION, "rows": 1}, "by key: key is missing"),
        (Roller(keyed=True), 5, "by key: key is missing"),
        (Roller(pages=Pages(2)), {**POSITION, "rows": 1}, "this roller has no start"),
        (Roller(pages=Pages(2)), {"key": 1}, "page is missing or no whole number"),
    ],
)
def test_a_position_of_something_else_is_refused(roller: Roller, position: Any, wrong: str) -> None:
    with pytest.raises(ConnectorError, match=wrong):
        roller.walk(position)


SMALL = st.integers(1, 30)
CASES = st.builds(
    Case,
    rows=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 40)), max_size=12),
    period=SMALL,
    growth=st.integers(1, 4),
    lag=st.just(0) | st.integers(0, 40),
    size=st.none() | st.integers(1, 4),
    deadline=st.none() | st.integers(1, 130),
    delay=st.just(0) | st.integers(0, 15),
    begin=st.integers(0, 160),
    costs=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    chunks=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    restarts=st.just([]) | st.lists(st.integers(1, 5), max_size=3),
    keyed=st.booleans(),
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=10_000, deadline=None)
@given(case=CASES)
def test_every_row_is_given_and_none_before_it_is_there(case: Case) -> None:
    """A row that was there when the last window that holds it, or one behind that, was begun, is given: at least once,
    and just once where nothing is late and nothing was restarted, or windows are not cut into pages by number."""
    reader = read(case)
    table = case.table()
    ids = [each for each, _ in reader.given]
    assert all(table[each].there <= when for each, when in reader.given)
    last = reader.last
    needed = {row.id for row in table if last is not None and at(row.moment) < last.end and at(row.there) <= last.read}
    assert needed <= set(ids)
    assert case.deadline is None or all(row.moment < case.deadline for row in table if row.id in set(ids))
    if case.deadline is None and last is not None:
        assert last.end >= at(END - case.period - case.delay)
    paged = case.size is not None and not case.keyed
    if case.lag == 0 or (reader.runs == 1 and not paged):
        assert len(ids) == len(set(ids))
