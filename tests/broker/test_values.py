from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.broker.values import MAX_DEPTH, Entry, canonical, etag, parse
from teleporter_lab.errors import InvalidInput

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_a_value_comes_back_from_its_text(value: Any) -> None:
    assert parse(canonical(value)) == value


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_names_does_not_matter(value: dict[str, int]) -> None:
    assert canonical(value) == canonical(dict(reversed(list(value.items()))))


@given(st.text() | st.binary())
def test_any_text_is_json_or_invalid_input(text: str | bytes) -> None:
    with suppress(InvalidInput):
        parse(text)


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": -math.inf}, "\ud800", {"\udfff": 1}, {1, 2}, b"x"])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        canonical(value)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_depth_is_bounded_in_both_directions() -> None:
    assert parse(canonical(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(InvalidInput, match="deeper than"):
        canonical(nested(MAX_DEPTH + 1))
    with pytest.raises(InvalidInput, match="deeper than"):
        parse(json.dumps(nested(MAX_DEPTH + 1)))
    with pytest.raises(InvalidInput, match="deeper than"):
        parse("[" * 1_000_000 + "]" * 1_000_000)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "line 1, column 2"), (b"\xff\xfe\xff", "UTF-8"), ("9" * 5000, "not JSON"), ("", "line 1, column 1")],
)
def test_what_is_wrong_is_said(text: str | bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        parse(text)


def test_an_entry_has_a_tag_of_its_value() -> None:
    entry = Entry("/a", canonical({"b": 1, "a": 2}))
    assert entry.body() == {"key": "/a", "value": {"a": 2, "b": 1}, "etag": etag('{"a":2,"b":1}')}
    assert entry.etag != Entry("/a", canonical({"b": 1, "a": 3})).etag
    entry.value["a"] = 9
    assert entry.value == {"a": 2, "b": 1}
