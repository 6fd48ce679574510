from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.broker.assign import assign

NAMES = st.sampled_from([f"i{number}" for number in range(7)])
PARTITIONS = st.sets(st.integers(0, 40).map(lambda number: f"p{number:02}"), max_size=30)
MEMBERS = st.sets(NAMES, max_size=6)
CURRENT = st.dictionaries(st.integers(0, 45).map(lambda number: f"p{number:02}"), NAMES)


def loads(assigned: dict[str, str], members: set[str]) -> list[int]:
    counted = Counter(assigned.values())
    return [counted[member] for member in members]


@given(PARTITIONS, MEMBERS, CURRENT)
def test_everything_is_spread_evenly(partitions: set[str], online: set[str], current: dict[str, str]) -> None:
    assigned = assign(partitions, online, (), current)
    assert set(assigned) == (partitions if online else set())
    assert set(assigned.values()) <= online
    if online:
        spread = loads(assigned, online)
        assert max(spread) - min(spread) <= 1


@given(PARTITIONS, MEMBERS, MEMBERS, CURRENT)
def test_who_is_away_keeps_what_it_has_and_gets_nothing(
    partitions: set[str], online: set[str], away: set[str], current: dict[str, str]
) -> None:
    assigned = assign(partitions, online, away, current)
    for instance in away - online:
        kept = {name for name in partitions if current.get(name) == instance}
        assert {name for name, owner in assigned.items() if owner == instance} == kept
    spread = loads(assigned, online)
    assert not spread or max(spread) - min(spread) <= 1


@given(PARTITIONS, MEMBERS, MEMBERS, CURRENT)
def test_nothing_moves_in_an_unchanged_world(
    partitions: set[str], online: set[str], away: set[str], current: dict[str, str]
) -> None:
    once = assign(partitions, online, away, current)
    assert assign(partitions, online, away, once) == once


@given(PARTITIONS, MEMBERS, CURRENT)
def test_the_order_of_what_comes_in_does_not_matter(
    partitions: set[str], online: set[str], current: dict[str, str]
) -> None:
    shuffled = sorted(partitions, reverse=True)
    members = sorted(online, reverse=True)
    backwards = dict(reversed(list(current.items())))
    assert assign(shuffled, members, (), backwards) == assign(sorted(partitions), sorted(online), (), current)


@given(PARTITIONS, MEMBERS.filter(bool), CURRENT)
def test_only_what_must_move_moves(partitions: set[str], online: set[str], current: dict[str, str]) -> None:
    assigned = assign(partitions, online, (), current)
    stayed = sum(assigned[name] == current.get(name) for name in partitions)
    base, odd = divmod(len(partitions), len(online))
    held = sorted((sum(current.get(name) == one for name in partitions) for one in online), reverse=True)
    most = sum(min(count, base + (place < odd)) for place, count in enumerate(held))
    assert stayed == most


@given(PARTITIONS.filter(bool), MEMBERS.filter(lambda members: len(members) > 1))
def test_one_who_leaves_moves_only_its_own(partitions: set[str], online: set[str]) -> None:
    before = assign(partitions, online, (), {})
    gone = sorted(online)[0]
    after = assign(partitions, online - {gone}, (), before)
    assert all(after[name] == owner for name, owner in before.items() if owner != gone)


def test_a_newcomer_gets_its_share_of_each() -> None:
    partitions = [f"p{number}" for number in range(9)]
    before = assign(partitions, ["a", "b"], (), {})
    after = assign(partitions, ["a", "b", "c"], (), before)
    assert Counter(after.values()) == {"a": 3, "b": 3, "c": 3}
    assert all(owner == "c" for name, owner in after.items() if before[name] != owner)


def test_nobody_online_assigns_nothing_new() -> None:
    assert assign(["p"], [], ["a"], {}) == {}
    assert assign(["p"], [], ["a"], {"p": "a"}) == {"p": "a"}
    assert assign(["p"], [], [], {"p": "a"}) == {}
