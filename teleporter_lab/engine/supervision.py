"""What happens when a user's function fails: one place for every operator that calls one.

Owns the decision loop (retry, resume, stop) and the chunk loop that survives it: an element that fails leaves its
neighbours alone, what came before it still goes out, order is kept. Refuses to know rules; a `Supervisor` decides.

The loop hands the whole chunk to C code (`out.extend(map(f, it))`) and learns from the iterator where it stopped, so
supervision costs nothing while nothing fails.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from enum import Enum
from operator import length_hint
from reprlib import Repr
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.chunk import Chunk, account_change
from teleporter_lab.engine.failure import (
    FAILURES,
    Interrupted,
    RowsNeeded,
    StoppedIteration,
    cancel_requested,
    failure_of,
)
from teleporter_lab.engine.stage import Stage, Through, close_each, close_fully

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.endpoints import Position
    from teleporter_lab.engine.run import Materializer

A = TypeVar("A")
B = TypeVar("B")


class Action(Enum):
    """What to do about a failure."""

    STOP = "stop"
    RESUME = "resume"
    """Leave the element out and go on."""
    RETRY = "retry"
    """The same element again."""
    RELOAD = "reload"
    """Close, open, and the same element again; where there is nothing to open, like RETRY."""
    DEAD_LETTER = "deadLetter"
    """Put the element aside with its error and go on."""


AGAIN = frozenset({Action.RETRY, Action.RELOAD})


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, after a delay in seconds."""

    action: Action
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """An error, the operator it came from, and how often this element has failed there by now (1 = first time)."""

    error: Exception
    stage: str
    element: Any
    tries: int
    tokens: tuple[Token, ...] = ()
    """Of the chunk that the element came in."""
    at: Position | None = None
    """Where a source was that has failed itself."""

    @property
    def position(self) -> Position | None:
        """Where its source was behind that chunk; None without acks."""
        return self.tokens[-1].span.position if self.tokens else self.at


class Supervisor(Protocol):
    """Decides about failures; the error rules of a stream are one."""

    def decide(self, failure: Failure) -> Decision: ...


class DeadLetters(Protocol):
    """A place for elements that were put aside."""

    async def put(self, failure: Failure) -> None:
        """Stores the element with its error; when it returns both are stored. May be called again when cancelled."""
        ...


class NoPlaceForDeadLetters(RuntimeError):
    """A rule said deadLetter in a stream that has no place for them."""

    def __init__(self) -> None:
        super().__init__(
            "The rule says deadLetter, and the stream has no place for dead letters: add dead_letter(sink)."
        )


async def put_aside(m: Materializer, failure: Failure) -> None:
    """Stores the element as a dead letter. Raises NoPlaceForDeadLetters from its error where there is no place."""
    if m.dead_letters is None:
        raise NoPlaceForDeadLetters from failure.error
    await m.dead_letters.put(failure)


class StopOnError:
    """The default: the stream fails with the user's own error."""

    def decide(self, failure: Failure) -> Decision:
        return Decision(Action.STOP)


class Resume:
    """Leaves out every element that fails."""

    def decide(self, failure: Failure) -> Decision:
        return Decision(Action.RESUME)


class Retry:
    """Tries an element again up to `retries` times, `delay` seconds apart, then stops."""

    def __init__(self, retries: int, delay: float = 0.0) -> None:
        self._retries = retries
        self._delay = delay

    def decide(self, failure: Failure) -> Decision:
        return Decision(Action.RETRY, self._delay) if failure.tries <= self._retries else Decision(Action.STOP)


SHOWN = 200
"""Characters of an element that a note shows."""


def explain(error: Exception, stage: str, element: Any, where: str = "on the element") -> Exception:
    """`error` with a note that says where it happened; the element is cut to `SHOWN` characters."""
    show = Repr()
    show.maxdict = show.maxlist = show.maxtuple = show.maxset = 12
    show.maxstring = show.maxother = show.maxlong = SHOWN
    shown = show.repr(element)
    error.add_note(f"In {stage}, {where} {shown if len(shown) <= SHOWN else shown[:SHOWN] + '…'}")
    return error


def _exhausted(elements: Iterator[Any]) -> bool:
    """Whether a list's iterator was asked for one element too many; one that was cut short still knows its list."""
    return len(elements.__reduce__()) == 2  # type: ignore[arg-type]


