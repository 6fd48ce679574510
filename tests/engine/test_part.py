"""Parts of a batch that has failed: halves, their tries, and the records that a writer names."""

from __future__ import annotations

import pyarrow as pa
import pytest

from teleporter_lab.engine.failure import Interrupted
from teleporter_lab.engine.part import Failed, Part, named
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError, RecordsRefused

NO = ValueError("no")


def test_halves_are_all_of_it_in_order_and_remember_the_tries_of_the_whole() -> None:
    part = Part([1, 2, 3, 4, 5])
    assert part.failed(OSError(), "sink").tries == 1
    failure = part.failed(NO, "sink")
    assert (failure.tries, failure.element, failure.stage) == (2, [1, 2, 3, 4, 5], "sink")
    first, second = part.halves(failure)
    assert (first.data, second.data) == ([1, 2], [3, 4, 5])
    assert first.failed(ValueError("the same"), "sink").tries == 3
    assert second.failed(OSError("another"), "sink").tries == 1, "this error is a new one"


def test_halves_of_halves_count_as_if_they_were_tried_with_the_whole_alone() -> None:
    part = Part([1, 2, 3, 4])
    half = part.halves(part.failed(NO, "sink"))[0]
    quarter = half.halves(half.failed(NO, "sink"))[0]
    assert quarter.failed(NO, "sink").tries == 2


def test_a_batch_of_columns_is_cut_as_well() -> None:
    part = Part(pa.record_batch({"x": [1, 2, 3, 4]}))
    first, second = part.halves(part.failed(NO, "sink"))
    assert (first.data.to_pylist(), second.data.to_pylist()) == ([{"x": 1}, {"x": 2}], [{"x": 3}, {"x": 4}])
    assert part.at([0, 3]).data.to_pylist() == [{"x": 1}, {"x": 4}]


def test_records_by_their_places_keep_the_tries_they_had() -> None:
    part = Part(["a", "b", "c"])
    assert part.at([2], 4).failed(NO, "sink").tries == 5
    assert part.at([0, 2]).data == ["a", "c"]


@pytest.mark.parametrize(
    "error", [AddressUnreachable("gone"), ConnectionResetError(), TimeoutError(), Interrupted()], ids=repr
)
def test_a_system_that_is_away_has_no_record_to_blame(error: Exception) -> None:
    assert Failed(error, object()).away
    assert Failed(NO, None).away, "it was not even opened"
    assert not Failed(NO, object()).away
    assert not Failed(ConnectorError("the table says no"), object()).away


def test_a_writer_may_name_the_records() -> None:
    one, two = BadRecord("one"), ValueError("two")
    assert named(RecordsRefused("Two of them.", refused={3: one, 0: two}), 4) == {3: one, 0: two}
    bad = BadRecord("this one", index=2)
    assert named(bad, 3) == {2: bad}


@pytest.mark.parametrize(
    "error",
    [
        BadRecord("one of them"),
        BadRecord("of another batch", index=4),
        RecordsRefused("none at all"),
        RecordsRefused("not there", refused={1: NO, -1: NO}),
        ValueError("no"),
    ],
    ids=repr,
)
def test_what_names_no_record_of_the_batch_names_none(error: Exception) -> None:
    assert named(error, 4) == {}
