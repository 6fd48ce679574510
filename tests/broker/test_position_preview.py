from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.broker.position_preview import Lines, Place, Preview, compare
from teleporter_lab.errors import ConnectorError


def commit(name: str, offset: Any, read: int, marker: str | None = None, at: float = 0.0) -> dict[str, Any]:
    position = {"offset": offset} if isinstance(offset, int) else offset
    entry = {"id": name, "kind": "commit", "at": at, "position": position, "read": read}
    return entry if marker is None else entry | {"set": marker}


def moved(name: str, to: int, read: int, line: str, offset: int, kind: str = "set") -> dict[str, Any]:
    return commit(name, to, read, name) | {"kind": kind, "line": line, "offset": offset}


HISTORY = [commit("a", 100, 100), commit("b", 200, 200), commit("c", 300, 300)]


def preview(
    entries: list[dict[str, Any]], now: tuple[Any, int, str | None], target: Any, distance: Any = None
) -> Preview:
    lines = Lines(entries)
    return lines.preview(lines.now(*now), target, distance)


def test_a_place_of_the_history_is_exact() -> None:
    now = ({"offset": 350}, 350, None)
    assert preview(HISTORY, now, {"offset": 200}) == Preview(150, "history")
    assert preview(HISTORY, now, {"offset": 350}) == Preview(0, "history")
    assert preview(HISTORY, now, None) == Preview(350, "history")
    assert preview(HISTORY, (None, 0, None), {"offset": 200}) == Preview(-200, "history")
    assert preview([], (None, 0, None), None) == Preview(0, "history")


def test_after_a_rewind_distances_go_on_although_the_ledger_counts_on() -> None:
    """At 350 somebody went back to 200; 60 more were read, which makes the ledger 410."""
    entries = [*HISTORY, commit("d", 350, 350), moved("m", 200, 350, "", -150, "rewind"), commit("e", 240, 390, "m")]
    now = ({"offset": 260}, 410, "m")
    assert preview(entries, now, {"offset": 100}) == Preview(160, "history")
    assert preview(entries, now, {"offset": 350}) == Preview(-90, "history")
    assert preview(entries, now, {"offset": 240}) == Preview(20, "history")
    assert preview(entries, now, None) == Preview(260, "history")


def test_behind_a_change_of_unknown_length_only_its_own_line_is_known() -> None:
    entries = [*HISTORY, moved("m", 5000, 300, "m", 0), commit("e", 5100, 400, "m")]
    now = ({"offset": 5200}, 500, "m")
    assert preview(entries, now, {"offset": 5100}) == Preview(100, "history")
    assert preview(entries, now, {"offset": 200}) == Preview(None, "bounds", 200, None)
    assert preview(entries, now, None).how == "unknown"


def test_what_was_before_a_reset_is_not_subtracted_from_what_came_after() -> None:
    reset = {"id": "r", "kind": "reset", "at": 0.0, "position": None, "read": 300}
    entries = [*HISTORY, reset, commit("e", 50, 50)]
    now = ({"offset": 90}, 90, None)
    assert preview(entries, now, {"offset": 50}) == Preview(40, "history")
    assert preview(entries, now, {"offset": 300}) == Preview(None, "bounds", None, 0)
    assert preview(entries, now, None) == Preview(90, "history")


def test_a_forgotten_change_is_a_line_of_its_own() -> None:
    assert preview(HISTORY, ({"offset": 9}, 900, "gone"), {"offset": 200}).how == "unknown"


def test_the_connector_is_asked_where_the_history_does_not_know() -> None:
    now = ({"offset": 350}, 350, None)
    told = preview(HISTORY, now, {"offset": 17}, lambda a, b: b["offset"] - a["offset"])
    assert told == Preview(333, "distance")
    assert preview(HISTORY, now, {"offset": 200}, lambda a, b: 7).how == "history"

    def refuses(a: Any, b: Any) -> int:
        raise ConnectorError("That is no position.")

    assert preview(HISTORY, now, {"offset": 17}, refuses).how == "bounds"


