"""Which dead letters are meant: by stream, place, error and time.

Owns the comparison of one letter and the form of a pattern over streams. Refuses to read letters (`dead_letters` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.config.key import Key, Table
from teleporter_lab.config.tail_regex import TailRegex
from teleporter_lab.errors import InvalidInput, InvalidKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX = "/deadletter/"


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """All letters, or those of which everything that is given holds. Times in seconds since 1970."""

    place: str = ""
    """Part of the name of the place."""
    error: str = ""
    """Part of the error's class or message, in any case."""
    since: float | None = None
    until: float | None = None

    @property
    def everything(self) -> bool:
        """Nothing is asked."""
        return self == LetterFilter()

    def matches(self, letter: Mapping[str, Any]) -> bool:
        """Whether it is one of those."""
        if self.place not in str(letter.get("place", "")):
            return False
        error = letter.get("error")
        said = cast("dict[str, Any]", error) if isinstance(error, dict) else {"message": error}
        words = f"{said.get('type', '')}: {said.get('message', '')}"
        if self.error.lower() not in words.lower():
            return False
        at: Any = letter.get("at")
        moment = float(at) if isinstance(at, (int, float)) else 0.0
        return (self.since is None or moment >= self.since) and (self.until is None or moment <= self.until)


def letters_of(stream: str) -> str:
    """What the keys of all letters of a stream begin with. Raises InvalidKey for what is no stream."""
    key = Key.parse(stream)
    if key.table is not Table.STREAM:
        raise InvalidKey(f"{stream[:80]} is no stream: write /stream/ns/task/name.")
    return PREFIX + "/".join(key.segments) + "/"


def pattern_below(table: str, pattern: str) -> TailRegex:
    """The tail regex over the keys in `table` for one over streams; a whole key means just that stream.

    Each key in `table` has one segment more than that of its stream, or as many. Raises InvalidInput.
    """
    if not pattern.startswith("/stream"):
        raise InvalidInput(f"{pattern[:80]!r} is no pattern over streams: begin it with /stream/.")
    rest = pattern.removeprefix("/stream").removeprefix("/")
    wanted = TailRegex.parse(f"/{table}/{rest}")
    if is_stream(pattern):
        return TailRegex(f"/{table}/{rest}", "(/[^/]+)?")
    if not wanted.pattern or rest.endswith("/"):
        return wanted
    return TailRegex(wanted.prefix, f"{wanted.pattern}(/[^/]+)?")


def is_stream(text: str) -> bool:
    """Whether `text` is the whole key of a stream."""
    try:
        return Key.parse(text).table is Table.STREAM
    except InvalidKey:
        return False


def stream_of_letter(key: str) -> str:
    """The stream of `/deadletter/ns/task/stream/id`. Raises InvalidKey."""
    segments = key.split("/")
    if len(segments) != 6 or segments[1] != "deadletter":
        raise InvalidKey(f"{key[:80]!r} is no dead letter: write /deadletter/ns/task/stream/id.")
    return "/".join(("", "stream", *segments[2:5]))


def chosen(names: Sequence[str] | None, which: LetterFilter, everything: bool) -> LetterFilter | Sequence[str]:
    """What is meant by ids, a filter, or all. Raises InvalidInput where none of them is said, or two are."""
    said = [names is not None, not which.everything, everything]
    if sum(said) != 1:
        raise InvalidInput(
            "Say which letters, in one way: their ids, or what they have in common (place, error, time), or all."
        )
    return which if names is None else names
