"""The error rules of a source, a sink or one flow, as the engine's supervision asks for them.

Owns the translation from rules to decisions. A source's rules decide about opening and reading, a sink's about opening
and writing, a flow's about its functions. What none of them matches goes to the rules of the stream. Refuses to wait
and to act (the engine does).
"""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING, Final

from teleporter_lab.engine.supervision import Action, Decision
from teleporter_lab.errors import InvalidPattern
from teleporter_lab.instance.rule_list import RuleList

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from teleporter_lab.config.rules import Rules
    from teleporter_lab.engine.supervision import Failure
    from teleporter_lab.instance.stream_rules import StreamRules

STOP: Final = Decision(Action.STOP)


class PartRules:
    """Decides by the first rule that matches; without one the stream's rules do. `part` is the key of what has them."""

    def __init__(
        self, part: str, rules: Rules, stream: StreamRules | None = None, chance: Callable[[], float] = random
    ) -> None:
        self._list = RuleList(part, rules, None if stream is None else stream.matched)
        self._stream = stream
        self._chance = chance

    @property
    def matched(self) -> Counter[str]:
        """How many failures a rule of each level has matched, here and everywhere in the stream."""
        return self._list.matched

    def decide(self, failure: Failure) -> Decision:
        error = failure.error
        try:
            rule = self._list.first(error)
        except InvalidPattern as slow:
            error.add_note(slow.message)
            return STOP
        if rule is None:
            return STOP if self._stream is None else self._stream.decide(failure)
        action, delay = rule.attempt(failure.tries, self._chance())
        self._list.met(rule, error, action)
        return Decision(Action(action), delay)
