"""Batches in lanes: never two that share a key, never too many, and each key in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.engine.lanes import Keys, Lanes

KEYS = st.none() | st.frozensets(st.integers(0, 9), max_size=4)


def share(one: Keys, other: Keys) -> bool:
    return one is None or other is None or bool(one & other)


@given(batches=st.lists(KEYS, max_size=40), most=st.integers(1, 5), data=st.data())
def test_batches_that_share_a_key_run_one_after_the_other_in_order(
    batches: list[Keys], most: int, data: st.DataObject
) -> None:
    lanes = Lanes(most)
    running: dict[int, int] = {}
    ended: list[int] = []
    for number, keys in enumerate(batches):
        while not lanes.may_start(keys):
            assert running, "nothing runs, and nothing may start"
            ended.append(running.pop(lane := data.draw(st.sampled_from(sorted(running)))))
            lanes.end(lane)
        assert len(running) < most
        assert not any(share(keys, batches[other]) for other in running.values())
        assert all(other in ended for other in range(number) if share(keys, batches[other]))
        running[lanes.start(keys)] = number
        assert len(lanes) == len(running)


@given(batches=st.lists(KEYS, min_size=1, max_size=8))
def test_one_lane_is_one_batch_at_a_time(batches: list[Keys]) -> None:
    lanes = Lanes(1)
    for keys in batches:
        lane = lanes.start(keys)
        assert not any(lanes.may_start(other) for other in batches)
        lanes.end(lane)
        assert all(lanes.may_start(other) for other in batches)


def test_batches_without_any_key_are_in_nobodys_way_and_unknown_ones_are_in_everybodys() -> None:
    lanes = Lanes(3)
    lanes.start(frozenset())
    lanes.start({1, 2})
    assert lanes.may_start(frozenset())
    assert lanes.may_start({3})
    assert not lanes.may_start({2, 3})
    assert not lanes.may_start(None)


def test_there_is_one_lane_at_least() -> None:
    with pytest.raises(ValueError, match="1 lane or more, not 0"):
        Lanes(0)
