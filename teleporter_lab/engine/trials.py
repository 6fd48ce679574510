"""Calls to a system outside that fail now and then: how often by now, and what was decided about it.

Owns what is remembered between two tries, so that whoever waits out a delay and is cancelled goes on with the decision
that was taken. `supervision` does the same for the functions an operator calls for each element. Refuses to make the
call; the source or sink that owns the trials does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.failure import cancel_requested, failure_of
from teleporter_lab.engine.supervision import Action, Decision, Failure, explain

if TYPE_CHECKING:
    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.endpoints import Position
    from teleporter_lab.engine.run import Materializer


def own_failure(error: BaseException) -> Exception:
    """What a call failed with, caught as one of `FAILURES`; raises a cancellation that is meant for the caller."""
    if isinstance(error, asyncio.CancelledError) and cancel_requested():
        raise error
    return failure_of(error)


class Trials:
    """The failed tries of one call in a row. `where` is how a note says what the call was about; None: no note."""

    __slots__ = ("_decision", "_due", "_m", "_tries", "_where", "failure", "name")

    def __init__(self, m: Materializer, name: str, where: str | None = "on the element") -> None:
        self.name = m.name or name
        self.failure: Failure | None = None
        """What is to be decided about."""
        self._m = m
        self._where = where
        self._tries = 0
        self._decision: Decision | None = None
        """Taken, and not carried out yet."""
        self._due: float | None = None
        """When the delay of the decision ends."""

    def failed(
        self, error: Exception, element: Any, tokens: tuple[Token, ...] = (), at: Position | None = None
    ) -> Failure:
        """One more try has failed; `element` is what the call was about, and came with `tokens`, or failed `at`."""
        self._tries += 1
        self._decision = self._due = None
        self.failure = Failure(error, self.name, element, self._tries, tokens, at)
        return self.failure

    def went_well(self) -> None:
        """The next failure is a first one."""
        self._tries = 0

    def _note(self, failure: Failure, where: str) -> None:
        """A call that was about no element, such as opening, has none to show."""
        if failure.element is None:
            failure.error.add_note(f"In {self.name}")
        else:
            explain(failure.error, self.name, failure.element, where)

    async def decided(self, failure: Failure) -> Action:
        """What to do about `failure`, after its delay. Raises its error on stop, again and again.

        May be cancelled and called again. There is always a pass of the loop between two tries, so that a call that
        fails for ever can be stopped.
        """
        if self._decision is None:
            self._decision = self._m.supervisor.decide(failure)
            if self._decision.action is Action.STOP and self._where is not None:
                self._note(failure, self._where)
        decision = self._decision
        if decision.action is Action.STOP:
            raise failure.error
        await self._wait(max(decision.delay, 0.0))
        self.failure = self._decision = self._due = None
        return decision.action

    async def _wait(self, seconds: float) -> None:
        """Whoever is cancelled in between waits no longer altogether."""
        clock = self._m.clock
        if self._due is None:
            self._due = clock.now() + seconds
        else:
            seconds = max(self._due - clock.now(), 0.0)
        await clock.sleep(seconds)
