"""Error rules: what to do about which error, as a person writes it.

    regex[:DEBUG|INFO|WARN|ERROR] => action(delay = 1.minutes, retries = 3, next = stop)

Owns the grammar and the counting of attempts. Pure: refuses to wait and to act. The first rule that matches an error's
class name or message counts; a match is given a tenth of a second, so that no pattern can hang a process.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from teleporter_lab.config.duration import parse_duration
from teleporter_lab.config.tail_regex import compile_pattern
from teleporter_lab.errors import InvalidDuration, InvalidInput, InvalidPattern

if TYPE_CHECKING:
    from collections.abc import Iterable

Level = Literal["DEBUG", "INFO", "WARN", "ERROR"]
Action = Literal["start", "stop", "restart", "reload", "retry", "resume", "deadLetter"]
Backoff = Literal["fixed", "exponential"]

STREAM_ACTIONS: Final[tuple[Action, ...]] = ("start", "stop", "restart")
PART_ACTIONS: Final[tuple[Action, ...]] = ("reload", "retry", "resume", "stop", "deadLetter")
"""What the rules of a source, a flow or a sink may do."""

MATCH_SECONDS: Final = 0.1

_RULE = re.compile(r"(?P<pattern>.*?)(?::(?P<level>DEBUG|INFO|WARN|ERROR))?\s*=>\s*(?P<action>.*)", re.DOTALL)
_ACTION = re.compile(r"(?P<name>[A-Za-z]+)\s*(?:\((?P<options>.*)\))?\s*", re.DOTALL)
_OPTION = re.compile(r"\s*(?P<name>[A-Za-z]+)\s*=\s*(?P<value>[^,]+?)\s*")
_OPTIONS = ("delay", "retries", "next", "backoff", "max", "jitter")


@dataclass(frozen=True)
class Rule:
    """One rule. `delay` and `max` in seconds; `retries` -1 is for ever."""

    pattern: str
    action: Action
    level: Level = "ERROR"
    delay: float = 0.0
    retries: int = -1
    next: Action = "stop"
    backoff: Backoff = "fixed"
    max: float = math.inf
    jitter: bool = False

    def matches(self, error: BaseException) -> bool:
        """Whether the class name or the message holds a match. Raises InvalidPattern when looking takes too long."""
        pattern = compile_pattern(self.pattern)
        try:
            return any(pattern.search(text, timeout=MATCH_SECONDS) for text in (type(error).__name__, str(error)))
        except TimeoutError as slow:
            sentence = f"The pattern {self.pattern!r} took longer than {MATCH_SECONDS:g} s; make it simpler."
            raise InvalidPattern(sentence) from slow

    def attempt(self, tries: int, random: float = 1.0) -> tuple[Action, float]:
        """What to do about failure number `tries` (1 is the first) in a row, and after how many seconds.

        `random`, from 0 to 1, shortens the delay by up to a half where the rule asks for jitter.
        """
        if self.retries >= 0 and tries > self.retries:
            return self.next, 0.0
        delay = self.delay
        if self.backoff == "exponential":
            delay = min(self.max, delay * 2.0 ** min(tries - 1, 60))
        return self.action, delay * (0.5 + random / 2) if self.jitter else delay


@dataclass(frozen=True)
class Rules:
    """Rules in order."""

    rules: tuple[Rule, ...] = field(default=())

    @classmethod
    def parse(cls, texts: Iterable[str], allowed: tuple[Action, ...]) -> Rules:
        """Raises InvalidInput for the first one that is wrong, with what was expected and where."""
        return cls(tuple(parse_rule(text, allowed) for text in texts))

    def match(self, error: BaseException) -> Rule | None:
        """The first rule that matches."""
        return next((rule for rule in self.rules if rule.matches(error)), None)


def parse_rule(text: str, allowed: tuple[Action, ...]) -> Rule:
    """One rule. Raises InvalidInput with what was expected, and at which character of `text`."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise _wrong(text, len(text), "`=>` and an action behind the pattern, like `Timeout => restart(retries = 3)`")
    pattern = found["pattern"].strip()
    try:
        compile_pattern(pattern)
    except InvalidPattern as error:
        raise _wrong(text, 0, f"a regular expression ({error.message.rstrip('.')})") from error
    at = found.start("action")
    action = _ACTION.fullmatch(found["action"])
    if action is None:
        raise _wrong(text, at, "an action, like `stop` or `restart(delay = 10.seconds)`")
    name = _one_of(text, at, action["name"], allowed)
    options = _options(text, at + max(0, action.start("options")), action["options"] or "", allowed)
    return Rule(pattern, name, cast("Level", found["level"] or "ERROR"), **options)


def _options(text: str, at: int, options: str, allowed: tuple[Action, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in options.split(",") if options.strip() else ():
        option = _OPTION.fullmatch(part)
        if option is None:
            raise _wrong(text, at, "`name = value`, parts separated by commas")
        name = _one_of(text, at + option.start("name"), option["name"], _OPTIONS)
        found[name] = _value(text, at + option.start("value"), name, option["value"], allowed)
        at += len(part) + 1
    return found


def _value(text: str, at: int, name: str, value: str, allowed: tuple[Action, ...]) -> Any:
    if name == "retries":
        if not re.fullmatch(r"-1|\d{1,9}", value):
            raise _wrong(text, at, "a whole number of retries, or -1 for ever")
        return int(value)
    if name == "next":
        return _one_of(text, at, value, allowed)
    if name == "backoff":
        return _one_of(text, at, value, get_args(Backoff))
    if name == "jitter":
        return _one_of(text, at, value, ("true", "false")) == "true"
    try:
        return parse_duration(value)
    except InvalidDuration as error:
        raise _wrong(text, at, "a duration, like 10.seconds") from error


def _one_of(text: str, at: int, value: str, allowed: Iterable[str]) -> Any:
    if value not in allowed:
        raise _wrong(text, at, f"one of {', '.join(allowed)}, not {value!r}")
    return value


def _wrong(text: str, at: int, expected: str) -> InvalidInput:
    return InvalidInput(f"The rule {text!r} is wrong at character {at + 1}: there must be {expected}.")
