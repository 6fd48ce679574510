"""Letters: their form, ids that sort by time, and which may be sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.supervision import Failure
from teleporter_lab.errors import BadRecord, InvalidInput, NotConfirmed
from teleporter_lab.instance.letter import SHOWN, Letter, LetterIds, text_of

STREAM = "/stream/a/b/c"


def failed(record: Any, error: Exception, position: Any = None) -> Failure:
    token = AckWindow(10).open(1, position, 0.0)
    return Failure(error, "map(f)", record, 3, (token,))


def test_ids_sort_by_time_also_when_the_clock_was_set_back() -> None:
    times = iter([5, 5, 3, 900, 2**60])
    ids = LetterIds(lambda: next(times))
    made = [ids.next() for _ in range(5)]
    assert made == sorted(made)
    assert [int(name.partition("-")[0], 16) for name in made] == [5, 6, 7, 900, 2**60]
    assert len({name.partition("-")[2] for name in made}) == 5


def test_a_letter_says_all_there_is_to_know() -> None:
    error = ValueError("no number")
    error.add_note("In map(f)")
    letter = json.loads(text_of(failed({"a": b"x"}, error, {"offset": 7}), "id1", STREAM, ""))
    assert 1.6e9 < letter.pop("at") < 1e10
    assert letter == {
        "id": "id1", "stream": STREAM, "place": "map(f)", "part": "", "position": {"offset": 7},
        "error": {"type": "ValueError", "message": "no number\nIn map(f)"}, "tries": 3,
        "record": {"a": {"$bytes": "eA=="}}, "redrivable": True, "edited": False,
    }  # fmt: skip
    assert Letter.parse("id1", json.dumps(letter)) == Letter("id1", "map(f)", "", {"a": b"x"})


class Mute(Exception):
    def __str__(self) -> str:
        raise KeyError


@pytest.mark.parametrize(
    "error", [ValueError("x" * 10_000), ValueError("\ud800"), Mute()], ids=["long", "half", "mute"]
)
def test_whatever_an_error_says_makes_a_letter(error: Exception) -> None:
    message = json.loads(text_of(failed(1, error), "id1", STREAM, ""))["error"]["message"]
    assert len(message.encode()) <= SHOWN + 3


def test_what_a_source_could_not_read_is_edited_before_it_is_sent_again() -> None:
    line = b"1;2"
    letter = json.loads(text_of(failed(line, BadRecord("x", record=line)), "id1", STREAM, "/source/a/b/c/rows"))
    assert not letter["redrivable"]
    with pytest.raises(InvalidInput, match="no record of the stream: edit it into one"):
        Letter.parse("id1", json.dumps(letter))
    edited = letter | {"record": {"a": 1}, "edited": True}
    assert Letter.parse("id1", json.dumps(edited)).record == {"a": 1}


def test_a_record_that_was_read_and_never_confirmed_is_one() -> None:
    letter = text_of(failed({"a": 1}, NotConfirmed("x")), "id1", STREAM, "/source/a/b/c/rows")
    assert Letter.parse("id1", letter).record == {"a": 1}
    refused = text_of(failed({"a": 1}, BadRecord("x", index=0)), "id1", STREAM, "/sink/a/b/c/lines")
    assert Letter.parse("id1", refused).record == {"a": 1}


def test_what_cannot_be_kept_cannot_be_sent_again() -> None:
    text = text_of(failed(object(), ValueError("x")), "id1", STREAM, "")
    with pytest.raises(InvalidInput, match="not the record"):
        Letter.parse("id1", text)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"place": "x", "part": ""}', "[" * 100_000])
def test_what_is_no_letter_says_so(text: str) -> None:
    with pytest.raises(InvalidInput, match="no dead letter"):
        Letter.parse("id1", text)
