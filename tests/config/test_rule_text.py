"""The grammar of an error rule, and what each mistake says: what was expected, and where."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from teleporter_lab.config.rule_text import LONGEST
from teleporter_lab.config.rules import EVERY_ACTION, PART_ACTIONS, STREAM_ACTIONS, Rule, parse_rule
from teleporter_lab.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Timeout => restart", Rule("Timeout", "restart")),
        (".*:WARN => restart()", Rule(".*", "restart", "WARN")),
        (" x y :DEBUG=>stop ( ) ", Rule("x y", "stop", "DEBUG")),
        (
            "Connect.*:INFO => restart(delay = 1.minutes, retries = 3, next = stop)",
            Rule("Connect.*", "restart", "INFO", delay=60.0, retries=3, next="stop"),
        ),
        ("a:b => start(delay=500.millis)", Rule("a:b", "start", delay=0.5)),
        ("a:warn => start(delay=1 hour)", Rule("a:warn", "start", delay=3600.0)),
        (r"x=\>y => stop", Rule(r"x=\>y", "stop")),
        (
            "E => restart(delay = 1s, backoff = exponential, max = 5.minutes, jitter = true)",
            Rule("E", "restart", delay=1.0, backoff="exponential", max=300.0, jitter=True),
        ),
        ("E => restart(jitter, backoff=fixed)", Rule("E", "restart", jitter=True)),
        ("E => restart(jitter = false)", Rule("E", "restart")),
        ("(a|b)\n:ERROR\n=>\nrestart(\n  retries = -1,\n  max = Inf\n)", Rule("(a|b)", "restart", retries=-1)),
    ],
)
def test_a_rule_is_read(text: str, rule: Rule) -> None:
    assert parse_rule(text, STREAM_ACTIONS) == rule


@pytest.mark.parametrize("action", EVERY_ACTION)
def test_every_action_is_read_and_may_come_next(action: str) -> None:
    rule = parse_rule(f"x => {action}(retries = 2, next = {action})", EVERY_ACTION)
    assert (rule.action, rule.next) == (action, action)


MISTAKES = [
    ("", 1, "`=>` and an action"),
    ("Timeout", 8, "`=>` and an action"),
    (" => stop", 1, "`.*` is for every error"),
    (":WARN => stop", 1, "`.*` is for every error"),
    ("( => stop", 1, "a regular expression"),
    ("  ab[ => stop", 5, "a regular expression"),
    ("x => 12", 6, "an action"),
    ("x =>", 5, "an action"),
    ("x=>y => stop", 4, "one of start, stop, restart, not 'y'"),
    ("x => retry", 6, "one of start, stop, restart, not 'retry'"),
    ("x => stop now", 11, "`(` with options, or nothing more"),
    ("x => restart(retries = 1) # slow", 27, "nothing more"),
    ("x => restart(", 14, "`name = value`"),
    ("x => restart(delay 3)", 20, "`=` and a value for delay"),
    ("x => restart(delay = 3", 23, "`,` and another option, or `)`"),
    ("x => restart(delay = 3 (s))", 24, "`,` and another option, or `)`"),
    ("x => restart(delay = 1s,)", 25, "`name = value`"),
    ("x => restart(delay = 1s, delay = 2s)", 26, "delay stands here twice"),
    ("x => restart(dela = 3)", 14, "one of delay, retries"),
    ("x => restart(delay = soon)", 22, "a duration"),
    ("x => restart(max = -1s)", 20, "a duration"),
    ("x => restart(retries = many)", 24, "a whole number of retries"),
    ("x => restart(retries = -2)", 24, "a whole number of retries"),
    ("x => restart(retries = 1, next = jump)", 34, "one of start, stop, restart, not 'jump'"),
    ("x => restart(backoff = slow)", 24, "one of fixed, exponential, not 'slow'"),
    ("x => restart(jitter = 0.5)", 23, "one of true, false, not '0.5'"),
    ("x" * 3000, LONGEST + 1, "an end: a rule has at most 2,000 characters"),
]


@pytest.mark.parametrize(("text", "at", "expected"), MISTAKES)
def test_a_mistake_says_what_was_expected_and_where(text: str, at: int, expected: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_rule(text, STREAM_ACTIONS)
    said = str(caught.value)
    assert f"at character {at}:" in said
    assert expected in said
    assert len(said) < 1000


NAMES = st.sampled_from([*EVERY_ACTION, "delay", "retries", "next", "backoff", "max", "jitter", "true", "exponential"])
SIGNS = st.sampled_from(
    ["=>", "=", "(", ")", ",", ":WARN", ":", " ", "\n", "-1", "3", "1.minutes", "Inf", "[", "x{9999999}"]
)
BROKEN = st.lists(st.one_of(NAMES, SIGNS, st.text(max_size=3)), max_size=14).map("".join)
GOOD = "Time.*(out)?:WARN => restart(delay = 1.minutes, retries = 3, next = stop, backoff = exponential, jitter)"
CHANGED = st.tuples(st.integers(0, len(GOOD)), st.integers(0, 8), st.text(string.printable, max_size=4)).map(
    lambda change: GOOD[: change[0]] + change[2] + GOOD[change[0] + change[1] :]
)


@given(st.one_of(BROKEN, CHANGED, st.text(max_size=60)), st.sampled_from([STREAM_ACTIONS, PART_ACTIONS, EVERY_ACTION]))
@example("\x00 => stop", STREAM_ACTIONS)
@example("(?P<x => stop", STREAM_ACTIONS)
def test_any_text_is_a_rule_or_says_where_it_is_none(text: str, allowed: tuple[str, ...]) -> None:
    rule, said = None, ""
    try:
        rule = parse_rule(text, allowed)  # type: ignore[arg-type]
    except InvalidInput as error:
        said = str(error)
    if rule is not None:
        assert {rule.action, rule.next} <= {*allowed, "stop"}
        return
    found = re.search(r"is wrong at character (\d+): there must be .+\.$", said, re.DOTALL)
    assert found is not None, said
    assert 1 <= int(found[1]) <= len(text) + 1
