"""Streams that are started again when they fail: restart_source, restart_flow, restart_sink.

Owns their blueprints and stages. Each start makes fresh stages, in a scope of its own, so that a side task that fails
is a failure of that part and of nothing else. Refuses to send anything again: what was inside a part that failed stays
un-confirmed, and its source delivers it again or its position is not committed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from teleporter_lab.engine.backoff import Backoff, Restarts
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import FAILURES, Interrupted, cancel_requested, failure_of
from teleporter_lab.engine.graph import Flow, Sink, Source, source
from teleporter_lab.engine.loan import Loans, returned
from teleporter_lab.engine.operators import named
from teleporter_lab.engine.stage import Stage, Terminal, Through, close_each, close_fully, give_up
from teleporter_lab.engine.stages.flattening import check_flow, check_source
from teleporter_lab.engine.stages.nesting import Alone, Part, closed, inside
from teleporter_lab.engine.supervision import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.run import Materializer

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")
M = TypeVar("M")

On = Literal["failure", "end"]
"""What starts a part again: its failures, or its ends as well."""


def restart_source(backoff: Backoff, make: Callable[[], Source[T]], on: On = "failure") -> Source[T]:
    """What the source `make()` gives; when it fails another one is made, after the delay that `backoff` says.

    `on="end"` does so when it ends, too. A source with an ack window needs a new window in each `make`, and begins
    where the last one has committed. What the sources publish cannot be asked for. Stopping the stream while it waits
    for the next start ends it at once.

        restart_source(Backoff(1, 60), lambda: read_from("orders", make_reader, position()).map(parse))

    Emits when: the source does.
    Waits when: nothing below asks, or the next start is not due.
    Completes when: the source does, unless `on="end"`; it fails with the last error when `backoff` gives up.
    Tokens: those of the sources; what was inside one that failed stays un-confirmed.
    Supervised: no. An error of `make` is a failure like others; one of the functions of `backoff` fails the stream.
    Like: Pekko's RestartSource.onFailuresWithBackoff, and withBackoff with `on="end"`.
    """
    _check(on)
    return source(named("restart_source", make), lambda m: RestartSource(m, Restarts(backoff, m.clock), make, on))


def restart_flow(backoff: Backoff, make: Callable[[], Flow[A, B]], on: On = "failure") -> Flow[A, B]:
    """Sends elements through the flow `make()`; when it fails another one is made, after the delay `backoff` says.

    `on="end"` does so when it ends before its input, too. An error of what is above is not restarted: it passes
    through the flow, and fails the stream. Nothing is sent again: elements that were inside the failed flow, with the
    rest of the chunk that failed, are missing below. They stay un-confirmed, so a source with acks delivers them again,
    or begins with them after the next start of the stream; without acks they are lost. `with_attributes(chunk=1)` above
    makes the chunk one element. What the flows publish cannot be asked for.

    Emits when: the flow does.
    Waits when: nothing below asks, or the next start is not due.
    Completes when: the flow does, unless `on="end"` and there is more input; it fails with the last error when
    `backoff` gives up.
    Cancels when: what is below does, or the flow has ended for good.
    Tokens: as the flow does. What was inside one that failed is refused with its error.
    Supervised: no. An error of `make` is a failure like others; one of the functions of `backoff` fails the stream.
    Like: Pekko's RestartFlow.onFailuresWithBackoff, and withBackoff with `on="end"`.
    """
    _check(on)
    return Flow[A, A]().then(
        named("restart_flow", make), lambda m, up: RestartFlow(up, m, Restarts(backoff, m.clock), make, on)
    )


def restart_sink(backoff: Backoff, make: Callable[[], Sink[A, M]], on: On = "failure") -> Sink[A, M]:
    """Sends elements to the sink `make()`; when it fails another one is made, after the delay that `backoff` says.

    `on="end"` does so when it ends before its input, too. The result is that of the last sink. Nothing is sent again:
    elements that the failed sink has taken and not stored stay un-confirmed, so a source with acks delivers them again,
    or begins with them after the next start of the stream; without acks they are lost. What the sinks publish cannot be
    asked for.

    Takes when: the sink does; nothing while the next start is not due.
    Completes when: its input does, or the sink, unless `on="end"`; it fails with the last error when it gives up.
    Tokens: as the sink does. What one that failed has taken and not settled is refused with its error.
    Supervised: no. An error of `make` is a failure like others; one of the functions of `backoff` fails the stream.
    Like: Pekko's RestartSink.withBackoff, with `on="end"`.
    """
    _check(on)
    return Sink(named("restart_sink", make), lambda m, up: RestartSink(up, m, Restarts(backoff, m.clock), make, on))


def _check(on: str) -> None:
    if on not in ("failure", "end"):
        raise ValueError(f'on says what is started again: "failure", or "end" for both, not {on!r}')


class Lent(Through[T, T]):
    """What is above a part, lent to it: closing the part does not close it, and what the part took is remembered.

    While it is withheld, nothing more is given to sinks of the part that have not been stopped yet: what they settled
    alone would be missing in the next part. What was read already is `kept` for that one.
    """

    __slots__ = ("_given", "_loans", "failure", "kept", "over")

    def __init__(self, upstream: Stage[T], kept: Chunk[T] | None = None) -> None:
        super().__init__(upstream)
        self._loans = Loans()
        self._given = asyncio.Event()
        self._given.set()
        self.kept = kept
        self.over = False
        """Whether there is no more input; `failure` is why, where it has failed."""
        self.failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        await self._given.wait()
        if self.kept is None:
            outcome = await attempt(self.upstream, n)
            if not isinstance(outcome, Chunk):
                self.over, self.failure = True, outcome
                if outcome is not None:
                    raise outcome
                return None
            self.kept = outcome
        await self._given.wait()
        chunk, self.kept = self.kept, None
        if len(chunk) > n:
            chunk, self.kept = chunk.split(n)
        return Chunk(chunk.data, self._loans.lend(chunk.tokens)) if chunk.tokens else chunk

    def withhold(self, withheld: bool = True) -> None:
        """Gives nothing from here on, or goes on giving."""
        if withheld:
            self._given.clear()
        else:
            self._given.set()

    def lose(self, error: Exception) -> None:
        """The part has failed: what it took and has neither settled nor given was not handled."""
        self._loans.lose(error)

    async def on_close(self) -> None:
        """What is above goes on."""

    def final(self, error: Exception | None) -> bool:
        """Whether the part has ended, or failed with `error`, because of what is above."""
        return self.over if error is None else self.failure is not None


def goes_on(restarts: Restarts, on: On, error: Exception | None) -> bool:
    """Whether a part that has failed, or ended, is started again. Raises what the user's functions raise."""
    try:
        return (error is not None or on == "end") and restarts.again(error)
    except FAILURES as failed:
        failure = failure_of(failed)
    raise failure from error


