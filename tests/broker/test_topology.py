from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.broker import topology as module
from teleporter_lab.broker.topology import Topology, build
from teleporter_lab.config.key import Key
from teleporter_lab.config.nodes import parse_node
from teleporter_lab.errors import InvalidKey


def of(documents: dict[str, Any]) -> Topology:
    keys = [(Key.parse(text), value) for text, value in documents.items()]
    return build((key, parse_node(key, value)) for key, value in keys)


WHOLE = {
    "/group/ns/g": {"tasks": ["/task/ns/listed"], "instances": ["/instance/ns/a"]},
    "/task/ns/listed": {},
    "/task/ns/named": {"group": "/group/ns/g"},
    "/task/ns/alone": {},
    "/instance/ns/a": {},
    "/instance/ns/b": {"group": "/group/ns/g"},
    "/partition/ns/named/p2": {"keys": ["/stream/ns/named/.*"]},
    "/partition/ns/named/p1": {"keys": ["/stream/ns/named/orders.*", "/stream/ns/named/x"]},
    "/stream/ns/named/orders-1": {},
}


def test_tasks_and_instances_are_listed_or_name_their_group() -> None:
    found = of(WHOLE)
    group = found.groups["/group/ns/g"]
    assert group.tasks == {"/task/ns/listed", "/task/ns/named"}
    assert group.instances == {"/instance/ns/a", "/instance/ns/b"}
    assert group.delay == 60
    assert found.group_of("/task/ns/alone") is None
    assert found.groups_with("/instance/ns/b") == [group]
    assert found.of_group(group) == ["/partition/ns/named/p1", "/partition/ns/named/p2"]


def test_a_task_is_in_one_group_and_what_it_names_wins() -> None:
    found = of(
        {
            "/group/ns/a": {"tasks": ["/task/ns/t", "/task/ns/u"]},
            "/group/ns/b": {"tasks": ["/task/ns/u"]},
            "/task/ns/t": {"group": "/group/ns/b"},
        }
    )
    assert found.groups["/group/ns/a"].tasks == {"/task/ns/u"}
    assert found.groups["/group/ns/b"].tasks == {"/task/ns/t"}


def test_a_group_that_is_only_named_exists() -> None:
    found = of({"/task/ns/t": {"group": "/group/ns/g"}, "/instance/ns/i": {"group": "/group/ns/g"}})
    assert found.groups["/group/ns/g"].instances == {"/instance/ns/i"}


def test_the_delay_of_a_group() -> None:
    found = of({"/group/ns/g": {"instanceOfflineReBalanceTime": "Inf"}})
    assert found.groups["/group/ns/g"].delay == math.inf


@pytest.mark.parametrize(
    ("stream", "partition"),
    [
        ("/stream/ns/named/orders-1", "/partition/ns/named/p1"),
        ("/stream/ns/named/x", "/partition/ns/named/p1"),
        ("/stream/ns/named/other", "/partition/ns/named/p2"),
        ("/stream/ns/alone/other", None),
    ],
)
def test_a_stream_is_in_the_first_partition_that_matches(stream: str, partition: str | None) -> None:
    found = of(WHOLE)
    assert found.partition_of(stream) == partition
    assert found.partition_of(stream) == partition


def test_a_partition_of_no_stream_is_refused() -> None:
    with pytest.raises(InvalidKey):
        of(WHOLE).partition_of("/nonsense")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    found = of(WHOLE)
    for number in range(10):
        assert found.partition_of(f"/stream/ns/named/s{number}") == "/partition/ns/named/p2"


def test_only_the_groups_that_changed_are_named() -> None:
    before = of(WHOLE | {"/group/ns/h": {}})
    assert before.changed_groups(of(WHOLE | {"/group/ns/h": {}})) == set()
    assert before.changed_groups(of(WHOLE)) == {"/group/ns/h"}
    assert before.changed_groups(of(WHOLE | {"/group/ns/h": {}, "/partition/ns/named/p3": {}})) == {"/group/ns/g"}
    narrowed = {"/partition/ns/named/p2": {"keys": ["/stream/ns/named/x"]}, "/group/ns/h": {}}
    assert before.changed_groups(of(WHOLE | narrowed)) == {"/group/ns/g"}


@given(st.permutations(list(WHOLE)))
def test_the_order_of_documents_does_not_matter(order: list[str]) -> None:
    assert of({name: WHOLE[name] for name in order}) == of(WHOLE)
