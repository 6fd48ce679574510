from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from teleporter_lab.config.block import Block, parse_block, refused, without_blanks
from teleporter_lab.config.duration import Duration, parse_duration
from teleporter_lab.config.secret import Secret
from teleporter_lab.errors import InvalidConfig, Problem


class Inner(Block):
    wait_time: Duration = parse_duration("1.minutes")
    count: int = 3


class Outer(Block):
    name: str | None = None
    max_size: int = Field(default=7, ge=1)
    inner: Inner = Field(default_factory=lambda: Inner())
    free: dict[str, Any] = Field(default_factory=dict)


def load(value: dict[str, Any]) -> Outer:
    return Outer.model_validate(value)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"name": "x", "maxSize": 5},
        {"maxSize": "5"},
        {"maxSize": 5.0},
        {"maxSize": ""},
        {"maxSize": None, "name": None, "inner": None, "free": None},
        {"name": "", "inner": "", "free": ""},
        {"inner": {}},
        {"inner": {"waitTime": "60.seconds", "count": ""}},
        {"inner": {"waitTime": 60}},
        {"inner": {"waitTime": "Inf"}},
        {"free": {"a": [1, None, ""], "b": {}}},
        {"free": {}},
    ],
)
def test_a_document_comes_out_as_it_was_written(document: dict[str, Any]) -> None:
    assert load(document).document() == document
    assert repr(load(document).document()) == repr({name: document[name] for name in load(document).document()})


def test_a_blank_means_not_filled_in() -> None:
    blank = load({"name": "", "maxSize": "", "inner": {"waitTime": ""}, "free": None})
    assert (blank.name, blank.max_size, blank.inner.wait_time, blank.free) == (None, 7, 60.0, {})


def test_written_forms_are_read_as_values() -> None:
    read = load({"maxSize": "5", "inner": {"waitTime": "10.seconds"}})
    assert (read.max_size, read.inner.wait_time) == (5, 10.0)
    assert type(read.max_size) is int
    assert type(read.inner.wait_time) is float


def test_a_changed_copy_says_the_change() -> None:
    changed = load({"maxSize": "5", "name": "x"}).model_copy(update={"max_size": 6})
    assert changed.document() == {"maxSize": 6, "name": "x"}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda block: pickle.loads(pickle.dumps(block))])
def test_a_copy_is_written_the_same(copied: Any) -> None:
    document = {"maxSize": 5, "inner": {"waitTime": "60.seconds"}, "free": {"a": [1]}}
    assert copied(load(document)).document() == document
    assert copied(load(document)) == load(document)


def test_a_document_shares_nothing_with_its_block() -> None:
    block = load({"free": {"a": [1]}})
    block.document()["free"]["a"].append(2)
    assert block.free == {"a": [1]}


def test_blocks_are_equal_when_their_fields_are() -> None:
    assert load({"maxSize": "5"}) == load({"maxSize": 5.0}) == Outer(max_size=5)
    assert load({}) == load({"inner": {"waitTime": "60s"}, "maxSize": ""})
    assert load({"maxSize": 5}) != load({"maxSize": 6})
    assert load({}) != {}
    assert Inner() != Outer()


def test_a_block_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load({}).name = "x"  # type: ignore[misc]


def test_python_names_are_for_python() -> None:
    assert Outer(max_size=5).max_size == 5
    assert Outer(max_size=5).document() == {"maxSize": 5}
    with pytest.raises(ValidationError):
        Outer.model_validate({"max_size": 5}, by_alias=True, by_name=False)


def test_a_blank_in_a_field_that_is_not_there_stays() -> None:
    assert without_blanks(Outer, {"name": "", "maxSize": 0, "free": None, "nope": "", "no": None}) == {
        "maxSize": 0,
        "nope": "",
        "no": None,
    }
    with pytest.raises(ValidationError):
        load({"nope": ""})


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.none() | st.text(max_size=3),
            "maxSize": st.none() | st.integers(1, 9) | st.integers(1, 9).map(str) | st.just(""),
            "inner": st.none()
            | st.fixed_dictionaries({}, optional={"waitTime": st.sampled_from(["", None, 1, "1.minutes", "PT1M"])}),
            "free": st.none()
            | st.dictionaries(st.text(max_size=2), st.none() | st.integers() | st.lists(st.text(max_size=2))),
        },
    )
)
@settings(deadline=None)
def test_any_right_document_comes_out_as_it_was_written(document: dict[str, Any]) -> None:
    assert load(document).document() == document


class Client(BaseModel):
    topics: str
    size: int = 1
    password: Secret | None = None


def test_a_connectors_block_is_parsed_with_all_mistakes() -> None:
    client = parse_block(Client, {"topics": "a", "size": "", "password": "x"})
    assert (client.topics, client.size, client.password) == ("a", 1, "x")
    with pytest.raises(InvalidConfig) as caught:
        parse_block(Client, {"topics": "", "size": Secret("hunter2")}, ("client",))
    assert [problem.path for problem in caught.value.problems] == ["client.topics", "client.size"]
    assert caught.value.message == "The block has 2 mistakes."
    assert "hunter2" not in str(caught.value)


def test_the_error_counts() -> None:
    assert refused("It", [Problem("a", "b")]).message == "It has 1 mistake."
    assert refused("It", [Problem("a", "b")] * 2).message == "It has 2 mistakes."
