"""What a rule matches, within which time, and how attempts are counted."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.config.rules import (
    EVERY_ACTION,
    MATCHED_CHARACTERS,
    PART_ACTIONS,
    STREAM_ACTIONS,
    Rule,
    Rules,
    parse_rule,
)
from teleporter_lab.errors import InvalidInput, InvalidPattern

if TYPE_CHECKING:
    from teleporter_lab.config.rules import Action


def test_each_place_has_its_actions() -> None:
    assert parse_rule("x => reload(retries = 1, next = resume)", PART_ACTIONS).next == "resume"
    with pytest.raises(InvalidInput, match="one of reload"):
        parse_rule("x => restart", PART_ACTIONS)
    with pytest.raises(InvalidInput, match="not 'restart'"):
        parse_rule("x => retry(retries = 1, next = restart)", PART_ACTIONS)
    assert set(EVERY_ACTION) == {*STREAM_ACTIONS, *PART_ACTIONS}


def test_the_first_match_counts_against_class_name_and_message() -> None:
    rules = Rules.parse(["^Value => stop", "deadlock:WARN => restart", ".* => start"], STREAM_ACTIONS)
    assert rules.match(ValueError("deadlock")) == rules.rules[0]
    assert rules.match(OSError("a deadlock was found")) == rules.rules[1]
    assert rules.match(OSError("else")) == rules.rules[2]
    assert Rules().match(OSError("else")) is None


def attempts(text: str, *tries: int) -> list[tuple[Action, float]]:
    rule = parse_rule(text, EVERY_ACTION)
    return [rule.attempt(n) for n in tries]


def test_attempts_are_counted_and_then_comes_next() -> None:
    assert attempts("x => restart(delay = 2s, retries = 2, next = stop)", 1, 2, 3) == [
        ("restart", 2.0), ("restart", 2.0), ("stop", 0.0),
    ]  # fmt: skip
    assert attempts("x => retry(retries = 0, next = deadLetter)", 1) == [("deadLetter", 0.0)]
    assert attempts("x => retry(delay = 1s, retries = -1)", 1, 10_000) == [("retry", 1.0)] * 2


def test_what_comes_next_waits_where_it_tries_again() -> None:
    text = "x => retry(delay = 1s, retries = 1, next = reload, backoff = exponential, max = 3s)"
    assert attempts(text, 1, 2, 3, 4) == [("retry", 1.0), ("reload", 2.0), ("reload", 3.0), ("reload", 3.0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x => restart(delay = 1s, retries = 2)", [("restart", 1.0), ("restart", 1.0), ("stop", 0.0)]),
        ("x => start", [("start", 0.0)] * 3),
        ("x => stop", [("stop", 0.0)] * 3),
        ("x => restart(retries = 1, next = resume)", [("restart", 0.0), ("stop", 0.0), ("stop", 0.0)]),
        ("x => resume", [("stop", 0.0)] * 3),
        ("x => retry(delay = 2s, retries = 5, next = restart)", [("restart", 2.0)] * 3),
        ("x => deadLetter(next = start)", [("start", 0.0)] * 3),
    ],
)
def test_what_a_rule_says_of_a_whole_stream(text: str, said: list[Any]) -> None:
    rule = parse_rule(text, EVERY_ACTION)
    assert [rule.of_stream(tries) for tries in (1, 2, 3)] == said


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_backoff_doubles_up_to_its_maximum_and_jitter_halves_at_most(tries: int, random: float) -> None:
    text = "x => restart(delay = 1s, backoff = exponential, max = 5.minutes, jitter)"
    action, delay = parse_rule(text, STREAM_ACTIONS).attempt(tries, random)
    full = min(300.0, 2.0 ** min(tries - 1, 60))
    assert action == "restart"
    assert full / 2 <= delay <= full
    assert math.isfinite(delay)


@pytest.mark.parametrize("text", ["x => restart", "x => restart(delay = 0.seconds, backoff = exponential, jitter)"])
def test_what_fails_for_ever_without_a_delay_is_tried_more_and_more_seldom(text: str) -> None:
    rule = parse_rule(text, STREAM_ACTIONS)
    assert [rule.attempt(tries)[1] for tries in range(1, 11)] == [0.0] * 10
    assert [rule.attempt(tries)[1] for tries in (11, 12, 13, 17, 18, 1000)] == [0.01, 0.02, 0.04, 0.64, 1.0, 1.0]
    assert parse_rule("x => restart(delay = 1.millis)", STREAM_ACTIONS).attempt(1000)[1] == 0.001


CATASTROPHE = r"(a|aa)+$"


def test_a_pattern_that_would_run_for_ever_is_cut_off() -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidPattern, match="took longer"):
        Rule(CATASTROPHE, "stop").matches(ValueError("a" * 60 + "b"))
    assert time.perf_counter() - began < 2.0


def test_of_a_long_message_only_the_beginning_is_looked_at() -> None:
    message = "x" * (MATCHED_CHARACTERS - 3) + "end" + "never seen" + "y" * 50_000_000
    began = time.perf_counter()
    assert Rule("xend$", "stop").matches(ValueError(message))
    assert not Rule("never seen|y", "stop").matches(ValueError(message))
    assert time.perf_counter() - began < 1.0


class Mute(Exception):
    def __str__(self) -> str:
        raise KeyError("no words")


def test_an_error_without_words_still_has_a_class() -> None:
    assert Rule("^Mute$", "stop").matches(Mute())
    assert Rule(r"no message: KeyError", "stop").matches(Mute())
