"""What the supervision says about batches and records that were not stored.

Owns how it is asked: about a batch as a whole, or about each record that a writer names. Refuses to write; it waits out
the delays of decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from teleporter_lab.engine.columns import rows_of
from teleporter_lab.engine.supervision import AGAIN, Action, Failure, explain

if TYPE_CHECKING:
    from teleporter_lab.engine.left_out import LeftOut
    from teleporter_lab.engine.part import Part
    from teleporter_lab.engine.run import Materializer


class Verdict(NamedTuple):
    """About records that a writer has named."""

    again: list[int]
    """The places of those that are tried again, in order."""
    out: list[int]
    """The places of those that are left out."""
    reload: bool


class Judge:
    """Asks the supervisor of one sink, and raises what it stops with."""

    __slots__ = ("_m", "name")

    def __init__(self, m: Materializer, name: str) -> None:
        self._m = m
        self.name = m.name or name

    async def about(self, failure: Failure, waited: bool = False) -> Action:
        """What is to be done now; its delay is over, unless it was `waited` for with the whole batch.

        There is always a pass of the loop between two tries, so that what fails for ever can be stopped.
        """
        decision = self._m.supervisor.decide(failure)
        if decision.action is Action.STOP:
            raise explain(failure.error, self.name, failure.element)
        waits = decision.action in AGAIN or not waited
        await self._m.clock.sleep(max(decision.delay, 0.0) if waits else 0.0)
        return decision.action

    async def about_each(self, part: Part, refused: dict[int, Exception], left: LeftOut) -> Verdict:
        """About each of the records `refused` of a part that has just failed; adds to `left` what is left out.

        The longest delay is waited for.
        """
        verdict, delay = Verdict([], [], reload=False), 0.0
        for place, error in sorted(refused.items()):
            row = part.data[place : place + 1]
            failure = Failure(error, self.name, rows_of(row)[0], part.tries, part.tokens)
            decision = self._m.supervisor.decide(failure)
            delay = max(delay, decision.delay)
            if decision.action is Action.STOP:
                raise explain(error, self.name, failure.element)
            if decision.action in AGAIN:
                verdict.again.append(place)
                verdict = verdict._replace(reload=verdict.reload or decision.action is Action.RELOAD)
            else:
                verdict.out.append(place)
                left.add(row, decision.action, failure)
        await self._m.clock.sleep(delay)
        return verdict