class Restarting(Stage[B]):
    """Runs one part after the other. Subclasses make them."""

    __slots__ = ("_ended", "_failure", "_m", "_on", "_over", "_part", "_restarts")

    def __init__(self, m: Materializer, restarts: Restarts, on: On) -> None:
        super().__init__()
        self._m = inside(m)
        self._restarts = restarts
        self._on: On = on
        self._part: Part[B] | None = None
        self._ended = False
        """Whether the part has ended, or failed with `_failure`."""
        self._failure: Exception | None = None
        self._over = False

    def begin(self, m: Materializer) -> Stage[B]:
        """A new part."""
        raise AssertionError(f"{type(self).__name__} does not say what it starts")

    def final(self, error: Exception | None) -> bool:
        """Whether the part has ended, or failed with `error`, because of what is above."""
        return False

    def given(self, chunk: Chunk[B]) -> Chunk[B]:
        """What goes out for a chunk of the part."""
        return chunk

    def stop(self) -> None:
        """The part has ended or failed, and is about to be closed."""

    def lost(self, error: Exception) -> None:
        """The part has failed, and is closed."""

    async def pull(self, n: int) -> Chunk[B] | None:
        while not self._over:
            if self._ended:
                await self._finish()
                continue
            if self._part is None:
                await self._restarts.wait()
                self._part = Part(self._m, self.begin, fused=True)
            outcome = await attempt(self._part, n)
            if isinstance(outcome, Chunk):
                return self.given(outcome)
            self._ended, self._failure = True, outcome
            self.stop()
        if self._failure is not None:
            raise self._failure
        return None

    async def _finish(self) -> None:
        """Closes the part that has ended, and decides whether there is to be another one."""
        part, self._part = self._part, None
        if part is not None:
            await closed(part.close, self._failure)
        self._ended = False
        if self._failure is not None:
            self.lost(self._failure)
        try:
            self._over = self.final(self._failure) or not goes_on(self._restarts, self._on, self._failure)
        except Exception as error:  # noqa: BLE001 - raised by pull, now and later
            self._over, self._failure = True, error

    async def on_close(self) -> None:
        if self._part is not None:
            await self._part.close()


