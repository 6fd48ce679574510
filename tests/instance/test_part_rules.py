"""Rules of a source and of a sink: they decide about reading and writing, count what they match, and tell of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from teleporter_lab.config.rules import PART_ACTIONS, Rules
from teleporter_lab.engine.supervision import Action, Decision, Failure
from teleporter_lab.instance.part_rules import PartRules
from tests.instance.seat import COPY

if TYPE_CHECKING:
    import pytest

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
    caplog.set_level(logging.DEBUG, "teleporter_lab.instance.part_rules")
    rules = part("bad:INFO => resume")
    for _ in range(1000):
        rules.decide(failure(ValueError("bad row")))
    assert len(caplog.records) == 10
    assert {record.levelname for record in caplog.records} == {"INFO"}
    assert caplog.messages[-1] == "/source/a/b/c/d: bad row (ValueError), 512 times by now: resume"
    assert rules.matched == {"INFO": 1000}


def test_a_pattern_that_takes_too_long_stops_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    rules = part("(a|aa)+$ => resume")
    assert rules.decide(failure(ValueError("a" * 60 + "b"))) == Decision(Action.STOP)
    assert "no rule was asked" in caplog.text


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
    await save(desk.client, "/source/test/task/copy/rows", errorRules=["x => restart"])
    await desk.deploy(COPY)
    state = await desk.status("FAILURE")
    assert "/source/test/task/copy/rows: errorRules" in state["error"]
