"""What a stream logic asks for: names that are there, once each, and a sentence for everything else."""

from __future__ import annotations

from typing import Any

import pytest

from teleporter_lab.config.key import Key
from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Action, Decision, Failure
from teleporter_lab.errors import ConnectorError, LogicError
from teleporter_lab.instance.context import StreamContext
from teleporter_lab.instance.part_rules import PartRules

KEY = Key.parse("/stream/ns/task/s")


def context(sources: tuple[str, ...] = (), sinks: tuple[str, ...] = ()) -> StreamContext:
    made: dict[str, Any] = {name: (lambda columnar, name=name: iterate([(name, columnar)])) for name in sources}
    return StreamContext(
        KEY, {"size": 1}, made, dict.fromkeys(sinks, to_list), lambda rules: PartRules(str(KEY), rules)
    )


def test_it_gives_what_is_there() -> None:
    s = context(("rows", "more"), ("lines",))
    assert s.key is KEY
    assert s.arguments == {"size": 1}
    assert repr(s.source("more")) == "iterate"
    assert s.sink("lines").name == s.sink("lines").name
    assert s.used == ["more"]


@pytest.mark.parametrize(("there", "listed"), [((), "none"), (("rows",), "rows"), (("b", "a", "c-2.x"), "a, b, c-2.x")])
def test_an_unknown_name_lists_what_is_there_and_where_to_save_one(there: tuple[str, ...], listed: str) -> None:
    with pytest.raises(LogicError) as caught:
        context(sources=there).source("row")
    expected = f"{KEY} has no source 'row'; save one under /source/ns/task/s/row (there are: {listed})."
    assert caught.value.message == expected
    with pytest.raises(LogicError) as caught:
        context(sinks=there, sources=("row",)).sink("row")
    assert caught.value.message == expected.replace("source", "sink")


def test_a_source_is_given_once() -> None:
    s = context(("rows",))
    s.source("rows")
    with pytest.raises(LogicError, match="uses the source 'rows' twice; use also_to or broadcast"):
        s.source("rows")
    assert s.used == ["rows"]


def test_columns_are_asked_for_and_a_source_that_has_none_does_not_count_as_used() -> None:
    asked: list[bool] = []

    def make(columnar: bool) -> Any:
        asked.append(columnar)
        if columnar:
            raise ConnectorError("It has none.")
        return iterate([1])

    s = StreamContext(KEY, {}, {"rows": make}, {}, lambda rules: PartRules(str(KEY), rules))
    with pytest.raises(ConnectorError, match="It has none"):
        s.source("rows", columnar=True)
    s.source("rows")
    assert (asked, s.used) == ([True, False], ["rows"])


def test_an_unknown_source_does_not_count_as_used() -> None:
    s = context(("rows",))
    with pytest.raises(LogicError):
        s.source("row")
    assert s.used == []


def test_it_shows_its_names() -> None:
    assert repr(context(("b", "a"), ("z",))) == "StreamContext(/stream/ns/task/s, sources=['a', 'b'], sinks=['z'])"


def test_rules_of_a_flow_are_a_supervisor() -> None:
    rules = context().rules("KeyError => resume", "Value:WARN => retry(retries = 1, next = deadLetter)")
    assert rules.decide(Failure(KeyError("x"), "map(f)", None, 1)) == Decision(Action.RESUME)
    assert rules.decide(Failure(ValueError("x"), "map(f)", None, 2)) == Decision(Action.DEAD_LETTER)
    assert rules.decide(Failure(OSError("x"), "map(f)", None, 1)) == Decision(Action.STOP)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("KeyError => restart", "character 13: there must be one of reload"),
        ("KeyError", "character 9: there must be `=>`"),
    ],
)
def test_a_wrong_rule_of_a_flow_says_what_would_be_right(rule: str, said: str) -> None:
    with pytest.raises(LogicError, match=f"s.rules of {KEY}: The rule .* is wrong at {said}"):
        context().rules(rule)
