"""What is delivered again, and when: records that were not confirmed in time, or were given back.

Owns the one timer of a source with acks, set to the oldest deadline while something is un-confirmed, and the decisions:
too old is delivered again, too often or given back is for the supervision to decide. Refuses to know the stream
(`stages.source_ack` hands out what is due) and to count confirmations (`ack` does).
"""

from __future__ import annotations

import asyncio
import heapq
import json
from collections import deque
from dataclasses import dataclass, replace
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.left_out import PUT_ASIDE, LeftOut
from teleporter_lab.engine.stage import stop
from teleporter_lab.engine.supervision import AGAIN, Action, Decision, Failure
from teleporter_lab.errors import NotConfirmed

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.token import Span

T = TypeVar("T")

TINY = 1e-6
"""What a deadline may be off by, in seconds."""

SHARE = 0.01
"""The part of the maximal age that passes at least between two looks at everything that is un-confirmed."""

SHOWN = 100
"""Characters of a position that a message shows."""


@dataclass(frozen=True, slots=True)
class AckPolicy:
    """How long a record may wait for confirmation, and how often it is delivered for want of it."""

    max_age: float = inf
    """Seconds since it was delivered last."""
    max_deliveries: int = -1
    """-1: without end."""

    def __post_init__(self) -> None:
        if not self.max_age > 0:
            raise ValueError(f"source_ack needs a max_age of more than 0 seconds, not {self.max_age}.")
        if self.max_deliveries < 1 and self.max_deliveries != -1:
            raise ValueError(f"source_ack needs max_deliveries of 1 or more, or -1, not {self.max_deliveries}.")

    @property
    def ages(self) -> bool:
        """Whether records ever become too old."""
        return self.max_age < inf

    def exhausted(self, span: Span) -> bool:
        """Whether it was delivered as often as it may be."""
        return 0 <= self.max_deliveries <= span.tries


class Case:
    """One delivery that has not come to a good end."""

    __slots__ = ("aside", "decision", "error", "failure", "generation", "span")

    def __init__(self, span: Span, error: Exception | None) -> None:
        self.span = span
        self.generation = span.generation
        self.error = error
        """What somebody has to decide about; None: it is delivered again without asking."""
        self.failure: Failure | None = None
        self.decision: Decision | None = None
        """Taken, and not carried out yet."""
        self.aside = 0
        """Records that are stored as dead letters."""

    @property
    def settled(self) -> bool:
        """Confirmed meanwhile, or delivered anew."""
        return not self.span.pending or self.span.generation != self.generation