class _Broken(Generic[A, B]):
    """A chunk whose work was broken off by a failing element, or is being done in a thread, and how far it has come."""

    __slots__ = ("aside", "chunk", "decision", "elements", "error", "out", "rest", "skipped", "todo", "tries")

    def __init__(self, chunk: Chunk[A], elements: Iterator[A], out: list[B], error: Exception | None) -> None:
        self.chunk = chunk
        self.elements = elements
        self.out = out
        self.error = error
        """What is to be decided about."""
        self.todo = elements if error is None else None
        """What is worked next: one element again, or all that are left."""
        self.tries = 1
        self.skipped = 0
        self.aside = 0
        self.decision: Decision | None = None
        """Taken, and not carried out yet."""
        self.rest: Chunk[B] | None = None
        """Ready to go out."""

    @property
    def element(self) -> A:
        """The one that failed."""
        data = self.chunk.data
        return data[len(data) - length_hint(self.elements) - 1]

    def worked(self, error: Exception | None) -> None:
        """What was to do is done, or has failed with `error`."""
        again, self.todo, self.error = self.todo is not self.elements, None, error
        self.tries = self.tries + 1 if again and error is not None else 1
        if again and error is None:
            self.todo = self.elements


class Supervised(Through[A, B], Generic[A, B]):
    """An operator that calls a user's function for each element; subclasses say how a run of elements is worked.

    With `blocking` the work is done in a driver thread, a chunk a call.
    """

    __slots__ = ("_broken", "_busy", "_calls", "_failure", "_run", "name", "over")

    def __init__(self, upstream: Stage[A], m: Materializer, name: str, blocking: bool = False) -> None:
        super().__init__(upstream)
        self.name = m.name or name
        self._run = m
        self._busy = m.busy
        self._broken: _Broken[A, B] | None = None
        self._calls: OneCall[Exception | None] | None = OneCall(m.runtime.threads) if blocking else None
        self._failure: Exception | None = None
        self.over = False
        """Set by an operator that has seen enough: what is above is closed after this chunk."""

    def work(self, elements: Iterator[A], out: list[B]) -> None:
        """Appends the results for all `elements`, one by one, so that what was done before an error stays."""
        raise AssertionError(f"{type(self).__name__} does not say what it works")

    def reopen(self) -> None:
        """A rule says reload: what is open is opened anew before the element is tried again. Here nothing is."""

    async def pull(self, n: int) -> Chunk[B] | None:
        while True:
            if self._broken is not None:
                given = await self._mend(self._broken, n)
            elif self._failure is not None:
                raise self._failure
            elif self.over:
                await close_fully(self.upstream.close)
                return None
            else:
                chunk = await self.upstream.pull(n)
                if chunk is None:
                    return None
                given = self._worked(chunk)
            if given is not None:
                return given

    def _worked(self, chunk: Chunk[A]) -> Chunk[B] | None:
        """The results of a chunk; None when there are none, when it broke, or when a thread has to do it."""
        data = chunk.data
        if type(data) is not list:
            self._failure = RowsNeeded(self.name)
            chunk.refuse(self._failure)
            return None
        elements = iter(data)
        out: list[B] = []
        error = self._guarded(elements, out) if self._calls is None else None
        if error is None and self._calls is None:
            return self._given(chunk, out)
        self._broken = _Broken(chunk, elements, out, error)
        return None

    def _given(self, chunk: Chunk[A], out: list[B], skipped: int = 0, aside: int = 0) -> Chunk[B] | None:
        """What goes down of a chunk that was worked to its end; None when that is nothing."""
        if chunk.tokens:
            if skipped:
                chunk.tokens[-1].account("skipped", skipped)
            if aside:
                chunk.tokens[-1].account("dead_lettered", aside)
            account_change(chunk.tokens, len(chunk) - skipped - aside, len(out))
        if out:
            return Chunk(out, chunk.tokens)
        chunk.confirm()
        return None

    def _guarded(self, elements: Iterator[A], out: list[B]) -> Exception | None:
        started = time.perf_counter()
        try:
            self.work(elements, out)
        except FAILURES as error:
            return failure_of(error)  # nothing is awaited in there, so no cancellation is meant for us
        finally:
            if self._calls is None:
                self._busy.seconds += time.perf_counter() - started
        return None if _exhausted(elements) else StoppedIteration()

    async def _mend(self, broken: _Broken[A, B], n: int) -> Chunk[B] | None:
        """Up to `n` of the results that can be saved. May be cancelled and called again."""
        if broken.rest is None:
            await self._rescue(broken)
            if self._failure is not None:
                broken.rest = self._part(broken, self._failure)
            else:
                broken.rest = self._given(broken.chunk, broken.out, broken.skipped, broken.aside)
        given = broken.rest
        self._broken = None
        if given is not None and len(given) > n:
            given, broken.rest = given.split(n)
            self._broken = broken
        return given

    async def _rescue(self, broken: _Broken[A, B]) -> None:
        """Works on after an error, element by element where it must. Sets `_failure` on stop."""
        while self._failure is None:
            if broken.todo is not None:
                if self._calls is None:
                    broken.worked(self._guarded(broken.todo, broken.out))
                else:
                    started = time.perf_counter()
                    broken.worked(await self._calls.call(self._guarded, broken.todo, broken.out))
                    self._busy.seconds += time.perf_counter() - started
            elif broken.error is not None:
                await self._decide(broken, broken.error)
            else:
                return

    async def _decide(self, broken: _Broken[A, B], error: Exception) -> None:
        """What becomes of the element that failed with `error`."""
        element = broken.element
        failure = Failure(error, self.name, element, broken.tries, broken.chunk.tokens)
        decision = broken.decision or self._run.supervisor.decide(failure)
        if decision.action is Action.STOP:
            self._failure = explain(error, self.name, element)
            return
        broken.decision = decision
        await wait_before(decision, self._run)
        if decision.action is Action.RELOAD:
            self.reopen()
        elif decision.action is Action.DEAD_LETTER:
            try:
                await put_aside(self._run, failure)
            except Exception as lost:  # noqa: BLE001 - raised when everything before it went out
                self._failure = explain(lost, self.name, element)
                return
            broken.aside += 1
        elif decision.action is Action.RESUME:
            broken.skipped += 1
        broken.decision = broken.error = None
        broken.todo = iter([element]) if decision.action in AGAIN else broken.elements

    def _part(self, broken: _Broken[A, B], failure: Exception) -> Chunk[B] | None:
        """What came before the failed element; the error itself is raised by the next pull."""
        chunk = broken.chunk
        if not broken.out:
            chunk.refuse(failure)
            return None
        for token in chunk.tokens:
            token.retain()
        chunk.refuse(failure)
        return Chunk(broken.out, chunk.tokens)

    async def on_close(self) -> None:
        if self._calls is None:
            await self.upstream.close()
        else:
            await close_each(self._calls.settle, self.upstream.close)


