"""Positions of topics, and what of them may be committed, are plain rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.connectors.kafka_positions import Shares, distance, offsets_of, parse_start, position_of
from teleporter_lab.errors import ConnectorError

OFFSETS = st.dictionaries(st.tuples(st.sampled_from(["a", "b.c", "d-e"]), st.integers(0, 20)), st.integers(0, 2**62))


@given(offsets=OFFSETS)
def test_offsets_come_back_from_a_position(offsets: Any) -> None:
    assert offsets_of(position_of(offsets)) == offsets


@pytest.mark.parametrize(
    "position", [5, {"t": 5}, {"t": {"x": 5}}, {"t": {"0": -1}}, {"t": {"0": "5"}}, {"t": {"0": True}}, {"index": 5}]
)
def test_what_is_no_position_is_told(position: Any) -> None:
    with pytest.raises(ConnectorError, match=r'is no position of a kafka source; one looks like \{"topic"'):
        offsets_of(position)


@pytest.mark.parametrize(
    ("start", "meaning"),
    [
        ("earliest", "earliest"),
        ("latest", "latest"),
        (1_700_000_000_000, 1_700_000_000_000),
        ("1700000000000", 1_700_000_000_000),
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T01:00:01+01:00", 1000),
        ("1970-01-02", 86_400_000),
        ({"t": {"0": 7}}, {("t", 0): 7}),
    ],
)
def test_a_start_is_read(start: Any, meaning: Any) -> None:
    assert parse_start(start) == meaning


@pytest.mark.parametrize(
    ("start", "wrong"),
    [
        ("first", "start must be earliest, latest, a time"),
        (-1, "0 or more milliseconds"),
        ({"t": {"x": 1}}, "start must have offsets of 0 or more by partition"),
    ],
)
def test_a_start_that_is_none_is_told(start: Any, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_start(start)


@pytest.mark.parametrize(
    ("begin", "end", "between"),
    [
        ({"t": {"0": 5, "1": 5}}, {"t": {"0": 8, "1": 6}}, 4),
        ({"t": {"0": 5, "1": 5}}, {"t": {"1": 6, "2": 100}}, 1),
        ({"t": {"0": 5}}, {"u": {"0": 6}}, None),
        (None, {"u": {"0": 6}}, None),
        ({"t": {"0": 5}}, None, None),
    ],
)
def test_the_distance_is_that_of_the_partitions_in_common(begin: Any, end: Any, between: Any) -> None:
    assert distance(begin, end) == between


def test_only_what_was_given_of_a_share_is_committed() -> None:
    shares = Shares()
    shares.give(("t", 0), 10, 15)
    shares.give(("t", 0), 15, 20)
    assert shares.committable({"t": {"0": 15, "1": 5}, "u": {"0": 5}}) == {("t", 0): 15}
    assert shares.committable({"t": {"0": 21}}) == {}, "behind what was given"
    assert shares.committable({"t": {"0": 10}}) == {}, "before the share began"


def test_a_commit_never_goes_backwards() -> None:
    shares = Shares()
    shares.give(("t", 0), 0, 20)
    shares.committed({("t", 0): 15})
    assert shares.behind
    assert shares.committable({"t": {"0": 15}}) == {}
    assert shares.committable({"t": {"0": 12}}) == {}
    assert shares.committable({"t": {"0": 20}}) == {("t", 0): 20}
    shares.committed({("t", 0): 20})
    assert not shares.behind


def test_what_an_earlier_share_was_given_counts_no_more() -> None:
    shares = Shares()
    shares.give(("t", 0), 0, 500)
    shares.lost()
    assert shares.committable({"t": {"0": 500}}) == {}
    shares.give(("t", 0), 700, 750)
    assert shares.committable({"t": {"0": 500}}) == {}
    shares.committed({("t", 1): 5})
    assert shares.committable({"t": {"0": 750}}) == {("t", 0): 750}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("give"), st.integers(0, 2), st.integers(1, 5)),
        st.tuples(st.just("commit"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("lose"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_commits_in_any_order_stay_within_the_share_and_grow(steps: list[tuple[str, int, int]]) -> None:
    """Against a model: positions of all times are committed at any time, as a late window might do."""
    shares, kept, begun = Shares(), dict.fromkeys(range(3), 0), dict[int, int]()
    behind, positions = dict[int, int](), list[Any]()
    for what, one, two in steps:
        if what == "lose":
            shares.lost()
            begun, behind = {}, {}
        elif what == "give":
            first = behind.get(one, kept[one])
            begun.setdefault(one, first)
            behind[one] = first + two
            shares.give(("t", one), first, first + two)
            positions.append(position_of(shares.given))
        elif positions:
            offsets = shares.committable(positions[one % len(positions)])
            for (_, number), offset in offsets.items():
                assert kept[number] < offset <= behind[number]
                kept[number] = offset
            shares.committed(offsets)
