from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.config.key import MAX_LENGTH, Key, Table
from teleporter_lab.errors import InvalidKey, TeleporterError, UnknownTable

CASES: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "data" / "keys.json").read_text(encoding="utf-8")
)
NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True).filter(lambda name: name not in (".", ".."))
KEYS = st.sampled_from(Table).flatmap(
    lambda table: st.tuples(*[NAMES] * table.depth).map(lambda segments: Key(table, segments))
)


@pytest.mark.parametrize("case", CASES["valid"], ids=lambda case: case["text"][:40])
def test_a_key_is_taken_apart(case: dict[str, Any]) -> None:
    key = Key.parse(case["text"])
    assert key.table == case["table"]
    assert list(key.segments) == case["segments"]
    assert str(key) == case["canonical"]
    assert (None if key.parent is None else str(key.parent)) == case["parent"]
    assert key.name == case["name"]
    assert key.ns == case["segments"][0]


@pytest.mark.parametrize("case", CASES["invalid"], ids=lambda case: case["why"])
def test_what_is_no_key_is_refused_with_its_code_and_one_sentence(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidKey) as caught:
        Key.parse(case["text"])
    assert caught.value.code == case["code"]
    assert caught.value.message.endswith((".", "?"))
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


@given(KEYS)
@settings(deadline=None)
def test_text_and_key_are_the_same_thing(key: Key) -> None:
    assert Key.parse(str(key)) == key
    assert hash(Key.parse(str(key))) == hash(key)


def _attempt(text: str) -> Key | InvalidKey:
    try:
        return Key.parse(text)
    except InvalidKey as error:
        return error


@given(st.text(max_size=60) | st.text("/nstreamgroup.-_ ", max_size=60))
@settings(deadline=None)
def test_any_text_gives_a_key_or_an_invalid_key(text: str) -> None:
    found = _attempt(text)
    if isinstance(found, Key):
        assert str(found) in (text, f"/namespace/{found.name}")
    else:
        assert "'" in found.message or "empty" in found.message


@given(KEYS)
@settings(deadline=None)
def test_parents_lead_to_the_namespace(key: Key) -> None:
    steps = 0
    above: Key | None = key
    while above is not None and above.parent is not None:
        assert above.parent.segments == above.segments[: len(above.parent.segments)]
        above, steps = above.parent, steps + 1
    assert above == Key(Table.NAMESPACE, (key.ns,))
    assert steps == key.table.depth - 1


@given(KEYS)
@settings(deadline=None)
def test_a_child_of_the_parent_is_the_key(key: Key) -> None:
    if key.parent is not None:
        assert key.parent.child(key.table, key.name) == key


def test_the_form_of_each_table() -> None:
    assert Table.NAMESPACE.form == "/namespace/:ns"
    assert Table.ADDRESS.form == "/address/:ns/:address"
    assert Table.PARTITION.form == "/partition/:ns/:task/:partition"
    assert Table.SINK.form == "/sink/:ns/:task/:stream/:sink"
    assert [table.depth for table in Table] == [1, 2, 2, 2, 2, 3, 3, 4, 4, 2, 2]


def test_task_and_stream_of_a_source() -> None:
    source = Key.parse("/source/ns/t/s/db")
    assert str(source.task) == "/task/ns/t"
    assert str(source.stream) == "/stream/ns/t/s"
    assert source.stream.stream == source.stream
    assert Key.parse("/partition/ns/t/1").task == source.task


@pytest.mark.parametrize("text", ["/namespace/ns", "/group/ns/g", "/variable/ns/v"])
def test_where_there_is_no_task(text: str) -> None:
    with pytest.raises(InvalidKey, match=r"lies under no task\."):
        _ = Key.parse(text).task


@pytest.mark.parametrize("text", ["/task/ns/t", "/partition/ns/t/1", "/address/ns/a"])
def test_where_there_is_no_stream(text: str) -> None:
    with pytest.raises(InvalidKey, match=r"lies under no stream\."):
        _ = Key.parse(text).stream


def test_a_child_of_another_table_is_refused() -> None:
    task = Key.parse("/task/ns/t")
    assert str(task.child(Table.STREAM, "s")) == "/stream/ns/t/s"
    with pytest.raises(InvalidKey, match="does not lie right under /task/ns/t"):
        task.child(Table.SOURCE, "db")
    with pytest.raises(InvalidKey):
        task.child(Table.NAMESPACE, "ns")
    with pytest.raises(InvalidKey):
        task.child(Table.STREAM, "a/b")


def test_a_key_that_breaks_the_grammar_cannot_be_made() -> None:
    with pytest.raises(InvalidKey, match="1 name instead of 2"):
        Key(Table.TASK, ("ns",))
    with pytest.raises(InvalidKey):
        Key(Table.TASK, ("ns", ""))
    with pytest.raises(InvalidKey, match=f"at most {MAX_LENGTH}"):
        Key(Table.TASK, ("ns", "x" * MAX_LENGTH))


def test_keys_sort_by_table_then_by_name() -> None:
    texts = ["/stream/a/b/c", "/namespace/b", "/stream/a/b-c/d", "/address/z/z", "/namespace/a"]
    assert [str(key) for key in sorted(map(Key.parse, texts))] == [
        "/address/z/z",
        "/namespace/a",
        "/namespace/b",
        "/stream/a/b/c",
        "/stream/a/b-c/d",
    ]


def test_a_key_can_be_copied_and_sent() -> None:
    key = Key.parse("/sink/ns/t/s/out")
    assert pickle.loads(pickle.dumps(key)) == copy.deepcopy(key) == key
    with pytest.raises(AttributeError):
        key.table = Table.TASK  # type: ignore[misc]


@pytest.mark.parametrize("wrong", [None, 5, 1.5, True, b"/task/a/b", ["/task/a/b"], {"key": "/task/a/b"}, object()])
def test_what_is_no_text_is_no_key(wrong: object) -> None:
    with pytest.raises(InvalidKey, match="A key is text such as /stream/ns/task/name"):
        Key.parse(wrong)


@pytest.mark.parametrize("huge", ["x" * 10_000_000, "/" * 10_000_000, "/task/" + "x" * 10_000_000, "/" + "x" * 600])
def test_a_huge_text_is_refused_in_a_short_sentence(huge: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        Key.parse(huge)
    assert len(caught.value.message) < 300


def test_a_misspelt_table_is_told_which_was_meant() -> None:
    with pytest.raises(UnknownTable, match="did you mean 'partition'"):
        Key.parse("/partitions/ns/t/1")
    with pytest.raises(TeleporterError, match="the tables are namespace, broker,"):
        Key.parse("/zzz/ns/t/1")
