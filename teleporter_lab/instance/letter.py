"""A dead letter in the form in which it is kept: one JSON object for each record that was put aside.

    {id, stream, place, part, position, error: {type, message}, tries, at, record, redrivable, edited}

Owns that form and the ids, which sort by time. `place` is the name of the operator, source or sink that failed, `part`
the config key of the source or sink (empty for a function). Refuses to know where letters go.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from teleporter_lab.engine.dead_letters import DeadLetter
from teleporter_lab.errors import BadRecord, InvalidInput
from teleporter_lab.instance.records import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.supervision import Failure

SHOWN: Final = 4000
"""Characters of an error that a letter keeps."""


class LetterIds:
    """Ids that sort by time and are nobody else's: 16 hex digits of nanoseconds since 1970, `-`, 8 at random."""

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._last = 0

    def next(self) -> str:
        """A fresh one, behind all before, also when the clock was set back."""
        self._last = max(self._last + 1, self._now())
        return f"{self._last:016x}-{secrets.token_hex(4)}"


def fields(letter: DeadLetter, name: str, stream: str, part: str) -> dict[str, Any]:
    """A letter with the record as it is, for a sink that takes letters; `name` is its id.

    What a source could not read is no record of the stream until somebody has edited it, so it is not redrivable.
    """
    error = letter.error
    return {
        "id": name,
        "stream": stream,
        "place": letter.stage,
        "part": part,
        "position": letter.position,
        "error": {"type": type(error).__name__, "message": _cut(error)},
        "tries": letter.tries,
        "at": letter.at,
        "record": letter.element,
        "redrivable": not (isinstance(error, BadRecord) and error.record is letter.element),
        "edited": False,
    }


def text_of(failure: Failure, name: str, stream: str, part: str) -> str:
    """The JSON of the letter for what fails now; `name` is its id. Records that do not come back are not redrivable."""
    letter = fields(DeadLetter.of(failure), name, stream, part)
    record, whole = encode(letter["record"])
    position, _ = encode(letter["position"])
    kept = {"record": record, "position": position, "redrivable": letter["redrivable"] and whole}
    return json.dumps({**letter, **kept}, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Letter:
    """A kept letter, to be sent again: its id, where it failed, and its record."""

    id: str
    place: str
    part: str
    record: Any

    @classmethod
    def parse(cls, name: str, text: str) -> Letter:
        """Raises InvalidInput, with what a person can do, for one whose record cannot be sent again."""
        try:
            kept = cast("dict[str, Any]", json.loads(text))
            place, part, record = str(kept["place"]), str(kept["part"]), kept["record"]
            ready = kept.get("redrivable", True) is True or kept.get("edited") is True
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidInput(f"This is no dead letter: {error!r}.") from error
        decoded = decode(record)
        if not ready:
            raise InvalidInput(
                "The source could not read this, so it is no record of the stream: edit it into one first."
                if part.startswith("/source/")
                else "The record could not be kept as it was: edit it first."
            )
        return cls(name, place, part, decoded)


def _cut(error: Exception) -> str:
    try:
        text = "\n".join([str(error), *getattr(error, "__notes__", ())])
    except Exception as broken:  # noqa: BLE001 - an error that cannot say what it is still makes a letter
        text = f"(no message: {type(broken).__name__})"
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")
