"""Streams inside a stream: one that may fail alone, and several that are pulled side by side.

Owns what an operator needs that runs other blueprints while it runs itself: `Alone` (their tasks, whose failure
interrupts whoever works for them), `Part` (one of them as a stage), `Together` and `Merging` (many of them, in turn).
Refuses to know what they are made from. What a stream inside publishes cannot be asked for: whoever started the run
has asked before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk, join
from teleporter_lab.engine.failure import FAILURES, failure_of
from teleporter_lab.engine.kill_switch import Waiting
from teleporter_lab.engine.run import Scope
from teleporter_lab.engine.stage import Stage, close_each, close_fully

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.ahead import Spawn
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")


def inside(m: Materializer) -> Materializer:
    """For the streams that a stage runs inside it, taken where they flow into the stream: while the stage is made."""
    island = m.island()
    island.busy = m.busy
    return island


async def closed(close: Callable[[], Any], error: Exception | None) -> None:
    """Closes what has failed with `error`; that closing it fails too is a note on it."""
    try:
        await close_fully(close)
    except Exception as failure:
        if error is None:
            raise
        error.add_note(f"Closing what has failed did not go well either: {failure!r}")


class Alone:
    """A part of a run with tasks of its own; when one of them fails, the part fails and nothing else does.

    `m` is for its stages. With `fused` they are pulled by the same task as what is below the part.
    """

    __slots__ = ("_scope", "_waiting", "m")

    def __init__(self, m: Materializer, fused: bool = False) -> None:
        self._scope = Scope(m)
        self._waiting: Waiting | None = None
        """The task that works for the part now."""
        self._scope.failed.add_done_callback(self._interrupt)
        self.m = self._scope.m
        self.m.keep_values()
        if fused:
            self.m.busy = m.busy

    async def work(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which the calling task does. Raises what the part has failed with, also meanwhile."""
        task = asyncio.current_task()
        if task is None or self._scope.failed.done():
            work.close()
            raise self._failure()
        self._waiting = waiting = Waiting(task)
        try:
            return await work
        except asyncio.CancelledError:
            if not waiting.take_back():
                raise
        finally:
            self._waiting = None
            waiting.take_back()
        raise self._failure()

    def _failure(self) -> Exception:
        failed = self._scope.failed
        return failed.result() if failed.done() else AssertionError("a stage is pulled by a task")

    def _interrupt(self, _: object) -> None:
        if self._waiting is not None:
            self._waiting.interrupt()

    def fail(self, error: Exception) -> None:
        """The part has failed with `error`; whoever works for it is told in the next pass of the loop."""
        self._scope.fail(error)

    async def idle(self) -> None:
        """Waits until its tasks have ended by themselves."""
        await self.work(self._scope.idle())

    async def end(self) -> None:
        """Stops its tasks."""
        await self._scope.end()


class Part(Stage[T]):
    """A stream inside a stream. Its pull raises what any of its tasks fails with; it ends when its sinks have, too.

    What `make` raises is the part's failure.
    """

    __slots__ = ("_alone", "_failure", "_over", "_stage")

    def __init__(self, m: Materializer, make: Callable[[Materializer], Stage[T]], fused: bool = False) -> None:
        super().__init__()
        self._alone = Alone(m, fused)
        self._stage: Stage[T] | None = None
        self._failure: Exception | None = None
        self._over = False
        try:
            self._stage = make(self._alone.m)
        except FAILURES as error:
            self._failure = failure_of(error)

    async def pull(self, n: int) -> Chunk[T] | None:
        stage = self._stage
        if stage is None:
            raise self._failure or AssertionError("neither made nor failed")
        if not self._over:
            chunk = await self._alone.work(stage.pull(n))
            if chunk is not None:
                return chunk
            self._over = True
        await close_fully(stage.close)
        await self._alone.idle()
        return None

    def fail(self, error: Exception) -> None:
        """Fails it from outside; whoever pulls it is told in the next pass of the loop."""
        self._alone.fail(error)

    async def on_close(self) -> None:
        """Sinks inside are stopped first: they must not go on alone, and settle what nothing else has got."""
        if self._stage is None:
            await self._alone.end()
        else:
            await close_each(self._alone.end, self._stage.close, self._alone.end)


class Owner(Protocol):
    """Whoever is told what becomes of one of several streams."""

    def out(self, chunk: Chunk[Any]) -> Chunk[Any]:
        """`chunk` is handed out; what goes down in its place."""
        ...

    def over(self, error: Exception | None) -> None:
        """It has ended, or failed with `error`."""
        ...


