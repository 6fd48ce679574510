"""The grammar of error rules, what each mistake says, and how attempts are counted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.config.rules import PART_ACTIONS, STREAM_ACTIONS, Rule, Rules, parse_rule
from teleporter_lab.errors import InvalidInput, InvalidPattern


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Timeout => restart", Rule("Timeout", "restart")),
        (".*:WARN => restart()", Rule(".*", "restart", "WARN")),
        (
            "Connect.*:INFO => restart(delay = 1.minutes, retries = 3, next = stop)",
            Rule("Connect.*", "restart", "INFO", delay=60.0, retries=3, next="stop"),
        ),
        ("a:b => start(delay=500.millis)", Rule("a:b", "start", delay=0.5)),
        ("x=>y => stop", None),
        (
            "E => restart(delay = 1s, backoff = exponential, max = 5.minutes, jitter = true)",
            Rule("E", "restart", delay=1.0, backoff="exponential", max=300.0, jitter=True),
        ),
    ],
)
def test_a_rule_is_read(text: str, rule: Rule | None) -> None:
    if rule is None:
        with pytest.raises(InvalidInput, match="at character"):
            parse_rule(text, STREAM_ACTIONS)
    else:
        assert parse_rule(text, STREAM_ACTIONS) == rule


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("Timeout", 8, "`=>` and an action"),
        ("( => stop", 1, "a regular expression"),
        ("x => 12", 6, "an action"),
        ("x => retry", 6, "one of start, stop, restart, not 'retry'"),
        ("x => restart(delay 3)", 14, "`name = value`"),
        ("x => restart(dela = 3)", 14, "one of delay, retries"),
        ("x => restart(delay = soon)", 22, "a duration"),
        ("x => restart(retries = many)", 24, "a whole number of retries"),
        ("x => restart(retries = 1, next = jump)", 34, "one of start, stop, restart, not 'jump'"),
    ],
)
def test_a_mistake_says_what_was_expected_and_where(text: str, at: int, expected: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_rule(text, STREAM_ACTIONS)
    assert f"at character {at}:" in str(caught.value)
    assert expected in str(caught.value)


def test_the_rules_of_a_part_have_other_actions() -> None:
    assert parse_rule("x => reload(retries = 1, next = resume)", PART_ACTIONS).next == "resume"
    with pytest.raises(InvalidInput, match="one of reload"):
        parse_rule("x => restart", PART_ACTIONS)


def test_the_first_match_counts_against_class_name_and_message() -> None:
    rules = Rules.parse(["^Value => stop", "deadlock:WARN => restart", ".* => start"], STREAM_ACTIONS)
    assert rules.match(ValueError("deadlock")) == rules.rules[0]
    assert rules.match(OSError("a deadlock was found")) == rules.rules[1]
    assert rules.match(OSError("else")) == rules.rules[2]
    assert Rules().match(OSError("else")) is None


def test_attempts_are_counted_and_then_comes_next() -> None:
    rule = parse_rule("x => restart(delay = 2s, retries = 2, next = stop)", STREAM_ACTIONS)
    assert [rule.attempt(n) for n in (1, 2, 3)] == [("restart", 2.0), ("restart", 2.0), ("stop", 0.0)]


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_backoff_doubles_up_to_its_maximum_and_jitter_halves_at_most(tries: int, random: float) -> None:
    text = "x => restart(delay = 1s, backoff = exponential, max = 5.minutes, jitter = true)"
    action, delay = parse_rule(text, STREAM_ACTIONS).attempt(tries, random)
    full = min(300.0, 2.0 ** min(tries - 1, 60))
    assert action == "restart"
    assert full / 2 <= delay <= full
    assert math.isfinite(delay)


def test_a_pattern_that_would_run_for_ever_is_cut_off() -> None:
    with pytest.raises(InvalidPattern, match="took longer"):
        Rule(r"(a|aa)+$", "stop").matches(ValueError("a" * 60 + "b"))


@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_says_why_not(text: str) -> None:
    try:
        rule = parse_rule(text, STREAM_ACTIONS)
    except InvalidInput as error:
        said = str(error)
    else:
        said = f"there must be {rule.action}"
    assert "there must be" in said
