"""The error rules of a stream: about its functions, about sources and sinks whose own rules say nothing, and about the
stream when it has failed.

Owns which of the two kinds of action is carried out where. `reload`, `retry`, `resume` and `deadLetter` are done at
the place that failed; `restart`, `start` and `stop` let the stream fail and are done to all of it. `retries` counts the
tries of one record for the first kind, and failures of the stream in a row for the second. So `restart(retries = 3,
next = resume)` leaves out a record at which the stream has failed three times. Lives as long as the stream is wanted,
over all its runs. Refuses to wait and to act.
"""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING

from teleporter_lab.config.rules import STREAM_ACTIONS
from teleporter_lab.engine.supervision import Action, Decision
from teleporter_lab.errors import InvalidPattern
from teleporter_lab.instance.part_rules import STOP
from teleporter_lab.instance.rule_list import RuleList

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from teleporter_lab.config import rules
    from teleporter_lab.engine.supervision import Failure


class StreamRules:
    """Decides by the first rule that matches; without one the stream stops. `stream` is its key.

    `matched` counts, by level, what its rules and those of its sources, sinks and flows have matched.
    """

    def __init__(
        self,
        stream: str,
        listed: rules.Rules,
        matched: Counter[str] | None = None,
        chance: Callable[[], float] = random,
    ) -> None:
        self._list = RuleList(stream, listed, matched)
        self._chance = chance
        self._failures = 0
        """Of the stream, in a row, before this run."""
        self._advanced: Callable[[], bool] = lambda: False
        self._said: tuple[BaseException, rules.Action, float] | None = None
        """What was said about an error while the stream ran, to be done when it fails with that."""

    @property
    def matched(self) -> Counter[str]:
        """How many failures a rule of each level has matched."""
        return self._list.matched

    @property
    def tries(self) -> int:
        """The number that a failure of the stream has now; 1 is the first since a position was committed."""
        return 1 if self._advanced() else self._failures + 1

    def begin(self, advanced: Callable[[], bool]) -> None:
        """A run begins; `advanced` says whether it has committed a position by now."""
        self._advanced = advanced
        self._said = None

    def decide(self, failure: Failure) -> Decision:
        error = failure.error
        try:
            rule = self._list.first(error)
        except InvalidPattern as slow:
            error.add_note(slow.message)
            return STOP
        if rule is None:
            return STOP
        tries = self.tries if rule.action in STREAM_ACTIONS else failure.tries
        action, delay = rule.attempt(tries, self._chance())
        self._list.met(rule, error, action)
        if action not in STREAM_ACTIONS:
            return Decision(Action(action), delay)
        self._said = (error, action, delay)
        return STOP

    def failed(self, error: BaseException) -> float | None:
        """The run has failed with `error`: seconds after which the stream starts again; None when it stays down."""
        self._failures = self.tries
        self._advanced = lambda: False
        said, self._said = self._said, None
        if said is not None and said[0] is error:
            _, action, delay = said
            return None if action == "stop" else delay
        try:
            rule = self._list.first(error)
        except InvalidPattern as slow:
            error.add_note(slow.message)
            return None
        if rule is None:
            return None
        action, delay = rule.of_stream(self._failures, self._chance())
        self._list.met(rule, error, action)
        return None if action == "stop" else delay