class RestartSource(Restarting[T]):
    __slots__ = ("_make",)

    def __init__(self, m: Materializer, restarts: Restarts, make: Callable[[], Source[T]], on: On) -> None:
        super().__init__(m, restarts, on)
        self._make = make

    def begin(self, m: Materializer) -> Stage[T]:
        made = self._make()
        check_source(made, "make")
        return made.attach(m)


class RestartFlow(Restarting[B], Generic[A, B]):
    __slots__ = ("_lent", "_make", "_upstream")

    def __init__(
        self, upstream: Stage[A], m: Materializer, restarts: Restarts, make: Callable[[], Flow[A, B]], on: On
    ) -> None:
        super().__init__(m, restarts, on)
        self._upstream = upstream
        self._make = make
        self._lent = Lent(upstream)

    def begin(self, m: Materializer) -> Stage[B]:
        self._lent = Lent(self._upstream, self._lent.kept)
        made = self._make()
        check_flow(made, "make")
        return made.attach(m, self._lent)

    def final(self, error: Exception | None) -> bool:
        return self._lent.final(error)

    def given(self, chunk: Chunk[B]) -> Chunk[B]:
        return Chunk(chunk.data, returned(chunk.tokens)) if chunk.tokens else chunk

    def stop(self) -> None:
        self._lent.withhold()

    def lost(self, error: Exception) -> None:
        self._lent.lose(error)

    async def on_close(self) -> None:
        await close_each(super().on_close, self._upstream.close)


class Withholding(Through[T, T]):
    """What is directly above a sink; when the sink closes it, nothing more is given to other sinks of the part."""

    __slots__ = ("_lent",)

    def __init__(self, upstream: Stage[T], lent: Lent[Any]) -> None:
        super().__init__(upstream)
        self._lent = lent

    async def pull(self, n: int) -> Chunk[T] | None:
        return await self.upstream.pull(n)

    async def on_close(self) -> None:
        self._lent.withhold()
        await super().on_close()


class RestartSink(Terminal[M], Generic[A, M]):
    __slots__ = ("_kept", "_m", "_make", "_on", "_restarts", "_upstream")

    def __init__(
        self, upstream: Stage[A], m: Materializer, restarts: Restarts, make: Callable[[], Sink[A, M]], on: On
    ) -> None:
        self._upstream = upstream
        self._m = inside(m)
        self._restarts = restarts
        self._make = make
        self._on: On = on
        self._kept: Chunk[A] | None = None
        """Read for a sink that has failed, and not given to it."""

    async def run(self) -> M:
        try:
            while True:
                await self._restarts.wait()
                result = await self._once()
                if result is not None:
                    break
        except BaseException as error:
            await give_up(self._upstream.close, error)
            raise
        await close_fully(self._upstream.close)
        return result[0]

    async def _once(self) -> tuple[M] | None:
        """The result of one sink; None when there is to be another one. Raises what the stream fails with."""
        lent, alone = Lent(self._upstream, self._kept), Alone(self._m, fused=True)
        error: Exception | None = None
        result: tuple[M] | None = None
        try:
            result = (await self._driven(alone, lent),)
        except asyncio.CancelledError:
            if cancel_requested():
                raise
            error = Interrupted()
        except (Exception, SystemExit) as failed:  # noqa: BLE001 - decided about below
            error = failure_of(failed)
        finally:
            await close_fully(alone.end)
        self._kept = lent.kept
        if error is not None:
            lent.lose(error)
        if lent.final(error) or not goes_on(self._restarts, self._on, error):
            if error is not None:
                raise error
            return result
        return None

    async def _driven(self, alone: Alone, lent: Lent[A]) -> M:
        sink = self._make()
        terminal = sink.end(alone.m, Withholding(Flow[A, Any](sink.steps).attach(alone.m, lent), lent))
        result = await alone.work(alone.m.drive(terminal))
        lent.withhold(False)  # it has ended by itself: those beside it go on
        await alone.idle()
        return result
