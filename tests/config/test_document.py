from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.config.document import MAX_DEPTH, MAX_ENTRIES, MAX_PROBLEMS, MAX_TEXT, check, path_of, texts
from teleporter_lab.errors import Problem


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ((), ""),
        (("client", "topics"), "client.topics"),
        (("keys", 0), "keys[0]"),
        (("arguments", "a", 2, "b"), "arguments.a[2].b"),
        (("client", "group.id"), 'client["group.id"]'),
        (("client", 'say "hi"\\'), 'client["say \\"hi\\"\\\\"]'),
        (("client", ""), 'client[""]'),
        (("", 1), '[""][1]'),
        (("core-site.xml",), '["core-site.xml"]'),
        (("kebab-case", "x"), "kebab-case.x"),
        (("x" * 100,), f'["{"x" * 64}…"]'),
    ],
)
def test_how_a_place_is_written(place: tuple[str | int, ...], path: str) -> None:
    assert path_of(place) == path


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [{}, {"a": None, "b": [1, 1.5, True, "x", {}], "c": {"d": []}}, {"": ""}, {"é": "漢字 😀"}, nested(MAX_DEPTH)],
)
def test_what_a_config_may_be(value: object) -> None:
    assert check(value) == []


@pytest.mark.parametrize(
    ("value", "found"),
    [(None, "nothing"), ([], "a list of 0"), ("{}", "the text '{}'"), (5, "the number 5"), (True, "true")],
)
def test_a_config_is_an_object(value: object, found: str) -> None:
    assert check(value) == [Problem("", f"A config is an object with fields, but this is {found}.")]


def test_all_that_is_not_json_is_found_in_order() -> None:
    value: Any = {"a": {1, 2}, "b": [0, math.nan, b"x"], "c": {5: 1}, "d": "\ud800", "e": math.inf, "\udfff": 1}
    assert [(problem.path, problem.message.split(",")[0].split(" (")[0]) for problem in check(value)] == [
        ("", "Holds half of a character"),
        ("a", "Must be JSON"),
        ("b[1]", "Must be a finite number"),
        ("b[2]", "Must be JSON"),
        ("c", "The name of a field is text"),
        ("d", "Holds half of a character"),
        ("e", "Must be a finite number"),
    ]


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_nesting_has_an_end(depth: int) -> None:
    assert [problem.message for problem in check(nested(depth))] == [
        "Is nested deeper than 64 levels; make it flatter."
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"a": "x" * 10_000_000},
        {"x" * 10_000_000: 1},
        {"a": ["x" * 1_000_000] * 5},
        {str(number): "x" * 100 for number in range(50_000)},
    ],
)
def test_text_has_an_end(value: object) -> None:
    assert check(value) == [Problem("", f"A config has at most {MAX_TEXT:,} characters of text, but this has more.")]


@pytest.mark.parametrize(
    "value", [{"a": [0] * 10_000_000}, {"a": [[]] * 100_001}, dict.fromkeys(map(str, range(100_001)), 0)]
)
def test_the_number_of_entries_has_an_end(value: object) -> None:
    assert check(value) == [
        Problem("", f"A config has at most {MAX_ENTRIES:,} fields and list entries, but this has more.")
    ]


def test_the_number_of_problems_has_an_end() -> None:
    assert len(check({"a": [math.nan] * 1_000})) == MAX_PROBLEMS


def test_a_value_that_holds_itself_is_too_deep() -> None:
    value: dict[str, Any] = {}
    value["a"] = value
    assert "nested deeper" in check(value)[0].message


def test_texts_come_in_order_with_their_places() -> None:
    value: Any = {"a": "1", "b": ["2", {"c": "3"}, 4], "d": {"e": "5"}}
    assert list(texts(value, ("client",))) == [
        (("client", "a"), "1"),
        (("client", "b", 0), "2"),
        (("client", "b", 1, "c"), "3"),
        (("client", "d", "e"), "5"),
    ]
    assert list(texts("x")) == [((), "x")]
    assert list(texts(None)) == []


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.characters(categories=["Cs"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(ANYTHING)
@settings(deadline=None)
def test_whatever_it_is_the_answer_is_a_list_of_sentences(value: object) -> None:
    assert all(problem.message.endswith(".") for problem in check(value))
