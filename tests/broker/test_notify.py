from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.broker.notify import concerned
from teleporter_lab.broker.topology import Group, Partition, Topology
from teleporter_lab.config.key import Key, Table
from teleporter_lab.config.tail_regex import TailRegex

A, B, C, D = (f"/instance/ns/{name}" for name in "abcd")

TOPOLOGY = Topology(
    {
        "/group/ns/g": Group("/group/ns/g", frozenset({"/task/ns/t"}), frozenset({A, B})),
        "/group/ns/h": Group("/group/ns/h", frozenset({"/task/ns/u"}), frozenset({C})),
    },
    {
        "/task/ns/t": (
            Partition("/partition/ns/t/p0", (TailRegex.parse("/stream/ns/t/orders.*"),)),
            Partition("/partition/ns/t/p1", (TailRegex.parse("/stream/ns/t/"),)),
        ),
        "/task/ns/u": (Partition("/partition/ns/u/p", (TailRegex.parse("/stream/ns/u/"),)),),
    },
)
OWNERS = {"/partition/ns/t/p0": A, "/partition/ns/t/p1": B, "/partition/ns/u/p": D}
LINKS = {"/address/ns/db": {A, C}, "/variable/ns/v": {B}}


def told(key: str) -> set[str]:
    return set(concerned(Key.parse(key), TOPOLOGY, OWNERS, LINKS))


def test_a_group_concerns_its_instances() -> None:
    assert told("/group/ns/g") == {A, B}
    assert told("/group/ns/unknown") == set()


def test_a_task_concerns_its_groups_instances_and_who_still_runs_it() -> None:
    assert told("/task/ns/t") == {A, B}
    assert told("/task/ns/u") == {C, D}
    assert told("/task/ns/unknown") == set()


def test_a_partition_concerns_its_owner() -> None:
    assert told("/partition/ns/t/p1") == {B}
    assert told("/partition/ns/t/p9") == set()


def test_streams_sources_and_sinks_concern_the_owner_of_the_partition_that_matches() -> None:
    assert told("/stream/ns/t/orders-1") == {A}
    assert told("/source/ns/t/orders-1/in") == {A}
    assert told("/sink/ns/t/other/out") == {B}
    assert told("/stream/ns/nobody/other") == set()


def test_addresses_and_variables_concern_who_linked_them() -> None:
    assert told("/address/ns/db") == {A, C}
    assert told("/variable/ns/v") == {B}
    assert told("/address/ns/other") == set()


def test_an_instance_concerns_itself_and_the_rest_nobody() -> None:
    assert told("/instance/ns/z") == {"/instance/ns/z"}
    assert told("/namespace/ns") == set()
    assert told("/broker/ns/b") == set()


KEYS = st.sampled_from(list(Table)).map(lambda table: "/".join(["", table, *["ns", "t", "s", "x"][: table.depth]]))
PATTERNS = st.sampled_from(["/stream/ns/t/", "/stream/ns/t/s.*", "/stream/ns/u/", "/stream/ns/t/other.*"])
PARTITIONS = st.lists(st.lists(PATTERNS, max_size=2), max_size=4)


@given(KEYS, PARTITIONS, st.lists(st.sampled_from([A, B, C]), min_size=4, max_size=4))
def test_a_stream_concerns_at_most_one_and_only_an_owner(
    key: str, patterns: list[list[str]], instances: list[str]
) -> None:
    partitions = tuple(
        Partition(f"/partition/ns/t/p{number}", tuple(TailRegex.parse(text) for text in texts))
        for number, texts in enumerate(patterns)
    )
    owners = {partition.key: instance for partition, instance in zip(partitions, instances, strict=False)}
    found = concerned(Key.parse(key), Topology({}, {"/task/ns/t": partitions}), owners, {})
    if Key.parse(key).table in (Table.STREAM, Table.SOURCE, Table.SINK):
        first = next((p.key for p in partitions if p.matches("/stream/ns/t/s")), None)
        assert found == ({owners[first]} if first else set())
    elif Key.parse(key).table is not Table.INSTANCE:
        assert found <= set(owners.values())
