"""What a value of the config tree may be, whatever its table. Owns size, depth and JSON-ness; refuses to know fields.

A value that breaks these rules could not be stored, sent or shown, so it is refused before its fields are looked at.
"""

from __future__ import annotations

import math
import re
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from teleporter_lab.config.quote import describe, kind
from teleporter_lab.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_DEPTH: Final = 64
MAX_ENTRIES: Final = 100_000
MAX_TEXT: Final = 4 * 1024 * 1024
MAX_PROBLEMS: Final = 200
_SHOWN: Final = 64
_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")

Place: TypeAlias = tuple[str | int, ...]
"""Where something stands in a value: names of fields and numbers of list entries."""
_Chain: TypeAlias = "tuple[_Chain, str | int] | None"


def path_of(place: Iterable[str | int]) -> str:
    """How a place is written: `client.topics`, `keys[0]`, `client["group.id"]`; empty for the whole value."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step) and len(step) <= _SHOWN:
            text += f".{step}" if text else step
        else:
            quoted = step.replace("\\", "\\\\").replace('"', '\\"')
            text += f'["{quoted[:_SHOWN]}{"…" if len(quoted) > _SHOWN else ""}"]'
    return text


def check(value: object) -> list[Problem]:
    """All that keeps `value` from being a config: not an object, not JSON, too deep, too large."""
    if not isinstance(value, dict):
        return [Problem("", f"A config is an object with fields, but this is {describe(value)}.")]
    return _Walk().over(cast("object", value))


def texts(value: object, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every text within `value`, in order, with its place below `place`; names of fields are left out."""
    waiting: list[tuple[_Chain, object]] = [(None, value)]
    while waiting:
        chain, item = waiting.pop()
        if isinstance(item, str):
            yield (*place, *_steps(chain)), item
        elif isinstance(item, dict):
            fields = cast("dict[str, object]", item)
            waiting.extend(((chain, name), fields[name]) for name in reversed(fields))
        elif isinstance(item, list):
            entries = cast("list[object]", item)
            waiting.extend(((chain, index), entries[index]) for index in reversed(range(len(entries))))


def _steps(chain: _Chain) -> Place:
    steps: list[str | int] = []
    while chain is not None:
        chain, step = chain
        steps.append(step)
    return tuple(reversed(steps))


class _Walk:
    """One walk over a value, without recursion, so that no nesting can exhaust the stack."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Place, object]] = []
        self._problems: list[Problem] = []
        self._entries = 0
        self._characters = 0

    def over(self, value: object) -> list[Problem]:
        self._waiting.append(((), value))
        while self._waiting and len(self._problems) < MAX_PROBLEMS:
            place, item = self._waiting.pop()
            self._look_at(place, item)
            if self._entries > MAX_ENTRIES:
                return [
                    Problem("", f"A config has at most {MAX_ENTRIES:,} fields and list entries, but this has more.")
                ]
            if self._characters > MAX_TEXT:
                return [Problem("", f"A config has at most {MAX_TEXT:,} characters of text, but this has more.")]
        return self._problems

    def _look_at(self, place: Place, item: object) -> None:
        match item:
            case str():
                self._text(place, item)
            case dict() | list():
                self._inside(place, cast("dict[object, object] | list[object]", item))
            case float() if not math.isfinite(item):
                self._report(place, f"Must be a finite number, but is {describe(item)}.")
            case None | bool() | int() | float():
                return
            case _:
                self._report(
                    place, f"Must be JSON (text, number, true, false, null, list, object), but is {kind(item)}."
                )

    def _inside(self, place: Place, item: dict[object, object] | list[object]) -> None:
        self._entries += len(item)
        if len(place) >= MAX_DEPTH:
            self._report(place[:8], f"Is nested deeper than {MAX_DEPTH} levels; make it flatter.")
            return
        if isinstance(item, list):
            entries = enumerate(islice(item, MAX_ENTRIES))
            self._waiting.extend(reversed([((*place, index), entry) for index, entry in entries]))
            return
        found: list[tuple[Place, object]] = []
        for name, entry in islice(item.items(), MAX_ENTRIES):
            if isinstance(name, str):
                self._text(place, name)
                found.append(((*place, name), entry))
            else:
                self._report(place, f"The name of a field is text, but this is {describe(name)}.")
        self._waiting.extend(reversed(found))

    def _text(self, place: Place, text: str) -> None:
        self._characters += len(text)
        if self._characters <= MAX_TEXT and not text.isascii() and _is_broken(text):
            self._report(place, "Holds half of a character (a lone surrogate), which no encoding can write.")

    def _report(self, place: Place, sentence: str) -> None:
        self._problems.append(Problem(path_of(place), sentence))


def _is_broken(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)
