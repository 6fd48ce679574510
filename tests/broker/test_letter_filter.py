from __future__ import annotations

import json
from typing import Any

import pytest

from teleporter_lab.broker.letter_filter import LetterFilter, chosen, letters_of, pattern_below, stream_of_letter
from teleporter_lab.errors import InvalidInput, InvalidKey
from tests.broker.letters import letter


@pytest.mark.parametrize(
    ("which", "matches"),
    [
        ({}, True),
        ({"place": "to_event"}, True),
        ({"place": "sink"}, False),
        ({"error": "valueerror: NO"}, True),
        ({"error": "timeout"}, False),
        ({"since": 1_700_000_005.0, "until": 1_700_000_005.0}, True),
        ({"since": 1_700_000_006.0}, False),
        ({"until": 1_700_000_004.0}, False),
        ({"place": "to_event", "error": "timeout"}, False),
    ],
)
def test_everything_that_is_asked_must_hold(which: dict[str, Any], matches: bool) -> None:
    assert LetterFilter(**which).matches(json.loads(letter(5)[1])) is matches
    assert LetterFilter(**which).everything is (not which)


@pytest.mark.parametrize("error", [None, "text", ["x"]])
def test_an_error_of_another_form_is_text(error: Any) -> None:
    found: dict[str, Any] = {"error": error, "at": "then"}
    assert LetterFilter(error=str(error)).matches(found)
    assert not LetterFilter(since=5.0).matches(found)


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("/stream/ns/t/s", "/deadletter/ns/t/s/1", True),
        ("/stream/ns/t/s", "/deadletter/ns/t/s2/1", False),
        ("/stream/my-ns/t.1/s", "/deadletter/my-ns/t.1/s/1", True),
        ("/stream/my-ns/t.1/s", "/deadletter/my-ns/tx1/s/1", False),
        ("/stream/ns/", "/deadletter/ns/t/s2/1", True),
        ("/stream/my-ns/", "/deadletter/my-ns/t/s2/1", True),
        ("/stream/ns/t/s.*", "/deadletter/ns/t/s2/1", True),
        ("/stream/ns/t/s[0-9]", "/deadletter/ns/t/s2/1", True),
        ("/stream/ns/t/s[0-9]", "/deadletter/ns/t/s22/1", False),
        ("/stream/ns/t/s[0-9]", "/deadletter/ns/t/s2", True),
        ("/stream", "/deadletter/ns/t/s2/1", True),
        ("/stream/", "/deadletter/ns/t/s2/1", True),
    ],
)
def test_a_pattern_over_streams_is_one_over_their_letters(pattern: str, key: str, matches: bool) -> None:
    assert pattern_below("deadletter", pattern).matches(key) is matches


def test_what_is_no_stream_is_said() -> None:
    with pytest.raises(InvalidInput, match="begin it with /stream/"):
        pattern_below("deadletter", "/task/")
    with pytest.raises(InvalidKey, match="is no stream"):
        letters_of("/task/ns/t")
    assert stream_of_letter(f"{letters_of('/stream/ns/t/s')}1") == "/stream/ns/t/s"
    for key in ("/deadletter/ns/t/s", "/position/ns/t/s/x"):
        with pytest.raises(InvalidKey, match="is no dead letter"):
            stream_of_letter(key)


def test_it_must_be_said_which_letters_are_meant() -> None:
    some = LetterFilter(place="x")
    assert chosen(["a"], LetterFilter(), False) == ["a"]
    assert chosen([], LetterFilter(), False) == []
    assert chosen(None, some, False) is some
    assert chosen(None, LetterFilter(), True).everything  # type: ignore[union-attr]
    for names, which, everything in ((None, LetterFilter(), False), (["a"], some, False), (None, some, True)):
        with pytest.raises(InvalidInput, match="Say which letters"):
            chosen(names, which, everything)