def test_neighbours_bound_what_lies_between() -> None:
    now = ({"offset": 350}, 350, None)
    assert preview(HISTORY, now, {"offset": 250}) == Preview(None, "bounds", 50, 150)
    assert preview(HISTORY, now, {"offset": 17}) == Preview(None, "bounds", 250, None)
    assert preview(HISTORY, now, {"offset": 999}) == Preview(None, "bounds", None, 0)
    assert preview(HISTORY, ({"offset": 200}, 200, None), {"offset": 250}) == Preview(None, "bounds", -100, 0)
    assert preview(HISTORY, now, {"other": 1}).how == "unknown"
    assert preview(HISTORY[:1], ({"offset": 100}, 100, None), {"offset": 250}).how == "unknown"


def test_positions_may_shrink_along_a_source() -> None:
    down = [commit("a", 900, 100), commit("b", 800, 200), commit("c", 700, 300)]
    assert preview(down, ({"offset": 650}, 350, None), {"offset": 750}) == Preview(None, "bounds", 50, 150)


def test_what_goes_to_and_fro_is_not_comparable() -> None:
    wild = [commit("a", 900, 100), commit("b", 100, 200), commit("c", 700, 300)]
    assert preview(wild, ({"offset": 750}, 350, None), {"offset": 200}).how == "unknown"


def test_going_back_by_records_takes_the_newest_place_far_enough() -> None:
    lines = Lines(HISTORY)
    now = lines.now({"offset": 350}, 350, None)
    found = [lines.back(now, records) for records in (1, 50, 51, 250, 251)]
    assert [place and place.entry for place in found] == ["c", "c", "b", "a", None]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Preview(0, "history"), "No record repeats, and none is left out."),
        (Preview(1, "history"), "1 record repeats."),
        (Preview(1200, "history"), "1,200 records repeat."),
        (Preview(-1, "history"), "1 record is left out: nobody will have read what lies between."),
        (Preview(-7, "distance"), "7 records are left out: nobody will have read what lies between."),
        (Preview(None, "bounds", 50, 150), "Between 50 and 150 records repeat."),
        (Preview(None, "bounds", 50, None), "At least 50 records repeat."),
        (Preview(None, "bounds", -90, -10), "Between 10 and 90 records are left out."),
        (Preview(None, "bounds", None, -10), "At least 10 records are left out."),
        (Preview(None, "bounds", None, 0), "Records are left out; how many is not known."),
    ],
)
def test_a_preview_is_one_sentence(found: Preview, text: str) -> None:
    assert found.text == text
    assert found.body()["text"] == text


def test_the_unknown_is_said() -> None:
    assert Preview(None, "unknown").text.startswith("How many records repeat or are left out is not known")


@pytest.mark.parametrize(
    ("a", "b", "side"),
    [
        (1, 2, -1),
        (2.5, 1, 1),
        (2**60, 2**60 + 1, -1),
        ("2026-01-01", "2026-01-02T10:00", -1),
        ("a", "b", None),
        ("a", "a", 0),
        ("2026-01-01", 5, None),
        (True, 2, None),
        ([1, 2], [1, 3], -1),
        ([1, 2], [0, 3], None),
        ([1], [1, 2], None),
        ({"a": 1, "b": "x"}, {"a": 2, "b": "x"}, -1),
        ({"a": 1, "b": "x"}, {"a": 2, "b": "y"}, None),
        ({"a": 1}, {"b": 1}, None),
        (None, 1, None),
    ],
)
def test_positions_are_compared_only_where_all_of_them_goes_one_way(a: Any, b: Any, side: int | None) -> None:
    assert compare(a, b) == side
    assert compare(b, a) == (None if side is None else -side)


@given(st.lists(st.integers(1, 50), min_size=2, max_size=20), st.data())
def test_bounds_hold_what_is_true(steps: list[int], data: st.DataObject) -> None:
    """A source whose position is three times its record number: any of its places lies in the bounds."""
    reads = list(accumulate(steps))
    entries = [commit(str(read), read * 3, read) for read in reads[:-1]]
    lines = Lines(entries)
    now = lines.now({"offset": reads[-1] * 3}, reads[-1], None)
    target = data.draw(st.integers(0, reads[-1] + 50))
    found = lines.preview(now, {"offset": target * 3})
    true = reads[-1] - target
    if found.records is not None:
        assert found.records == true
    assert found.least is None or found.least <= true
    assert found.most is None or true <= found.most


def test_a_place_is_a_value() -> None:
    assert Place(1, "", 2) == Place(1, "", 2)
