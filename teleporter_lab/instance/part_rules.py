"""The error rules of a source or a sink, as the engine's supervision asks for them.

Owns the translation from rules to decisions, and the count of what they have matched. A source's rules decide about
opening and reading, a sink's about opening and writing. Refuses to wait and to act (the engine does), and to decide
about the functions of a stream: those fail the stream, whose own rules start it again.
"""

from __future__ import annotations

import logging
from collections import Counter
from random import random
from typing import TYPE_CHECKING, Final

from teleporter_lab.engine.supervision import Action, Decision
from teleporter_lab.errors import InvalidPattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.config.rules import Rule, Rules
    from teleporter_lab.engine.supervision import Failure

log = logging.getLogger(__name__)

LEVELS: Final = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}
STOP: Final = Decision(Action.STOP)


class PartRules:
    """Decides by the first rule that matches; without one the stream stops. `part` is the key of the source or sink."""

    def __init__(self, part: str, rules: Rules, chance: Callable[[], float] = random) -> None:
        self._part = part
        self._rules = rules
        self._chance = chance
        self.matched: Counter[str] = Counter()
        """How many failures a rule of each level has matched."""
        self._told: Counter[Rule] = Counter()

    def decide(self, failure: Failure) -> Decision:
        try:
            rule = self._rules.match(failure.error)
        except InvalidPattern as slow:
            log.error("%s: no rule was asked: %s", self._part, slow.message)
            return STOP
        if rule is None:
            return STOP
        action, delay = rule.attempt(failure.tries, self._chance())
        self.matched[rule.level] += 1
        self._tell(rule, failure, action)
        return Decision(Action(action), delay)

    def _tell(self, rule: Rule, failure: Failure, action: str) -> None:
        """The 1st, 2nd, 4th, 8th … time, as a rule may match every record."""
        self._told[rule] += 1
        times = self._told[rule]
        if times & (times - 1) == 0:
            log.log(
                LEVELS[rule.level], "%s: %s (%s), %d times by now: %s",
                self._part, failure.error, type(failure.error).__name__, times, action,
            )  # fmt: skip