class Redelivery(Generic[T]):
    """What is due of one window. `wake` is called when there is something; `next` gives it out."""

    __slots__ = (
        "_cases", "_failed", "_later", "_m", "_name", "_order", "_policy", "_ready", "_rest", "_rested", "_sooner",
        "_stopped", "_timer", "_wake", "_window", "due",
    )  # fmt: skip

    def __init__(
        self, m: Materializer, name: str, window: AckWindow, policy: AckPolicy, wake: Callable[[], None]
    ) -> None:
        self._m = m
        self._name = name
        self._window = window
        self._policy = policy
        self._wake = wake
        self.due = False
        """Whether `next` has something to do."""
        self._cases: dict[Span, Case] = {}
        self._ready: deque[Case] = deque()
        self._later: list[tuple[float, int, Case]] = []
        """A heap of those whose decision has a delay, by the time it ends."""
        self._order = count()
        self._rest: Chunk[T] | None = None
        """Of a delivery that was larger than the demand."""
        self._timer: asyncio.Task[None] | None = None
        self._sooner: asyncio.Future[None] | None = None
        """Ends the present wait of the timer."""
        self._rested = 0.0
        self._stopped = False
        self._failed = False
        """The stream was told what it fails with."""

    @property
    def waits(self) -> bool:
        """Whether something is to be delivered, now or after a delay."""
        return self.due or bool(self._later)

    def watch(self) -> None:
        """Something is un-confirmed: starts the timer where it does not run."""
        if self._timer is None and not self._stopped:
            self._timer = self._m.spawn(self._watching())

    async def _watching(self) -> None:
        clock = self._m.clock
        while (at := self._deadline()) < inf:
            self._sooner = asyncio.get_running_loop().create_future()
            await clock.wait((self._sooner,), max(at - clock.now(), 0.0))
            self._look(clock.now())
        self._timer = None

    def _deadline(self) -> float:
        """When there is something to look at; never, when nothing is un-confirmed."""
        at = self._later[0][0] if self._later else inf
        if self._policy.ages:
            ages = (span.since for span in self._window.unconfirmed() if span not in self._cases)
            at = min(at, max(min(ages, default=inf) + self._policy.max_age, self._rested))
        return at

    def _look(self, now: float) -> None:
        """Finds what has become due."""
        while self._later and self._later[0][0] <= now + TINY:
            self._ready.append(heapq.heappop(self._later)[2])
        if self._policy.ages:
            self._rested = now + self._policy.max_age * SHARE
            for span in self._window.unconfirmed():
                if span.since + self._policy.max_age <= now + TINY and span not in self._cases:
                    self._open(Case(span, None))
        self._tell()

    def stop(self) -> None:
        """Nothing is delivered any more."""
        self._stopped = True
        if self._timer is not None:
            stop(self._timer)

    def nacked(self, span: Span, error: Exception) -> None:
        """A piece of the last delivery of `span` was given back."""
        case = self._cases.get(span)
        if case is None:
            self._open(Case(span, error))
            self._tell()
        elif case.error is None:
            case.error = error

    def _open(self, case: Case) -> None:
        self._cases[case.span] = case
        self._ready.append(case)

    def _tell(self) -> None:
        if self._ready and not self._stopped:
            self.due = True
            self._wake()

    async def next(self, n: int) -> Chunk[T] | None:
        """Up to `n` elements of what is due; None when what was due came to nothing. Raises what a rule stops with.

        May be cancelled and called again.
        """
        await self._m.runtime.turnstile.turn()
        chunk, self._rest = self._rest, None
        if chunk is None or chunk.tokens[0].generation != chunk.tokens[0].span.generation:
            chunk = await self._delivered()
        if chunk is not None and len(chunk) > n:
            chunk, self._rest = chunk.split(n)
        self.due = bool(self._ready) or self._rest is not None
        return chunk

    async def _delivered(self) -> Chunk[T] | None:
        """The records of the first case, if they are to be delivered again."""
        if not self._ready or not await self._again(self._ready[0]):
            return None
        span = self._close(self._ready[0]).span
        token = self._window.redeliver(span, self._m.clock.now())
        if self._policy.ages:
            self.watch()
        return Chunk(span.data, (token,))

    def _close(self, case: Case) -> Case:
        self._ready.popleft()
        del self._cases[case.span]
        return case

    async def _again(self, case: Case) -> bool:
        """Whether it is delivered again, now. Where it is not, it has left the queue. Raises what a rule stops with."""
        if case.settled:
            self._close(case)
            return False
        failure, decision = self._decided(case)
        if failure is None:
            return True
        if decision.action is Action.STOP:
            self._failed = True
            raise failure.error
        if decision.delay > 0:
            self._put_off(case, decision)
            return False
        if decision.action in AGAIN:
            await self._m.clock.sleep(0.0)  # lets others run, or what always fails could never be stopped
            return not case.settled
        await self._leave_out(case, failure, decision.action)
        return False

    def _decided(self, case: Case) -> tuple[Failure | None, Decision]:
        """What a rule says about it; a failure of None: nobody has to be asked."""
        span = case.span
        if case.error is None and self._policy.exhausted(span):
            case.error = not_confirmed(span, self._policy)
        if case.error is None:
            return None, Decision(Action.RETRY)
        if case.decision is None or case.failure is None:
            span.failures += 1
            case.failure = Failure(case.error, self._name, span.data, span.failures, at=span.position)
            case.decision = self._m.supervisor.decide(case.failure)
        return case.failure, case.decision

    def _put_off(self, case: Case, decision: Decision) -> None:
        self._ready.popleft()
        at = self._m.clock.now() + decision.delay
        case.decision = replace(decision, delay=0.0)
        heapq.heappush(self._later, (at, next(self._order), case))
        if self._sooner is not None and not self._sooner.done():
            self._sooner.set_result(None)
        self.watch()

    async def _leave_out(self, case: Case, failure: Failure, action: Action) -> None:
        """Skips the records, or stores each of them as a dead letter, and confirms them."""
        span = case.span
        if action is Action.DEAD_LETTER:
            while case.aside < span.count:
                part: Any = span.data[case.aside : case.aside + PUT_ASIDE]
                letters = LeftOut(self._m)
                letters.add(part, action, failure)
                await letters.put_aside()
                case.aside += len(part)
        if not case.settled:
            self._window.leave_out(span, "skipped" if action is Action.RESUME else "dead_lettered")
        self._close(case)

    async def finish(self) -> None:
        """The stream has ended: decides about what was given back and is still undecided.

        Raises the first error for which a rule says stop, or another delivery, which there is none of any more.
        """
        self._ready.extend(case for _, _, case in self._later)
        self._later.clear()
        while self._ready and not self._failed:
            case = self._ready[0]
            if case.settled or case.error is None:
                self._close(case)
                continue
            failure, decision = self._decided(case)
            if failure is not None and (decision.action is Action.STOP or decision.action in AGAIN):
                raise failure.error
            if failure is not None:
                await self._leave_out(case, failure, decision.action)


def not_confirmed(span: Span, policy: AckPolicy) -> NotConfirmed:
    """The failure of a span that was delivered as often as it may be."""
    position = json.dumps(span.position, ensure_ascii=False, default=repr)
    shown = position if len(position) <= SHOWN else f"{position[:SHOWN]}…"
    records = "1 record was" if span.count == 1 else f"{span.count:,} records were"
    often = "once" if span.tries == 1 else f"{span.tries} times"
    age = f"{policy.max_age:g} s" if policy.ages else "time"
    return NotConfirmed(
        f"{records} delivered {often}, up to position {shown}, and never confirmed within {age}: "
        "see what holds the sink up, or allow a larger maxAge or more maxDeliveries."
    )
