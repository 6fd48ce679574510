"""The text of one error rule, read from left to right.

    rule    = pattern [":" level] "=>" action
    action  = name ["(" [option {"," option}] ")"]
    option  = name "=" value | "jitter"

Owns the grammar and the sentence for each mistake: what was expected, and at which character. The first `=>` ends the
pattern; one that belongs to it is written `=\\>`. Refuses to know what a rule does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from teleporter_lab.config.duration import parse_duration
from teleporter_lab.config.tail_regex import compile_pattern
from teleporter_lab.errors import InvalidDuration, InvalidInput, InvalidPattern

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 2000
"""Characters of a rule."""

SHOWN: Final = 300
"""Characters of a wrong rule that its sentence shows."""

_HEAD = re.compile(r"(.*?)(?::(DEBUG|INFO|WARN|ERROR)\s*)?=>", re.DOTALL)
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[A-Za-z]+")
_VALUE = re.compile(r"[^,()]*")
_RETRIES = re.compile(r"-1|[0-9]{1,9}")
_CHOICES: Final = {"backoff": ("fixed", "exponential"), "jitter": ("true", "false")}
_OPTIONS: Final = ("delay", "retries", "next", "backoff", "max", "jitter")


@dataclass(frozen=True)
class RuleParts:
    """What a rule says; `options` by name, converted."""

    pattern: str
    level: Any
    action: Any
    options: dict[str, Any]


class RuleText:
    """One rule's text, and how far it was read. `allowed` are the actions it may name."""

    def __init__(self, text: str, allowed: Iterable[str]) -> None:
        self._text = text
        self._allowed = tuple(allowed)
        self._at = 0

    def parts(self) -> RuleParts:
        """Reads all of it. Raises InvalidInput with what was expected, and at which character."""
        if len(self._text) > LONGEST:
            raise self._wrong(LONGEST, f"an end: a rule has at most {LONGEST:,} characters")
        pattern, level = self._head()
        action = self._word("an action, like `stop` or `restart(delay = 10.seconds)`", self._allowed)
        options = self._options() if self._take("(") else {}
        if self._at < len(self._text):
            raise self._wrong(self._at, "nothing more" if options else "`(` with options, or nothing more")
        return RuleParts(pattern, level, action, options)

    def _head(self) -> tuple[str, str]:
        head = _HEAD.match(self._text)
        if head is None:
            example = "`=>` and an action behind the pattern, like `Timeout => restart(retries = 3)`"
            raise self._wrong(len(self._text), example)
        pattern = head[1].strip()
        begins = len(head[1]) - len(head[1].lstrip())
        if not pattern:
            raise self._wrong(0, "a regular expression before `=>`; `.*` is for every error")
        try:
            compile_pattern(pattern)
        except InvalidPattern as error:
            place = getattr(error.__cause__, "pos", None)
            at = begins + min(place if isinstance(place, int) else 0, len(pattern) - 1)
            raise self._wrong(at, f"a regular expression ({error.message.rstrip('.')})") from error
        self._at = head.end()
        return pattern, head[2] or "ERROR"

    def _options(self) -> dict[str, Any]:
        """Up to and with the bracket that closes them."""
        options: dict[str, Any] = {}
        if self._take(")"):
            return options
        while True:
            self._skip()
            at = self._at
            name = self._word("`name = value`", _OPTIONS)
            if name in options:
                raise self._wrong(at, f"another option: {name} stands here twice")
            options[name] = self._option(name)
            if self._take(")"):
                return options
            if not self._take(","):
                raise self._wrong(self._at, "`,` and another option, or `)`")

    def _option(self, name: str) -> Any:
        if self._take("="):
            self._skip()
            at = self._at
            value = self._found(_VALUE).strip()
            return self._value(name, value, at)
        if name == "jitter":
            return True
        raise self._wrong(self._at, f"`=` and a value for {name}")

    def _value(self, name: str, value: str, at: int) -> Any:
        if name == "retries":
            if not _RETRIES.fullmatch(value):
                raise self._wrong(at, "a whole number of retries, or -1 for ever")
            return int(value)
        if name == "next" or name in _CHOICES:
            choice = self._one_of(at, value, self._allowed if name == "next" else _CHOICES[name])
            return choice == "true" if name == "jitter" else choice
        try:
            return parse_duration(value)
        except InvalidDuration as error:
            raise self._wrong(at, "a duration, like 10.seconds") from error

    def _word(self, expected: str, among: tuple[str, ...]) -> str:
        self._skip()
        at = self._at
        word = _WORD.match(self._text, at)
        if word is None:
            raise self._wrong(at, expected)
        self._at = word.end()
        return self._one_of(at, word[0], among)

    def _one_of(self, at: int, value: str, among: tuple[str, ...]) -> str:
        if value not in among:
            raise self._wrong(at, f"one of {', '.join(among)}, not {value[:SHOWN]!r}")
        return value

    def _take(self, sign: str) -> bool:
        """Reads `sign` and the space around it, if it is what comes next."""
        self._skip()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        self._skip()
        return True

    def _skip(self) -> None:
        self._found(_SPACE)

    def _found(self, pattern: re.Pattern[str]) -> str:
        """What `pattern`, which may be empty, matches next."""
        found = pattern.match(self._text, self._at)
        if found is None:
            raise AssertionError(f"{pattern.pattern} matches nothing, too")
        self._at = found.end()
        return found[0]

    def _wrong(self, at: int, expected: str) -> InvalidInput:
        text = self._text
        shown = repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}…"
        return InvalidInput(f"The rule {shown} is wrong at character {at + 1}: there must be {expected}.")