class Together(Generic[T]):
    """Streams that are pulled side by side, each by a task of its own, one chunk ahead.

    Those that have something take turns; what several of them have goes out as one chunk. Cheap where there are
    thousands: nothing looks at those that have nothing.
    """

    __slots__ = ("_failed", "_idle", "_open", "_ready", "_spare", "_spawn", "_wake")

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._open: dict[Ahead[T], Owner] = {}
        self._idle: list[Ahead[T]] = []
        self._ready: deque[Ahead[T]] = deque()
        self._failed: list[Ahead[T]] = []
        self._spare: Chunk[T] | None = None
        """Taken, and of another kind than what it was to go out with."""
        self._wake: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """How many have not ended."""
        return len(self._open)

    @property
    def ready(self) -> bool:
        """Whether one of them has something, or has ended."""
        return bool(self._ready) or self._spare is not None

    def add(self, stage: Stage[T], owner: Owner) -> None:
        ahead = Ahead(stage, self._spawn)
        self._open[ahead] = owner
        self._idle.append(ahead)

    def start(self, n: int) -> None:
        """Asks each that is not asked yet for up to `n` elements."""
        idle, self._idle = self._idle, []
        for ahead in idle:
            ahead.start(n).add_done_callback(partial(self._done, ahead))

    def _done(self, ahead: Ahead[T], _: asyncio.Task[None]) -> None:
        self._ready.append(ahead)
        self.rouse()

    def rouse(self, _: object = None) -> None:
        """Something has changed for whoever waits."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def something(self) -> None:
        """Waits for the next change."""
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def take(self, n: int) -> Chunk[T] | Exception | None:
        """Up to `n` elements of those that have some, or what one has failed with; None when some have just ended."""
        parts: list[Chunk[T]] = []
        while n > 0 and self.ready:
            chunk = self._next(n)
            if isinstance(chunk, Exception):
                if not parts:
                    self._fail(self._ready.popleft(), chunk)
                    return chunk
                break
            if chunk is None:
                continue
            if parts and not (type(chunk.data) is list and type(parts[0].data) is list):
                self._spare = chunk
                break
            parts.append(chunk)
            n -= len(chunk)
        return joined_once(parts) if parts else None

    def _next(self, n: int) -> Chunk[T] | Exception | None:
        """What is next in turn. An error stays the next."""
        spare, self._spare = self._spare, None
        if spare is not None:
            if len(spare) > n:
                spare, self._spare = spare.split(n)
            return spare
        ahead = self._ready[0]
        outcome = ahead.outcome(n)
        if isinstance(outcome, Exception):
            return outcome
        self._ready.popleft()
        if outcome is None:
            self._open.pop(ahead).over(None)
            return None
        (self._ready if ahead.started else self._idle).append(ahead)
        return self._open[ahead].out(outcome)

    def _fail(self, ahead: Ahead[T], error: Exception) -> None:
        self._failed.append(ahead)
        self._open.pop(ahead).over(error)

    async def close(self) -> None:
        """Closes each of them."""
        await close_each(*(ahead.close for ahead in (*self._open, *self._failed)))


def joined_once(parts: list[Chunk[T]]) -> Chunk[T]:
    """One chunk of all elements; where several parts answer for the same token, one reference on it is enough."""
    chunk = join(parts)
    if len(parts) == 1 or not chunk.tokens:
        return chunk
    once: dict[Token, None] = {}
    for token in reversed(chunk.tokens):  # the last one accounts for everything, and stays the last
        if token in once:
            token.confirm()
        else:
            once[token] = None
    return Chunk(chunk.data, tuple(reversed(once)))


class Merging(Stage[T]):
    """A stage that hands out what several streams inside it give. Subclasses say which, and when there are more."""

    __slots__ = ("_failure", "_pace", "m", "together")

    def __init__(self, m: Materializer) -> None:
        super().__init__()
        self.m = inside(m)
        """For the streams inside."""
        self.together: Together[T] = Together(m.spawn)
        self._pace = m.passing()
        self._failure: Exception | None = None

    def go_on(self, n: int) -> bool:
        """Sets to work what may work on up to `n` elements; whether anything can still come."""
        raise AssertionError(f"{type(self).__name__} does not say how it goes on")

    def end(self) -> Exception | None:
        """What it fails with at its end."""
        raise AssertionError(f"{type(self).__name__} does not say how it ends")

    def fails_with(self, error: Exception) -> bool:
        """Whether it fails at once because one of the streams has failed with `error`."""
        return True

    async def pull(self, n: int) -> Chunk[T] | None:
        fit = self._pace.fit(n)
        while self._failure is None:
            more = self.go_on(n)
            if self.together.ready:
                await self._pace.turn()
                given = self.together.take(fit)
                if isinstance(given, Chunk):
                    self._pace.gave(len(given))
                    return given
                if given is not None and self.fails_with(given):
                    self._failure = given
            elif more:
                await self.together.something()
            else:
                self._failure = self.end()
                if self._failure is None:
                    return None
        raise self._failure
