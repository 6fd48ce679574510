"""Which streams run here: each in exactly one partition, whatever the patterns say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.broker.topology import build
from teleporter_lab.config.key import Key
from teleporter_lab.config.nodes import parse_node
from teleporter_lab.errors import InvalidPattern
from teleporter_lab.instance.ownership import fields_of, patterns_of, streams_of, wanted

names = st.text("ab.-_1", min_size=1, max_size=4).filter(lambda text: text not in {".", ".."})
streams = st.sets(names.map(lambda name: Key.parse(f"/stream/n-s/t.k/{name}")), max_size=12)
endings = st.sampled_from(["", ".*", "a.*", "b", "[ab].*", ".+1", "a|b", "a", ".*-.*"])
patterns = endings.map(lambda end: f"/stream/n-s/t.k/{end}" if end else "/stream/n-s/t\\.k/.*")
partitions = st.dictionaries(
    names.map(lambda name: Key.parse(f"/partition/n-s/t.k/{name}")),
    st.lists(patterns, max_size=3).map(lambda keys: {"keys": keys}),
    max_size=5,
)


def model(stream: Key, documents: dict[Key, Any]) -> str | None:
    """The first partition by key with a pattern that matches: these patterns mean what they mean to `re`."""
    for key in sorted(documents):
        if any(re.fullmatch(pattern, str(stream)) for pattern in documents[key]["keys"]):
            return str(key)
    return None


@settings(deadline=None, max_examples=60)
@given(streams, partitions)
def test_each_stream_belongs_to_the_first_partition_that_matches(
    found: set[Key], documents: dict[Key, dict[str, Any]]
) -> None:
    compiled = patterns_of(documents)
    owners = {str(key): streams_of(found, compiled, [str(key)]) for key in documents}
    for stream in found:
        assert [key for key, mine in owners.items() if stream in mine] == list(filter(None, [model(stream, documents)]))
    everything = streams_of(found, compiled, owners)
    assert everything == set().union(*owners.values())


@settings(deadline=None, max_examples=60)
@given(streams, partitions)
def test_it_is_the_rule_the_broker_goes_by(found: set[Key], documents: dict[Key, dict[str, Any]]) -> None:
    topology = build((key, parse_node(key, value)) for key, value in documents.items())
    compiled = patterns_of(documents)
    for stream in found:
        partition = topology.partition_of(str(stream))
        for key in documents:
            assert (stream in streams_of([stream], compiled, [str(key)])) == (partition == str(key))


KEY = Key.parse("/partition/ns/t/p")
STREAM = Key.parse("/stream/ns/t/s")


@pytest.mark.parametrize(
    "value",
    [
        {"keys": ["/stream/ns/t/("]},
        {"keys": ["/stream/ns/t/*"]},
        {"keys": [None, 7, ["/stream/"]]},
        {"keys": "/stream/ns/t/.*"},
        {"keys": None},
        {"keys": 5},
        {},
        None,
        "/stream/",
        ["/stream/"],
    ],
)
def test_what_is_no_pattern_matches_nothing(value: Any) -> None:
    assert streams_of([STREAM], patterns_of({KEY: value}), [str(KEY)]) == set()


def test_a_broken_pattern_harms_no_other() -> None:
    compiled = patterns_of({KEY: {"keys": ["/stream/ns/t/(", "/stream/ns/t/s"]}})
    assert streams_of([STREAM], compiled, [str(KEY)]) == {STREAM}


def test_a_pattern_that_takes_too_long_says_so() -> None:
    slow = patterns_of({KEY: {"keys": [r"/stream/ns/t/(a|aa|a.|.a)+\d$"]}})
    stream = Key.parse("/stream/ns/t/" + "a" * 400)
    with pytest.raises(InvalidPattern, match="took too long"):
        streams_of([stream], slow, [str(KEY)])


def test_partitions_of_others_own_nothing_here() -> None:
    compiled = patterns_of({KEY: {"keys": ["/stream/"]}})
    assert streams_of([STREAM], compiled, []) == set()
    assert streams_of([STREAM], compiled, ["/partition/ns/t/other"]) == set()


@pytest.mark.parametrize(
    ("value", "runs"),
    [
        ({}, True),
        ({"status": "NORMAL"}, True),
        ({"status": None}, True),
        ({"status": "STOPPED"}, False),
        ({"status": "REMOVE"}, False),
        ({"status": "COMPLETE"}, True),
        (None, True),
    ],
)
def test_a_stream_runs_unless_its_document_says_otherwise(value: Any, runs: bool) -> None:
    assert wanted(value) is runs


def test_what_is_no_object_has_no_fields() -> None:
    assert fields_of([1]) == fields_of(None) == fields_of("x") == {}
