from __future__ import annotations

import json
from typing import Any

import pytest

from teleporter_lab.broker.letter import EXCERPT, LONGEST, checked, edited, moment, shown
from teleporter_lab.errors import InvalidInput
from tests.broker.letters import STREAM, letter


def test_what_an_instance_sends_is_kept_canonical() -> None:
    name, text = letter(1)
    kept = checked(STREAM, name, text)
    assert json.loads(kept) == json.loads(text)
    assert kept == checked(STREAM, name, kept)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a/b", "{}", "no id of a dead letter"),
        ("..", "{}", "no id of a dead letter"),
        ("x" * 81, "{}", "no id of a dead letter"),
        ("a", "no json", "not JSON"),
        ("a", "[]", "no object"),
        ("a", '{"id": "a", "stream": "/stream/ns/t/s0"}', "no object with its id and a record"),
        ("a", '{"id": "b", "stream": "/stream/ns/t/s0", "record": 1}', "no object with its id"),
        ("a", '{"id": "a", "stream": "/stream/ns/t/other", "record": 1}', "of another stream"),
        ("a", "[" * 5000, "nested"),
    ],
)
def test_what_is_no_letter_is_refused(name: str, text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        checked(STREAM, name, text)


def test_a_letter_that_no_frame_could_bring_back_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"has 8,\d\d\d,\d\d\d bytes; at most 8,388,608 can be kept"):
        checked(STREAM, *letter(1, "é" * (LONGEST // 2)))
    with pytest.raises(InvalidInput, match="at most"):
        edited(checked(STREAM, *letter(1)), "x" * LONGEST)


@pytest.mark.parametrize(
    ("record", "ready"),
    [({"n": 2}, True), ([1, {"a": {"$repr": "<Socket>"}}], False), ({"$repr": "x"}, False), ({"$bytes": "eA=="}, True)],
)
def test_what_a_person_has_written_can_be_redriven(record: Any, ready: bool) -> None:
    _, text = letter(1, {"$repr": "<Socket>"}, redrivable=False)
    changed = edited(text, record)
    assert (changed["record"], changed["edited"], changed["redrivable"]) == (record, True, ready)
    assert changed["position"] == {"offset": 1}


def test_a_listing_shows_the_beginning_of_a_record() -> None:
    name, text = letter(1, {"text": "x" * 1000})
    row = shown("/deadletter/ns/t/s0/1", text, whole=False)
    assert "record" not in row
    assert len(row["excerpt"]) == EXCERPT + 1
    assert (row["id"], row["size"], row["key"]) == (name, len(text), "/deadletter/ns/t/s0/1")
    assert shown("/k", text, whole=True)["record"] == {"text": "x" * 1000}


@pytest.mark.parametrize(("at", "seconds"), [(5, 5.0), (None, 0.0), ("then", 0.0)])
def test_a_letter_without_a_time_is_old(at: Any, seconds: float) -> None:
    assert moment(letter(1, at=at)[1]) == seconds
