"""Placing a stream: what is saved makes the target run it, once, and touches nobody else."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.config.key import Key, Table
from teleporter_lab.errors import InvalidKey
from teleporter_lab.instance.ownership import patterns_of, streams_of
from teleporter_lab.lab.placement import place

STREAM = Key.parse("/stream/shop/orders/load")
NAMES = st.sampled_from(["one", "two", "a-b.c"])
TARGETS = st.builds(
    lambda table, name: Key.parse(f"/{table}/shop/{name}"), st.sampled_from(["instance", "group"]), NAMES
)
TASKS = st.lists(st.sampled_from(["/task/shop/orders", "/task/shop/other"]), unique=True)


@st.composite
def documents(draw: st.DrawFn) -> dict[Key, dict[str, Any]]:
    found: dict[Key, dict[str, Any]] = {}
    for name in draw(st.lists(NAMES, unique=True)):
        found[Key.parse(f"/group/shop/{name}")] = {"tasks": draw(TASKS), "name": name}
    if draw(st.booleans()):
        found[Key.parse("/task/shop/orders")] = {"group": "/group/shop/two", "template": "x"}
    if draw(st.booleans()):
        pattern = draw(st.sampled_from(["/stream/shop/orders/.*", "/stream/shop/orders/other"]))
        found[Key.parse("/partition/shop/orders/p")] = {"keys": [pattern]}
    return found


@given(documents(), TARGETS)
def test_what_is_placed_runs_on_the_target_alone(existing: dict[Key, dict[str, Any]], target: Key) -> None:
    after = {**existing, **place(STREAM, target, existing)}
    owners = [k for k, v in after.items() if k.table is Table.GROUP and str(STREAM.task) in v.get("tasks", ())]
    assert len(owners) == 1
    assert after[STREAM.task]["group"] == str(owners[0])
    assert owners[0].name == target.name
    if target.table is Table.INSTANCE:
        assert str(target) in after[owners[0]]["instances"]
    covered = [v for k, v in after.items() if k.table is Table.PARTITION]
    assert any("/stream/shop/orders/.*" in v["keys"] for v in covered)
    for key, value in existing.items():
        kept = {k: v for k, v in value.items() if k not in {"tasks", "group", "instances", "keys"}}
        assert kept.items() <= after[key].items()
        if "/task/shop/other" in value.get("tasks", ()):
            assert "/task/shop/other" in after[key]["tasks"]


@given(documents(), TARGETS)
def test_placing_again_changes_nothing(existing: dict[Key, dict[str, Any]], target: Key) -> None:
    after = {**existing, **place(STREAM, target, existing)}
    assert place(STREAM, target, after) == {}


def test_only_instances_and_groups_run_streams() -> None:
    with pytest.raises(InvalidKey, match="an instance or a group"):
        place(STREAM, STREAM.task, {})


def test_a_task_that_was_elsewhere_moves_and_leaves_its_neighbours() -> None:
    existing = place(STREAM, Key.parse("/instance/shop/one"), {})
    existing[Key.parse("/group/shop/one")]["tasks"].insert(0, "/task/shop/other")
    moved = {**existing, **place(STREAM, Key.parse("/instance/shop/two"), existing)}
    assert moved[Key.parse("/group/shop/one")]["tasks"] == ["/task/shop/other"]
    assert moved[Key.parse("/group/shop/two")] == {"instances": ["/instance/shop/two"], "tasks": ["/task/shop/orders"]}
    assert moved[STREAM.task]["group"] == "/group/shop/two"
    back = place(STREAM, Key.parse("/instance/shop/one"), moved)
    assert back[Key.parse("/group/shop/one")]["tasks"] == ["/task/shop/other", "/task/shop/orders"]
    assert back[Key.parse("/group/shop/two")]["tasks"] == []
    assert {**moved, **back}[STREAM.task]["group"] == "/group/shop/one"


def test_an_instance_stays_in_the_group_that_it_names() -> None:
    """Its other work must not be taken from it because a stream is deployed to it."""
    one = Key.parse("/instance/shop/one")
    existing: dict[Key, dict[str, Any]] = {one: {"group": "/group/shop/fleet", "name": "One"}}
    after = {**existing, **place(STREAM, one, existing)}
    assert after[one] == existing[one]
    assert after[Key.parse("/group/shop/one")]["instances"] == [str(one)]


def test_only_what_has_to_change_is_saved() -> None:
    existing = place(STREAM, Key.parse("/group/shop/fleet"), {})
    assert place(Key.parse("/stream/shop/orders/other"), Key.parse("/group/shop/fleet"), existing) == {}
    other = place(Key.parse("/stream/shop/more/load"), Key.parse("/group/shop/fleet"), existing)
    assert [str(key) for key in other] == ["/group/shop/fleet", "/task/shop/more", "/partition/shop/more/all"]
    assert other[Key.parse("/group/shop/fleet")]["tasks"] == ["/task/shop/orders", "/task/shop/more"]


def test_nothing_that_was_given_is_changed_in_place() -> None:
    existing: dict[Key, dict[str, Any]] = {
        Key.parse("/group/shop/one"): {"tasks": [], "instances": ["/instance/shop/three"]},
        Key.parse("/partition/shop/orders/all"): {"keys": ["/stream/shop/orders/x"]},
    }
    before = deepcopy(existing)
    assert place(STREAM, Key.parse("/instance/shop/one"), existing)
    assert existing == before


@pytest.mark.parametrize("keys", [["/stream/shop/orders/("], ["/stream/shop/orders/x"], [], None, "/stream/"])
def test_a_partition_that_does_not_cover_it_is_added_to(keys: Any) -> None:
    existing: dict[Key, dict[str, Any]] = {Key.parse("/partition/shop/orders/p"): {"keys": keys}}
    partition = place(STREAM, Key.parse("/group/shop/one"), existing)[Key.parse("/partition/shop/orders/all")]
    assert partition == {"keys": ["/stream/shop/orders/.*"]}


def test_names_with_dots_and_dashes_are_covered() -> None:
    stream = Key.parse("/stream/my-shop.2/or-ders.x/lo-ad.1")
    after = place(stream, Key.parse("/group/my-shop.2/one"), {})
    assert place(stream, Key.parse("/group/my-shop.2/one"), after) == {}
    partitions = {key: value for key, value in after.items() if key.table is Table.PARTITION}
    assert streams_of([stream], patterns_of(partitions), map(str, partitions)) == {stream}
