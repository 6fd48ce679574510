"""Placing a stream: what is saved makes the target run it, once, and touches nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.config.key import Key, Table
from teleporter_lab.errors import InvalidKey
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
