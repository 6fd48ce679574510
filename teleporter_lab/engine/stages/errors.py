"""Operators that change what an error does to the stream below: recover, recover_with, map_error, on_error_complete,
on_error_continue, retry_flow.

Owns their methods, and the stages that see an error pass; `retrying` sends an element again. An element's own failure
is the supervision's matter: `on_error_continue` is one, the others see what it let through. Records that have failed
stay un-confirmed, whatever is given in their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from teleporter_lab.engine.backoff import concerns
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import FAILURES, failure_of
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import Stage, Through, close_each
from teleporter_lab.engine.stages.flattening import check_source
from teleporter_lab.engine.stages.nesting import Part, closed, inside
from teleporter_lab.engine.stages.retrying import RetryFlow
from teleporter_lab.engine.supervision import Action, Decision, attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.backoff import Backoff, Which
    from teleporter_lab.engine.graph import Flow, Source
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.supervision import Failure

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")
B = TypeVar("B")


class Recovering(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def recover(self, function: Callable[[Exception], Out]) -> Flow[In, Out]:
        """Gives `function(error)` as a last element when what is above fails, then the end.

        Emits when: there is input, or what is above has failed.
        Completes when: its input does, or has failed.
        Tokens: pass unchanged; the failed records stay un-confirmed, and the last element answers for none.
        Supervised: no. An error of `function` fails the stream.
        """
        return self.then(named("recover", function), lambda _, up: Recover(up, function))

    def recover_with(self, retries: int, function: Callable[[Exception], Source[Out] | None]) -> Flow[In, Out]:
        """Goes on with the source `function(error)` when what is above fails, which is closed first.

        The same when that source fails, up to `retries` times in all; -1 is for ever. None lets the error pass. To try
        the same again after a delay, use `restart_source`.

        Emits when: there is input, or the source in its place has an element.
        Completes when: its input does, or the source in its place.
        Cancels when: what is below does; the input also when it has failed.
        Tokens: pass unchanged; the failed records stay un-confirmed.
        Supervised: no. An error of `function` fails the stream.
        Like: Pekko's recoverWithRetries.
        """
        if retries < -1:
            raise ValueError(f"recover_with needs retries of 0 or more, or -1 for ever, not {retries}")
        return self.then(named("recover_with", function), lambda m, up: RecoverWith(up, m, function, retries))

    def map_error(self, function: Callable[[Exception], Exception]) -> Flow[In, Out]:
        """Fails with `function(error)` when what is above fails with `error`, which becomes its cause.

        Emits when: there is input.
        Supervised: no. An error that `function` raises takes the place of the other.
        """
        return self.then(named("map_error", function), lambda _, up: MapError(up, function))

    def on_error_complete(self, when: Which | None = None) -> Flow[In, Out]:
        """Ends instead of failing when what is above fails with an error that `when` is about.

        `when` is a class of errors, several of them, or a function that is true for them; without it all are meant.

        Emits when: there is input.
        Completes when: its input does, or has failed.
        Tokens: pass unchanged; the failed records stay un-confirmed.
        Supervised: no. An error of `when` fails the stream.
        """
        name = named("on_error_complete", when) if callable(when) else "on_error_complete"
        return self.then(name, lambda _, up: OnErrorComplete(up, when))

    def on_error_continue(self, function: Callable[[Exception, Any], object]) -> Flow[In, Out]:
        """Leaves out every element that fails in the flow so far, and calls `function(error, element)` for each.

        It is an attribute, like `with_attributes(supervisor=...)`: what was set nearer to an operator wins. An error
        that is no element's, such as that of a source, fails the stream as ever.

        Emits when: there is input.
        Tokens: those of what is left out are confirmed, and counted as skipped.
        Supervised: no. An error of `function` stops the stream with the element's own error.
        """
        telling = Telling(function)
        return cast("Flow[In, Out]", self).within(lambda m: m.within(name=m.name, supervisor=telling))

    def retry_flow(
        self, flow: Flow[Out, B], decide: Callable[[Out, B | Exception], Out | None], backoff: Backoff
    ) -> Flow[In, B]:
        """Sends each element through `flow`, again and again as long as `decide` says so.

        `flow` gives exactly one element for each; what does not fails the stream. One element is in it at a time, so
        order is kept. `decide(x, result)` is asked about what came of `x`, an element or the error that `flow` failed
        with: it gives what to send next in the place of `x`, or None to let the result pass. A flow that has failed is
        made anew. `backoff` says how long to wait, and how often one element is sent again at the most; then its last
        result passes. A result that is an error fails the stream.

        Emits when: the flow has given a result for an element that `decide` lets pass.
        Waits when: nothing below asks, the flow is at work, or the next try is not due.
        Tokens: stay here while the flow is at work, and go down with the result.
        Supervised: yes, `decide` by element. An error inside `flow` stops it, whatever the rules say: `decide` is one.
        Like: Pekko's RetryFlow.withBackoff.
        """
        name = named("retry_flow", decide)
        return self.then(name, lambda m, up: RetryFlow(up, m, name, flow, (decide, backoff)))


def because(failed: BaseException, error: Exception) -> Exception:
    """What a function failed with that was called because of `error`."""
    failure = failure_of(failed)
    if failure is not error and failure.__cause__ is None:
        failure.__cause__ = error
    return failure


class Recover(Through[T, T]):
    __slots__ = ("_failure", "_function", "_over")

    def __init__(self, upstream: Stage[T], function: Callable[[Exception], T]) -> None:
        super().__init__(upstream)
        self._function = function
        self._over = False
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if not self._over:
            outcome = await attempt(self.upstream, n)
            if not isinstance(outcome, Exception):
                return outcome
            self._over = True
            try:
                return Chunk([self._function(outcome)])
            except FAILURES as error:
                self._failure = because(error, outcome)
        if self._failure is not None:
            raise self._failure
        return None


class MapError(Through[T, T]):
    __slots__ = ("_failure", "_function")

    def __init__(self, upstream: Stage[T], function: Callable[[Exception], Exception]) -> None:
        super().__init__(upstream)
        self._function = function
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._failure is None:
            outcome = await attempt(self.upstream, n)
            if not isinstance(outcome, Exception):
                return outcome
            self._failure = self._mapped(outcome)
        raise self._failure

    def _mapped(self, error: Exception) -> Exception:
        try:
            mapped: Any = self._function(error)
        except FAILURES as failed:
            return because(failed, error)
        if not isinstance(mapped, Exception):
            mapped = TypeError(f"map_error needs a function that gives an error, and it gave {mapped!r}")
        return because(mapped, error)


class OnErrorComplete(Through[T, T]):
    __slots__ = ("_failure", "_over", "_when")

    def __init__(self, upstream: Stage[T], when: Which | None) -> None:
        super().__init__(upstream)
        self._when = when
        self._over = False
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if not self._over:
            outcome = await attempt(self.upstream, n)
            if isinstance(outcome, Chunk):
                return outcome
            self._over = True
            if outcome is not None:
                self._failure = self._passing(outcome)
        if self._failure is not None:
            raise self._failure
        return None

    def _passing(self, error: Exception) -> Exception | None:
        """What the stream fails with, if it does."""
        try:
            return None if self._when is None or concerns(self._when, error) else error
        except FAILURES as failed:
            return because(failed, error)


class RecoverWith(Through[T, T]):
    __slots__ = ("_error", "_failure", "_function", "_left", "_m", "_part")

    def __init__(
        self, upstream: Stage[T], m: Materializer, function: Callable[[Exception], Source[T] | None], retries: int
    ) -> None:
        super().__init__(upstream)
        self._m = inside(m)
        self._function = function
        self._left = retries
        self._part: Part[T] | None = None
        """The source in the place of what has failed."""
        self._error: Exception | None = None
        """What it, or what is above, has failed with, before something was put in its place."""
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        while self._failure is None:
            if self._error is not None:
                await self._replace(self._error)
                continue
            outcome = await attempt(self._part or self.upstream, n)
            if not isinstance(outcome, Exception):
                return outcome
            self._error = outcome
        raise self._failure

    async def _replace(self, error: Exception) -> None:
        if self._left == 0:
            self._failure = error
            return
        await closed(self.upstream.close if self._part is None else self._part.close, error)
        self._error = None
        self._left -= 1
        try:
            source = self._function(error)
            if source is None:
                self._failure = error
            else:
                check_source(source, "The function")
                self._part = Part(self._m, source.attach, fused=True)
        except FAILURES as failed:
            self._failure = because(failed, error)

    async def on_close(self) -> None:
        if self._part is None:
            await self.upstream.close()
        else:
            await close_each(self._part.close, self.upstream.close)


class Telling:
    """Leaves out every element that fails, and tells."""

    def __init__(self, function: Callable[[Exception, Any], object]) -> None:
        self._function = function

    def decide(self, failure: Failure) -> Decision:
        try:
            self._function(failure.error, failure.element)
        except FAILURES as error:
            failure.error.add_note(f"The function of on_error_continue failed: {failure_of(error)!r}")
            return Decision(Action.STOP)
        return Decision(Action.RESUME)
