from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.config.tail_regex import MAX_LENGTH, TailRegex
from teleporter_lab.errors import InvalidPattern

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "keys.json").read_text(encoding="utf-8")
)["tail"]

WORD = "ab1_/"
KEYS = st.text("ab1_/-.", max_size=12)
PIECES = st.sampled_from(["a", "b1", "/", ".", ".*", "[0-9]+", "(?:a|b1)", r"\-", "-", r"\."])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['pattern']} {case['key']}")
def test_a_pattern_chooses_keys(case: dict[str, Any]) -> None:
    assert TailRegex.parse(case["pattern"]).matches(case["key"]) is case["matches"]


def _ends(piece: str, key: str, start: int) -> set[int]:
    """Where a match of one piece of a pattern that begins at `start` may end: the model that knows no regex library."""
    rest = key[start:]
    match piece:
        case ".":
            return {start + 1} if rest else set()
        case ".*":
            return set(range(start, len(key) + 1))
        case "[0-9]+":
            digits = len(rest) - len(rest.lstrip("0123456789"))
            return set(range(start + 1, start + digits + 1))
        case "(?:a|b1)":
            return {start + len(word) for word in ("a", "b1") if rest.startswith(word)}
        case _:
            literal = piece.removeprefix("\\")
            return {start + len(literal)} if rest.startswith(literal) else set()


def _model(pieces: list[str], key: str) -> bool:
    starts = {0}
    for piece in pieces:
        starts = {end for start in starts for end in _ends(piece, key, start)}
    is_only_prefix = all(set(piece) <= set(WORD) for piece in pieces) or pieces[-1] == "/"
    return bool(starts) if is_only_prefix else len(key) in starts


@given(st.lists(PIECES, max_size=6), KEYS)
@settings(deadline=None, max_examples=400)
def test_it_agrees_with_a_model(pieces: list[str], key: str) -> None:
    assert TailRegex.parse("".join(pieces)).matches(key) is _model(pieces, key)


@given(st.text("ab1_/-.*[(\\$ é", max_size=12), st.text("ab1_/-.*[(\\$ é", max_size=12))
@settings(deadline=None)
def test_beginning_with_means_just_that(start: str, rest: str) -> None:
    assert TailRegex.beginning(start).matches(start + rest)
    assert TailRegex.beginning(start).matches(rest) is rest.startswith(start)
    assert TailRegex.parse(str(TailRegex.beginning(start))) == TailRegex.beginning(start)


def _attempt(text: str) -> TailRegex | InvalidPattern:
    try:
        return TailRegex.parse(text)
    except InvalidPattern as error:
        return error


@given(st.text(max_size=40))
@settings(deadline=None)
def test_any_text_is_a_pattern_or_an_invalid_pattern(text: str) -> None:
    found = _attempt(text)
    if isinstance(found, InvalidPattern):
        assert len(found.message) < 400
    else:
        assert str(found) in (text, f"{text}.*")
        assert re.fullmatch(r"[A-Za-z0-9_/]*", found.prefix)
        found.matches("/stream/ns/task/orders")


def test_the_cut_is_at_the_first_special_character() -> None:
    cut = TailRegex.parse("/stream/my-ns/.*")
    assert (cut.prefix, cut.pattern) == ("/stream/my", "-ns/.*")
    assert str(cut) == "/stream/my-ns/.*"
    assert TailRegex.parse("/stream/ns") == TailRegex("/stream/ns", "")
    assert TailRegex.parse("/größe").prefix == "/gr"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/stream/ns/*", "To match anything, write '.*'"),
        ("/stream/ns/(a", "is no regular expression"),
        ("/stream/ns/[z-a]", "is no regular expression"),
        ("(" * 480 + ")" * 480, "nested too deep"),
        ("((a{1000}){1000}){1000}", "too many"),
        ("a{100000000}", "too many"),
        ("(?x)-a{ 1000 0000 }", "too many"),
        ("-a{1,99999999999999999999}", "too many"),
        ("." * (MAX_LENGTH + 1), f"at most {MAX_LENGTH} characters"),
        ("x" * 10_000_000, f"at most {MAX_LENGTH} characters"),
    ],
)
def test_what_is_no_pattern_is_refused_before_it_costs_anything(text: str, says: str) -> None:
    with pytest.raises(InvalidPattern) as caught:
        TailRegex.parse(text)
    assert says in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("wrong", [None, 5, True, b".*", [".*"], {}, re.compile("a")])
def test_what_is_no_text_is_no_pattern(wrong: object) -> None:
    with pytest.raises(InvalidPattern, match="A pattern is text"):
        TailRegex.parse(wrong)


def test_ordinary_counts_are_allowed() -> None:
    number = "[0-9a-f]"
    pattern = TailRegex.parse(f"/stream/a/b/{number}{{8}}-{number}{{4}}-{number}{{4}}")
    assert pattern.matches("/stream/a/b/00ff00ff-dead-beef")


@pytest.mark.parametrize("pattern", ["(?R)", "(?:(?:a|a/|/)*)*[^a/]", r"((a|/|a/)+)+\2\2[x-z]"])
def test_a_match_that_takes_too_long_is_given_up(pattern: str) -> None:
    with pytest.raises(InvalidPattern, match="took too long"):
        TailRegex.parse(pattern).matches("a/" * 250)
