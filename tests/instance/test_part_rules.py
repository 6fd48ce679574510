"""Rules of a source and of a sink: they decide about reading and writing, count what they match, and tell of it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.config.rules import EVERY_ACTION, PART_ACTIONS, Rules
from teleporter_lab.engine.supervision import Action, Decision, Failure
from teleporter_lab.errors import InvalidConfig
from teleporter_lab.instance.part_rules import PartRules
from teleporter_lab.instance.stream_rules import StreamRules
from tests.instance.seat import COPY

if TYPE_CHECKING:
    from teleporter_lab.client import Client
    from teleporter_lab.instance.instance import Instance
    from tests.instance.conftest import Desk


def part(*rules: str) -> PartRules:
    return PartRules("/source/a/b/c/d", Rules.parse(rules, PART_ACTIONS), chance=lambda: 1.0)


def failure(error: Exception, tries: int = 1) -> Failure:
    return Failure(error, "csv(rows)", None, tries)


def test_the_first_rule_that_matches_counts_and_without_one_it_stops() -> None:
    rules = part("Timeout:WARN => reload(delay = 2.seconds, retries = 2, next = resume)", "OSError => deadLetter")
    assert [rules.decide(failure(TimeoutError("slow"), tries)) for tries in (1, 2, 3)] == [
        Decision(Action.RELOAD, 2.0), Decision(Action.RELOAD, 2.0), Decision(Action.RESUME, 0.0),
    ]  # fmt: skip
    assert rules.decide(failure(OSError("disk full"))) == Decision(Action.DEAD_LETTER, 0.0)
    assert rules.decide(failure(KeyError("x"))) == Decision(Action.STOP)
    assert rules.matched == {"WARN": 3, "ERROR": 1}


def test_every_action_of_the_grammar_is_one_of_the_engine() -> None:
    for action in PART_ACTIONS:
        assert part(f"x => {action}").decide(failure(ValueError("x"))).action.value == action


def test_a_rule_that_matches_every_record_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "teleporter_lab.instance.rule_list")
    rules = part("bad:INFO => resume")
    for _ in range(1000):
        rules.decide(failure(ValueError("bad row")))
    assert len(caplog.records) == 10
    assert {record.levelname for record in caplog.records} == {"INFO"}
    assert caplog.messages[-1] == "/source/a/b/c/d: bad row (ValueError), 512 times by now: resume"
    assert rules.matched == {"INFO": 1000}


def test_a_pattern_that_takes_too_long_stops_and_is_never_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    rules = part("KeyError => resume", "(a|aa)+$ => resume", ".* => resume")
    slow = ValueError("a" * 400 + "b")
    assert rules.decide(failure(slow)) == Decision(Action.STOP)
    assert "took longer" in slow.__notes__[0]
    began = time.perf_counter()
    for _ in range(1000):
        assert rules.decide(failure(ValueError("quick"))) == Decision(Action.STOP)
        assert rules.decide(failure(KeyError("quick"))) == Decision(Action.RESUME)
    assert time.perf_counter() - began < 1.0
    told = [message for message in caplog.messages if "switched off" in message]
    assert len(told) == 1
    assert told[0].endswith("stops: The pattern '(a|aa)+$' took longer than 0.1 s; make it simpler.")


def test_what_no_rule_matches_is_asked_of_the_stream() -> None:
    stream = StreamRules("/stream/a/b/c", Rules.parse([".*:INFO => resume"], EVERY_ACTION))
    rules = PartRules("/sink/a/b/c/d", Rules.parse(["OSError => stop"], PART_ACTIONS), stream)
    assert rules.decide(failure(OSError("x"))) == Decision(Action.STOP)
    assert rules.decide(failure(KeyError("x"))) == Decision(Action.RESUME)
    assert stream.matched == {"ERROR": 1, "INFO": 1}


async def save(client: Client, key: str, **fields: Any) -> None:
    found = await client.get(key)
    await client.save(key, {**found["value"], **fields}, etag=found["etag"])


async def test_a_bad_record_is_read_over_where_the_source_says_so(desk: Desk, instance: Instance) -> None:
    lines = desk.input.read_text().splitlines()
    lines[500] = "not a number,name"
    desk.input.write_text("\n".join(lines) + "\n")
    await desk.deploy(COPY)
    state = await desk.status("FAILURE")
    assert "not a number" in state["error"]
    await save(desk.client, "/source/test/task/copy/rows", errorRules=["BadRecord:WARN => resume"])
    await desk.client.refresh("/source/test/task/copy/rows")
    await desk.status("COMPLETE")
    assert len(desk.output.read_text().splitlines()) == 999


async def test_mistakes_in_rules_are_told_with_the_key_they_stand_at(desk: Desk, instance: Instance) -> None:
    with pytest.raises(
        InvalidConfig, match=r"/source/test/task/copy/rows .*\s+errorRules\[0\]: .*one of reload, retry"
    ):
        await save(desk.client, "/source/test/task/copy/rows", errorRules=["x => restart"])
