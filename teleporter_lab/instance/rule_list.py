"""The error rules of one place as a run asks them: which one matches, how often that was, and what is told of it.

Owns the count of matches by level and the log lines. A rule whose pattern takes too long is asked once and never again
in this run: nobody knows what it would have said, so what comes as far as to it stops the stream, which loses nothing.
Refuses to decide what is done about a match (`part_rules` and `stream_rules` do).
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from teleporter_lab.errors import InvalidPattern

if TYPE_CHECKING:
    from teleporter_lab.config.rules import Rule, Rules

log = logging.getLogger(__name__)

LEVELS: Final = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}


class RuleList:
    """`of` is the key of what has the rules. `matched` counts the failures that a rule has matched, by its level."""

    def __init__(self, of: str, rules: Rules, matched: Counter[str] | None = None) -> None:
        self._of = of
        self._rules = rules
        self._slow: dict[Rule, InvalidPattern] = {}
        self._told: Counter[Rule] = Counter()
        self.matched: Counter[str] = Counter() if matched is None else matched

    def first(self, error: BaseException) -> Rule | None:
        """The first rule that matches. Raises InvalidPattern where one before it takes, or has taken, too long."""
        for rule in self._rules.rules:
            if rule in self._slow:
                raise self._slow[rule]
            try:
                found = rule.matches(error)
            except InvalidPattern as slow:
                self._slow[rule] = slow
                log.error(
                    "%s: a rule is switched off, and whatever it is asked about stops: %s", self._of, slow.message
                )
                raise
            if found:
                return rule
        return None

    def met(self, rule: Rule, error: BaseException, action: str) -> None:
        """`rule` has matched and says `action`: counts it, and tells the 1st, 2nd, 4th, 8th … time."""
        self.matched[rule.level] += 1
        self._told[rule] += 1
        times = self._told[rule]
        if times & (times - 1) == 0:
            log.log(
                LEVELS[rule.level], "%s: %s (%s), %d times by now: %s",
                self._of, error, type(error).__name__, times, action,
            )  # fmt: skip
