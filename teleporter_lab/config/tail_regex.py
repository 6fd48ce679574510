"""Tail regexes, by which keys are chosen. Owns how one is cut and matched; refuses what would take too long.

The part up to the first character that is neither a word character nor `/` is a literal prefix; the rest is a
regular expression that must match all of the key from there on; without a rest every key with that prefix matches.
No key ends in `/`, so a pattern that does chooses everything below: `/stream/my-ns/`.
`-` and `.` are such characters, so `/stream/my-ns/.*` has the prefix `/stream/my`. A word character is a letter, a
digit or `_` of ASCII.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import prod
from typing import Final

import regex

from teleporter_lab.config.quote import describe, quote
from teleporter_lab.errors import InvalidPattern

MAX_LENGTH: Final = 1000
TIME_LIMIT: Final = 0.1
"""Seconds that one match may take."""
_MAX_WEIGHT: Final = 500_000
_CUT = re.compile(r"[^A-Za-z0-9_/]")
_COUNT = re.compile(r"\{([^{}]*)\}?")


@dataclass(frozen=True, slots=True)
class TailRegex:
    """A literal prefix and a regular expression for the rest (empty: anything). Raises InvalidPattern when made."""

    prefix: str
    pattern: str
    _compiled: regex.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", compile_pattern(self.pattern))

    @classmethod
    def parse(cls, text: object) -> TailRegex:
        """The tail regex that `text` writes; raises InvalidPattern."""
        if not isinstance(text, str):
            raise InvalidPattern(f"A pattern is text such as /stream/ns/task/.*, but this is {describe(text)}.")
        if len(text) > MAX_LENGTH:
            raise InvalidPattern(f"A pattern has at most {MAX_LENGTH} characters; {quote(text)} has {len(text)}.")
        cut = _CUT.search(text)
        at = len(text) if cut is None else cut.start()
        below = ".*" if text.endswith("/") and at < len(text) else ""
        return cls(text[:at], text[at:] + below)

    @classmethod
    def beginning(cls, text: str) -> TailRegex:
        """The tail regex of every key that begins with `text`, whatever characters that has."""
        cut = _CUT.search(text)
        if cut is None:
            return cls(text, "")
        rest = _CUT.sub(lambda match: f"\\{match[0]}", text[cut.start() :])
        return cls(text[: cut.start()], f"{rest}.*")

    def __str__(self) -> str:
        return self.prefix + self.pattern

    def matches(self, key: str) -> bool:
        """Whether `key` is chosen; raises InvalidPattern when deciding takes longer than 0.1 s."""
        if not key.startswith(self.prefix):
            return False
        if not self.pattern:
            return True
        try:
            return self._compiled.fullmatch(key[len(self.prefix) :], timeout=TIME_LIMIT) is not None
        except (TimeoutError, MemoryError, RecursionError) as error:
            raise InvalidPattern(
                f"The pattern {quote(str(self))} took too long on {quote(key)}; write it without repeats in repeats."
            ) from error


def compile_pattern(pattern: str) -> regex.Pattern[str]:
    """A user's regular expression, bounded in what compiling it may cost. Raises InvalidPattern."""
    _check_weight(pattern)
    try:
        return regex.compile(pattern, regex.ASCII, cache_pattern=False)
    except regex.error as error:
        hint = " To match anything, write '.*'." if pattern.startswith(("*", "?", "+")) else ""
        raise InvalidPattern(f"{quote(pattern)} is no regular expression: {error}.{hint}") from error
    except (RecursionError, MemoryError, OverflowError) as error:
        raise InvalidPattern(f"The regular expression {quote(pattern)} is nested too deep or too large.") from error


def _check_weight(pattern: str) -> None:
    """Compiling writes counted repeats out: `((a{999}){999}){999}` would take all memory of the process.

    The bound takes all counts as nested, so that no comment, class or flag can hide a nesting from it.
    """
    digits = ("".join(filter(str.isdigit, part)) for match in _COUNT.finditer(pattern) for part in match[1].split(","))
    counts = [int(text[:9]) for text in digits if text]
    if len(pattern) * prod(max(count, 1) for count in counts) > _MAX_WEIGHT:
        raise InvalidPattern(f"The repeats counted in {quote(pattern)} are too many; write '+' or '*' instead.")
