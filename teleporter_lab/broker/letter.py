"""One dead letter as it is kept: what it must have, how it is shown, how its record is edited.

Owns the JSON of a letter: `{id, stream, place, part, position, error: {type, message}, tries, at, record, redrivable,
edited}`. Refuses to know where it is kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.broker.values import canonical, etag, parse
from teleporter_lab.errors import InvalidInput

if TYPE_CHECKING:
    from teleporter_lab.broker.values import JSON

LONGEST = 8 * 1024 * 1024
"""Bytes of one letter: with some room it fits into one frame, in both directions."""

EXCERPT = 200
"""Characters of a record that a listing shows."""

REPR = "$repr"
"""The name under which a record has the text of a value that JSON cannot hold, and which nobody can make again."""

_ID = re.compile(r"[A-Za-z0-9_.-]{1,80}")


def checked(stream: str, name: str, text: str) -> str:
    """The canonical text of a letter that an instance sends. Raises InvalidInput for what is none, or too long."""
    if not _ID.fullmatch(name) or name in (".", ".."):
        raise InvalidInput(f"{name[:80]!r} is no id of a dead letter: use letters, digits, `_`, `.` and `-`.")
    value = parse(text)
    letter = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if "record" not in letter or letter.get("id") != name:
        raise InvalidInput(f"The dead letter {name} is no object with its id and a record.")
    if letter.get("stream") != stream:
        raise InvalidInput(f"The dead letter {name} says that it is of another stream than {stream}.")
    whole = canonical(letter)
    _check_length(name, whole)
    return whole


def edited(text: str, record: JSON) -> dict[str, Any]:
    """The letter with another record: what a person has written can be redriven."""
    letter: dict[str, Any] = parse(text)
    changed = letter | {"record": record, "edited": True, "redrivable": not _has_repr(record)}
    _check_length(str(letter.get("id")), canonical(changed))
    return changed


def shown(key: str, text: str, *, whole: bool) -> dict[str, Any]:
    """A letter with its key, tag and size in bytes; the record in `whole`, else the beginning of its text."""
    letter: dict[str, Any] = parse(text)
    record = letter.pop("record", None)
    row = letter | {"key": key, "etag": etag(text), "size": len(text.encode())}
    if whole:
        return row | {"record": record}
    excerpt = canonical(record)
    return row | {"excerpt": excerpt if len(excerpt) <= EXCERPT else f"{excerpt[:EXCERPT]}…"}


def moment(text: str) -> float:
    """When a letter was put aside, in seconds since 1970; 0 where it does not say."""
    at = parse(text).get("at")
    return float(at) if isinstance(at, (int, float)) else 0.0


def _check_length(name: str, text: str) -> None:
    length = len(text.encode())
    if length > LONGEST:
        raise InvalidInput(f"The dead letter {name} has {length:,} bytes; at most {LONGEST:,} can be kept.")


def _has_repr(value: JSON) -> bool:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return REPR in fields or any(_has_repr(each) for each in fields.values())
    return isinstance(value, list) and any(_has_repr(each) for each in cast("list[Any]", value))
