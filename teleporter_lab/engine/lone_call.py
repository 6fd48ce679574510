"""Calls of a user's function that belong to no chunk: by a timer, at the end, for one more element in between.

Owns the tries of such a call, under the same supervision as the calls for elements. Refuses to say what is to be done
when there is no result; the stage that calls does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from teleporter_lab.engine.failure import FAILURES, failure_of
from teleporter_lab.engine.supervision import AGAIN, Action, put_aside
from teleporter_lab.engine.trials import Trials

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.ack import Account, Token
    from teleporter_lab.engine.run import Materializer

R = TypeVar("R")


class Missing:
    """There is no result, and `account` says where the ledger counts what it was to be."""

    __slots__ = ("account",)

    def __init__(self, account: Account) -> None:
        self.account: Account = account


LEFT_OUT = Missing("skipped")
PUT_ASIDE = Missing("dead_lettered")


class LoneCall:
    """One call at a time. Whoever was cancelled makes the same call again, and goes on where it was.

    `what` says what is called, where that is not about an element as it came in: nobody can send it in again.
    """

    __slots__ = ("_m", "_trials")

    def __init__(self, m: Materializer, name: str, what: str = "") -> None:
        self._m = m
        self._trials = Trials(m, name)
        if what:
            self._trials.name += f": {what}"

    async def outcome(self, call: Callable[[], R], about: Any, tokens: tuple[Token, ...] = ()) -> R | Missing:
        """What `call()` gives, or why it gives nothing; `about`, which came with `tokens`, stands for the element.

        Raises its error on stop.
        """
        trials = self._trials
        while True:
            failure = trials.failure
            if failure is None:
                try:
                    result = call()
                except FAILURES as error:
                    trials.failed(failure_of(error), about, tokens)
                    continue
                trials.went_well()
                return result
            action = await trials.decided(failure)
            if action is Action.DEAD_LETTER:
                await put_aside(self._m, failure)
            if action not in AGAIN:
                trials.went_well()
                return PUT_ASIDE if action is Action.DEAD_LETTER else LEFT_OUT
