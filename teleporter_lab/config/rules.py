"""Error rules: what to do about which error, as a person writes it.

    regex[:DEBUG|INFO|WARN|ERROR] => action(delay = 1.minutes, retries = 3, next = stop)

Owns matching and the counting of attempts; `rule_text` owns the grammar. Pure: refuses to wait and to act. The first
rule that matches an error's class name or message counts; of a message the first 4,000 characters are looked at, and a
match is given a tenth of a second, so that no pattern can hang a process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

from teleporter_lab.config.quote import quote
from teleporter_lab.config.rule_text import RuleText
from teleporter_lab.config.tail_regex import compile_pattern
from teleporter_lab.errors import InvalidPattern

if TYPE_CHECKING:
    from collections.abc import Iterable

    import regex

Level = Literal["DEBUG", "INFO", "WARN", "ERROR"]
Action = Literal["start", "stop", "restart", "reload", "retry", "resume", "deadLetter"]
Backoff = Literal["fixed", "exponential"]

STREAM_ACTIONS: Final[tuple[Action, ...]] = ("start", "stop", "restart")
"""What is done to a whole stream."""
PART_ACTIONS: Final[tuple[Action, ...]] = ("reload", "retry", "resume", "stop", "deadLetter")
"""What the rules of a source, a flow or a sink may do."""
EVERY_ACTION: Final[tuple[Action, ...]] = (*STREAM_ACTIONS, "reload", "retry", "resume", "deadLetter")
"""What the rules of a stream may do: to itself, and where one of its functions fails."""
AGAIN: Final = frozenset[Action]({"start", "restart", "reload", "retry"})
"""Actions that try the same once more."""

MATCH_SECONDS: Final = 0.1
MATCHED_CHARACTERS: Final = 4000
"""Of a message, from its beginning."""

AT_ONCE: Final = 10
"""Failures in a row after which a rule without a delay waits all the same: what fails for ever takes no processor."""
FIRST_WAIT: Final = 0.01
"""Seconds; doubled with each further failure."""
LONGEST_WAIT: Final = 1.0


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
        texts = (type(error).__name__, _message(error))
        try:
            return any(self._compiled.search(text, timeout=MATCH_SECONDS) for text in texts)
        except (TimeoutError, MemoryError, RecursionError) as slow:
            sentence = f"The pattern {quote(self.pattern)} took longer than {MATCH_SECONDS:g} s; make it simpler."
            raise InvalidPattern(sentence) from slow

    @cached_property
    def _compiled(self) -> regex.Pattern[str]:
        return compile_pattern(self.pattern)

    def attempt(self, tries: int, random: float = 1.0) -> tuple[Action, float]:
        """What to do about failure number `tries` (1 is the first) in a row, and after how many seconds.

        `random`, from 0 to 1, shortens the delay by up to a half where the rule asks for jitter. What comes `next` has
        the delay of the rule where it tries again, and none else.
        """
        if self.retries >= 0 and tries > self.retries:
            return self.next, self.pause(tries, random) if self.next in AGAIN else 0.0
        return self.action, self.pause(tries, random)

    def pause(self, tries: int, random: float = 1.0) -> float:
        """The delay after failure number `tries` in a row, in seconds."""
        delay = self.delay
        if not delay and tries > AT_ONCE:
            return min(self.max, LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries - AT_ONCE - 1, 60))
        if self.backoff == "exponential":
            delay *= 2.0 ** min(tries - 1, 60)
        delay = min(self.max, delay)
        return delay * (0.5 + random / 2) if self.jitter else delay

    def of_stream(self, tries: int, random: float = 1.0) -> tuple[Action, float]:
        """What to do about failure number `tries` in a row of a whole stream, and after how many seconds.

        There is no record to try again or to leave out, so a rule that says so is through with that: `next` counts, and
        where that is nothing for a stream either, it stops.
        """
        if self.action in STREAM_ACTIONS:
            action, delay = self.attempt(tries, random)
        else:
            action, delay = self.next, self.pause(tries, random)
        return ("stop", 0.0) if action not in STREAM_ACTIONS or action == "stop" else (action, delay)


@dataclass(frozen=True)
class Rules:
    """Rules in order."""

    rules: tuple[Rule, ...] = field(default=())

    @classmethod
    def parse(cls, texts: Iterable[str], allowed: tuple[Action, ...]) -> Rules:
        """Raises InvalidInput for the first one that is wrong, with what was expected and where."""
        return cls(tuple(parse_rule(text, allowed) for text in texts))

    def match(self, error: BaseException) -> Rule | None:
        """The first rule that matches. Raises InvalidPattern when looking takes too long."""
        return next((rule for rule in self.rules if rule.matches(error)), None)


def parse_rule(text: str, allowed: tuple[Action, ...]) -> Rule:
    """One rule. Raises InvalidInput with what was expected, and at which character of `text`."""
    parts = RuleText(text, allowed).parts()
    return Rule(parts.pattern, parts.action, parts.level, **parts.options)


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MATCHED_CHARACTERS]
    except Exception as broken:  # noqa: BLE001 - an error that cannot say what it is has no message to match
        return f"(no message: {type(broken).__name__})"