async def wait_before(decision: Decision, m: Materializer) -> None:
    """The delay of a decision; a retry without one lets others run, or it could never be stopped."""
    if decision.delay > 0 or decision.action in AGAIN:
        await m.clock.sleep(max(decision.delay, 0.0))


async def attempt(upstream: Stage[A], n: int) -> Chunk[A] | Exception | None:
    """A pull whose error is given back, for a stage that has something to hand out before it raises it."""
    try:
        return await upstream.pull(n)
    except asyncio.CancelledError:
        if cancel_requested():
            raise
        return Interrupted()
    except Exception as error:  # noqa: BLE001 - the caller raises it
        return error


async def supervise(m: Materializer, call: Callable[[], Any], failure: Failure) -> Action:
    """The decision loop for one asynchronous call that has failed for the first time; raises its error on stop.

    RETRY: the call was made again and went well. RESUME: the element is left out. DEAD_LETTER: it was put aside.
    """
    while True:
        decision = m.supervisor.decide(failure)
        if decision.action is Action.STOP:
            raise explain(failure.error, failure.stage, failure.element)
        await wait_before(decision, m)
        if decision.action is Action.DEAD_LETTER:
            await put_aside(m, failure)
        if decision.action not in AGAIN:
            return decision.action
        try:
            await call()
        except Exception as again:  # noqa: BLE001 - this is the supervision
            failure = replace(failure, error=again, tries=failure.tries + 1)
        else:
            return Action.RETRY
