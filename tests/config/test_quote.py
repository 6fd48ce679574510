from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.config.quote import describe, kind, quote
from teleporter_lab.config.secret import MASK, Secret


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "true"),
        (False, "false"),
        (5, "the number 5"),
        (1.5, "the number 1.5"),
        (1 << 400, "a number of very many digits"),
        ("", "an empty text"),
        ("abc", "the text 'abc'"),
        ("a\nb\x00", "the text 'a·b·'"),
        ("x" * 61, f"the text '{'x' * 60}…'"),
        ("${env:PW}", f"the text '{MASK}'"),
        ([1, 2], "a list of 2"),
        ((1,), "a list of 1"),
        ({"a": 1}, "an object"),
        ({1}, "a value of Python's type set"),
        (Secret("hunter2"), f"the secret {MASK}"),
    ],
)
def test_what_was_found(value: object, words: str) -> None:
    assert describe(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "true or false"),
        (5, "a number"),
        ("hunter2", "a text"),
        (["x"], "a list of 1"),
        ({}, "an object"),
    ],
)
def test_what_sort_was_found(value: object, words: str) -> None:
    assert kind(value) == words


@given(st.text(max_size=300))
@settings(deadline=None)
def test_a_quote_is_short_and_on_one_line(text: str) -> None:
    assert len(quote(text)) <= 63
    assert quote(text).isprintable()


def test_a_secret_is_not_quoted() -> None:
    assert quote(Secret("hunter2")) == MASK


@pytest.mark.parametrize("length", range(40, 130))
def test_clipping_shows_no_part_of_a_reference_to_a_secret(length: int) -> None:
    assert "PASSWORD" not in quote("x" * length + "${env:PASSWORD}")
    assert "PASSWORD" not in quote("x" * 30 + f"${{file:/{'d/' * length}PASSWORD}}")


def test_a_number_of_any_length_can_be_described() -> None:
    assert describe(10**4500) == "a number of very many digits"
