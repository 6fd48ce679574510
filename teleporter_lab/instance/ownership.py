"""Which streams of a task run here: the pure part of taking partitions.

Owns the rule that a stream belongs to the first partition (by key) that matches it, the same one the broker goes by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.config.tail_regex import TailRegex
from teleporter_lab.errors import InvalidPattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from teleporter_lab.config.key import Key

STOPPED = frozenset({"STOPPED", "REMOVE"})
"""Wanted states in which a stream does not run."""


def fields_of(value: object) -> dict[str, Any]:
    """A document's fields; none when it is no JSON object."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def wanted(value: object) -> bool:
    """Whether a stream's document asks for it to run."""
    return fields_of(value).get("status") not in STOPPED


def patterns_of(partitions: Mapping[Key, Any]) -> dict[str, tuple[TailRegex, ...]]:
    """The patterns of each partition, by key in order; one that does not compile matches nothing."""
    found: dict[str, tuple[TailRegex, ...]] = {}
    for key in sorted(partitions):
        texts: object = fields_of(partitions[key]).get("keys")
        listed = cast("list[object]", texts) if isinstance(texts, list) else []
        found[str(key)] = tuple(pattern for text in listed if (pattern := _pattern(text)) is not None)
    return found


def _pattern(text: object) -> TailRegex | None:
    try:
        return TailRegex.parse(text)
    except InvalidPattern:
        return None


def streams_of(streams: Iterable[Key], patterns: Mapping[str, tuple[TailRegex, ...]], owned: Iterable[str]) -> set[Key]:
    """The streams whose first matching partition is one of `owned`. Raises InvalidPattern for a slow match."""
    mine = set(owned)
    found: set[Key] = set()
    for stream in streams:
        first = next((p for p, regexes in patterns.items() if any(r.matches(str(stream)) for r in regexes)), None)
        if first in mine:
            found.add(stream)
    return found
