"""The stage of retry_flow: one element at a time through a flow, until its result is good enough.

Owns the tries of one element, and how it is noticed that the flow does not give one element for one: the element goes
through it with a token of a window of its own. `errors` has the method. Refuses to judge a result; the user's function
does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.chunk import Chunk, Held
from teleporter_lab.engine.failure import FAILURES
from teleporter_lab.engine.lone_call import LoneCall, Missing
from teleporter_lab.engine.stage import Stage, Through, close_each
from teleporter_lab.engine.stages.nesting import Part, closed, inside
from teleporter_lab.engine.stages.transform import Rows
from teleporter_lab.engine.supervision import StopOnError, attempt
from teleporter_lab.engine.trials import own_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.backoff import Backoff
    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

A = TypeVar("A")
B = TypeVar("B")


class NotOneForOne(RuntimeError):
    """A flow gave more or less than one element for one that it got."""

    def __init__(self, gave: str) -> None:
        super().__init__(f"retry_flow needs a flow that gives one element for each, and this one gave {gave} for one.")


class Feed(Stage[A]):
    """What is above the flow: an element when one is given."""

    __slots__ = ("_given", "waiting")

    def __init__(self) -> None:
        super().__init__()
        self.waiting: Chunk[A] | None = None
        """Given, and not taken by the flow."""
        self._given = asyncio.Event()

    def give(self, chunk: Chunk[A]) -> None:
        self.waiting = chunk
        self._given.set()

    async def pull(self, n: int) -> Chunk[A] | None:
        while self.waiting is None:
            self._given.clear()
            await self._given.wait()
        chunk, self.waiting = self.waiting, None
        return chunk


class Tries(Generic[A, B]):
    """One element, what is sent in its place, and what has come of that."""

    __slots__ = ("chunk", "count", "due", "element", "result", "window")

    def __init__(self, chunk: Chunk[A]) -> None:
        self.chunk = chunk
        self.element: A = chunk.data[0]
        """What is sent."""
        self.count = 0
        """How often it was sent again."""
        self.due = 0.0
        self.window: AckWindow | None = None
        """Answers for what was sent, while it is in the flow."""
        self.result: Chunk[B] | Exception | None = None

    def again(self, element: A, due: float) -> None:
        self.element, self.due = element, due
        self.count += 1
        self.result = None


class RetryFlow(Through[A, B], Generic[A, B]):
    __slots__ = (
        "_backoff", "_call", "_clock", "_decide", "_ended", "_failure", "_feed", "_flow", "_fresh", "_held", "_last",
        "_m", "_part", "_tries",
    )  # fmt: skip

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, flow: Flow[A, B],
        how: tuple[Callable[[A, B | Exception], A | None], Backoff],
    ) -> None:  # fmt: skip
        super().__init__(Rows(upstream, m, name))
        self._m = inside(m)
        self._m.supervisor = StopOnError()
        self._clock = m.clock
        self._flow = flow
        self._decide, self._backoff = how
        self._call = LoneCall(m, name)
        self._held: Held[A] = Held()
        self._tries: Tries[A, B] | None = None
        self._feed: Feed[A] = Feed()
        self._part: Part[B] | None = None
        self._fresh = True
        """Whether the flow has given nothing yet."""
        self._last: AckWindow | None = None
        """That of the element before."""
        self._ended: tuple[Exception | None] | None = None
        """The flow has ended, or failed, and is to be closed."""
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[B] | None:
        while self._failure is None:
            tries = self._tries
            if tries is None:
                if not await self._read(n):
                    return None
            elif self._ended is not None:
                await self._finish(tries, *self._ended)
            elif tries.result is None:
                await self._send(tries)
            else:
                given = await self._judge(tries, tries.result)
                if given is not None:
                    return given
        raise self._failure

    async def _read(self, n: int) -> bool:
        """Whether there is a next element."""
        if not self._held.count:
            chunk = await self.upstream.pull(n)
            if chunk is None:
                return False
            self._held.add(chunk)
        self._tries = Tries(self._held.take(1))
        return True

    async def _send(self, tries: Tries[A, B]) -> None:
        """Sends the element and waits for what comes of it. Goes on waiting when called again."""
        early = tries.due - self._clock.now()
        if early > 0:
            await self._clock.sleep(early)
        if self._part is None:
            self._feed, self._fresh = Feed(), True
            feed = self._feed
            self._part = Part(self._m, lambda m: self._flow.attach(m, feed), fused=True)
        if tries.window is None:
            tries.window = AckWindow(1, on_change=self._settled)
            self._feed.give(Chunk([tries.element], (tries.window.open(1, None, 0.0),)))
        outcome = await attempt(self._part, 1)
        if not isinstance(outcome, Chunk):
            self._ended = (outcome,)
        elif any(token.window is self._last for token in outcome.tokens):
            self._ended = (NotOneForOne("more"),)
        else:
            self._last, tries.window, tries.result = tries.window, None, outcome
            self._fresh = False

    def _settled(self) -> None:
        """Something was settled inside the flow; that is all of the element where it gives nothing for it."""
        asyncio.get_running_loop().call_soon(self._look, self._tries)

    def _look(self, tries: Tries[A, B] | None) -> None:
        window = None if tries is None else tries.window
        if self._part is not None and window is not None and window.room == window.size:
            self._part.fail(NotOneForOne("nothing"))

    async def _finish(self, tries: Tries[A, B], error: Exception | None) -> None:
        """Closes the flow, which has ended or failed; the element is sent to the next one where it had ended before."""
        part, self._part = self._part, None
        if part is not None:
            await closed(part.close, error)
        self._ended = tries.window = None
        if error is None and self._feed.waiting is not None and not self._fresh:
            return
        error = error or NotOneForOne("nothing")
        if isinstance(error, NotOneForOne):
            self._fail(tries, error)
        else:
            tries.result = error

    async def _judge(self, tries: Tries[A, B], result: Chunk[B] | Exception) -> Chunk[B] | None:
        """What goes down; None when the element is sent again, is left out, or fails the stream."""
        try:
            again = await self._decided(tries, result)
            if again is not None and not isinstance(again, Missing):
                self._put_off(tries, result, again)
                return None
        except FAILURES as error:
            self._fail(tries, own_failure(error))
            return None
        if isinstance(again, Missing):
            self._leave_out(tries.chunk, again)
        elif isinstance(result, Exception):
            self._fail(tries, result)
        else:
            self._tries = None
            return Chunk(result.data, tries.chunk.tokens)
        return None

    async def _decided(self, tries: Tries[A, B], result: Chunk[B] | Exception) -> A | Missing | None:
        """What is to be sent in the place of the element, if anything."""
        backoff = self._backoff
        if 0 <= backoff.max_restarts <= tries.count:
            return None
        if isinstance(result, Exception) and not backoff.worth(result):
            return None
        value: Any = result if isinstance(result, Exception) else result.data[0]
        return await self._call.outcome(lambda: self._decide(tries.element, value), tries.element, tries.chunk.tokens)

    def _put_off(self, tries: Tries[A, B], result: Chunk[B] | Exception, again: A) -> None:
        backoff = self._backoff
        delay = backoff.delay(tries.count)
        tries.again(again, self._clock.now() + delay)
        if backoff.on_restart is not None:
            backoff.on_restart(result if isinstance(result, Exception) else None, tries.count, delay)

    def _leave_out(self, chunk: Chunk[A], why: Missing) -> None:
        self._tries = None
        if chunk.tokens:
            chunk.tokens[-1].account(why.account, 1)
        chunk.confirm()

    def _fail(self, tries: Tries[A, B], error: Exception) -> None:
        self._tries, self._failure = None, error
        tries.chunk.refuse(error)

    async def on_close(self) -> None:
        if self._part is None:
            await self.upstream.close()
        else:
            await close_each(self._part.close, self.upstream.close)
