"""Rules of a stream: what is done at a function that fails, what is done to the stream, and how both are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from teleporter_lab.config.rules import EVERY_ACTION, PART_ACTIONS, STREAM_ACTIONS, Rules
from teleporter_lab.engine.supervision import Action, Decision, Failure
from teleporter_lab.instance.stream_rules import StreamRules

if TYPE_CHECKING:
    from collections.abc import Callable

STOP = Decision(Action.STOP)


def stream(*rules: str) -> StreamRules:
    return StreamRules("/stream/a/b/c", Rules.parse(rules, EVERY_ACTION), chance=lambda: 1.0)


def failure(error: Exception, tries: int = 1) -> Failure:
    return Failure(error, "map(f)", "x", tries)


def never() -> bool:
    return False


@pytest.mark.parametrize("action", PART_ACTIONS)
def test_actions_of_a_part_are_carried_out_where_the_function_failed(action: str) -> None:
    assert stream(f"x => {action}(delay = 1s)").decide(failure(ValueError("x"))).action.value == action


@pytest.mark.parametrize("action", STREAM_ACTIONS)
def test_actions_of_the_stream_let_it_fail_and_are_done_to_it(action: str) -> None:
    rules, error = stream(f"x => {action}(delay = 1s)"), ValueError("x")
    rules.begin(never)
    assert rules.decide(failure(error)) == STOP
    assert rules.failed(error) == (None if action == "stop" else 1.0)
    assert rules.matched == {"ERROR": 1}, "one failure is one match"


def test_the_first_rule_that_matches_counts_whatever_its_kind() -> None:
    rules = stream("Key => restart", "Key => resume", "Value => retry", ".*:DEBUG => stop")
    rules.begin(never)
    assert rules.decide(failure(KeyError("x"))) == STOP
    assert rules.decide(failure(ValueError("x"))).action is Action.RETRY
    assert rules.decide(failure(OSError("x"))) == STOP
    assert rules.matched == {"ERROR": 2, "DEBUG": 1}
    assert stream().decide(failure(OSError("x"))) == STOP
    assert stream().failed(OSError("x")) is None


def test_a_record_is_tried_again_and_then_the_stream_is_restarted() -> None:
    rules, error = stream("x => retry(retries = 2, next = restart, delay = 3s)"), ValueError("x")
    rules.begin(never)
    found = [rules.decide(failure(error, tries)) for tries in (1, 2, 3)]
    assert found == [Decision(Action.RETRY, 3.0), Decision(Action.RETRY, 3.0), STOP]
    assert rules.failed(error) == 3.0
    assert rules.failed(ValueError("x, of nothing that has tries")) == 3.0


def test_the_stream_is_restarted_and_then_the_record_left_out() -> None:
    rules = stream("x => restart(retries = 2, next = resume)")
    for _ in range(2):
        rules.begin(never)
        error = ValueError("x")
        assert rules.decide(failure(error)) == STOP
        assert rules.failed(error) == 0.0
    rules.begin(never)
    assert rules.decide(failure(ValueError("x"))) == Decision(Action.RESUME)
    assert rules.failed(ValueError("x, of no record")) is None


def test_the_count_begins_anew_with_a_commit() -> None:
    rules, error = stream("x => restart(delay = 1s, backoff = exponential, retries = 3)"), ValueError("x")
    delays: list[float | None] = []
    committed: Callable[[], bool] = lambda: True  # noqa: E731
    for advanced in (never, never, committed, never, never, never):
        rules.begin(advanced)
        delays.append(rules.failed(error))
    assert delays == [1.0, 2.0, 1.0, 2.0, 4.0, None]


def test_what_was_said_about_one_error_is_not_done_about_another() -> None:
    rules = stream("Key => stop", "Value => restart(delay = 2s)")
    rules.begin(never)
    rules.decide(failure(KeyError("recovered from")))
    assert rules.failed(ValueError("x")) == 2.0
    rules.begin(never)
    error = ValueError("x")
    rules.decide(failure(error))
    rules.begin(never)
    assert rules.failed(KeyError("x")) is None
    assert rules.tries == 3


def test_a_pattern_that_takes_too_long_keeps_the_stream_down_and_is_noted() -> None:
    rules, error = stream("^(a|aa)+$ => restart"), ValueError("a" * 400 + "b")
    assert rules.decide(failure(error)) == STOP
    assert rules.failed(error) is None
    assert all("took longer" in note for note in error.__notes__)
