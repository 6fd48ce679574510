"""Operators for what does not come in time: idle_timeout, completion_timeout, initial_timeout, backpressure_timeout,
keep_alive.

Owns their methods and stages. Each fails with a TimeoutError that says what was waited for. The time of a wait goes on
when a pull is cancelled and made again.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.lone_call import LoneCall, Missing
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.reservoir import rouse
from teleporter_lab.engine.stage import Stage, Through, end_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


class Timeouts(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def idle_timeout(self, seconds: float) -> Flow[In, Out]:
        """Fails when a pull has waited `seconds` for an element. A time in which nothing below asks does not count.

        Emits when: there is input.
        Completes when: its input does; fails with TimeoutError when nothing came in time.
        """
        _check("idle_timeout", seconds)
        return self.then(f"idle_timeout({seconds}s)", lambda m, up: IdleTimeout(up, m, seconds))

    def initial_timeout(self, seconds: float) -> Flow[In, Out]:
        """Fails when the first element has not come `seconds` after the first pull.

        Emits when: there is input.
        Completes when: its input does; fails with TimeoutError when nothing came in time.
        """
        _check("initial_timeout", seconds)
        return self.then(f"initial_timeout({seconds}s)", lambda m, up: InitialTimeout(up, m, seconds))

    def completion_timeout(self, seconds: float) -> Flow[In, Out]:
        """Fails when the end has not come `seconds` after the first pull, however much came.

        It fails while something below waits, or with the next pull.

        Emits when: there is input.
        Completes when: its input does; fails with TimeoutError when the end did not come in time.
        """
        _check("completion_timeout", seconds)
        return self.then(f"completion_timeout({seconds}s)", lambda m, up: CompletionTimeout(up, m, seconds))

    def backpressure_timeout(self, seconds: float) -> Flow[In, Out]:
        """Fails when what is below does not ask again within `seconds` after it got something.

        The stream fails at once, also when what is below hangs; a `recover` below, which is not asked, changes
        nothing about it.

        Emits when: there is input.
        Completes when: its input does; fails with TimeoutError when what is below did not ask in time.
        """
        _check("backpressure_timeout", seconds)
        return self.then(f"backpressure_timeout({seconds}s)", lambda m, up: BackpressureTimeout(up, m, seconds))

    def keep_alive(self, seconds: float, make: Callable[[], Out]) -> Flow[In, Out]:
        """Gives `make()` when a pull has waited `seconds` for an element, and again each `seconds`.

        Emits when: there is input, or none came for so long.
        Tokens: pass unchanged; what is made has none.
        Supervised: yes; the element of a failure is None, and when it is left out nothing is given.
        """
        _check("keep_alive", seconds)
        name = named("keep_alive", make)
        return self.then(name, lambda m, up: KeepAlive(up, m, name, seconds, make))


def _check(operator: str, seconds: float) -> None:
    if not seconds > 0:
        raise ValueError(f"{operator} needs seconds > 0, not {seconds}")


class Timed(Through[T, T]):
    """Waits for what is above no longer than it has time. Where it fails, it stays failed."""

    __slots__ = ("_failure", "_until", "ahead", "clock", "seconds")

    def __init__(self, upstream: Stage[T], m: Materializer, seconds: float) -> None:
        super().__init__(upstream)
        self.clock = m.clock
        self.seconds = seconds
        self.ahead = Ahead(upstream, m.spawn)
        self._until = inf
        self._failure: Exception | None = None

    def reset(self) -> None:
        """The time begins anew with the next `in_time`."""
        self._until = inf

    def late(self) -> bool:
        """Whether the time is over; it begins with the first call."""
        if self._until == inf:
            self._until = self.clock.now() + self.seconds
        return self._until <= self.clock.now()

    async def in_time(self, n: int) -> bool:
        """Whether the pull that is outstanding, or a new one, brings something before the time is over."""
        late = self.late()
        task = self.ahead.start(n)
        return task.done() or (not late and await self.clock.wait((task,), self._until - self.clock.now()))

    def fail(self, error: Exception) -> Exception:
        """What is raised now and later: the first one it was called with."""
        self._failure = self._failure or error
        return self._failure

    def go_on(self) -> None:
        """Raises what it has failed with before."""
        if self._failure is not None:
            raise self._failure

    async def on_close(self) -> None:
        await self.ahead.close()


class IdleTimeout(Timed[T]):
    __slots__ = ()

    async def pull(self, n: int) -> Chunk[T] | None:
        self.go_on()
        if not await self.in_time(n):
            raise self.fail(TimeoutError(f"No element came for {self.seconds} s."))
        self.reset()
        return self.ahead.take(n)


class InitialTimeout(Timed[T]):
    __slots__ = ("_begun",)

    def __init__(self, upstream: Stage[T], m: Materializer, seconds: float) -> None:
        super().__init__(upstream, m, seconds)
        self._begun = False

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._begun and not self.ahead.started:
            return await self.upstream.pull(n)
        self.go_on()
        if not self._begun and not await self.in_time(n):
            raise self.fail(TimeoutError(f"The first element did not come within {self.seconds} s."))
        self._begun = True
        return self.ahead.take(n)


class CompletionTimeout(Timed[T]):
    __slots__ = ()

    async def pull(self, n: int) -> Chunk[T] | None:
        self.go_on()
        if not self.ahead.ended and (self.late() or not await self.in_time(n)):
            raise self.fail(TimeoutError(f"The stream did not complete within {self.seconds} s."))
        return self.ahead.take(n)


class KeepAlive(Timed[T]):
    __slots__ = ("_call", "_make")

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, seconds: float, make: Callable[[], T]) -> None:
        super().__init__(upstream, m, seconds)
        self._call = LoneCall(m, name)
        self._make = make

    async def pull(self, n: int) -> Chunk[T] | None:
        self.go_on()
        while not await self.in_time(n):
            try:
                made = await self._call.outcome(self._make, None)
            except Exception as error:
                self.fail(error)
                raise
            self.reset()
            if not isinstance(made, Missing):
                return Chunk([made])
        self.reset()
        return self.ahead.take(n)


class BackpressureTimeout(Through[T, T]):
    """A task looks whether what is below has asked again. It wakes when the time could be over, not for each chunk."""

    __slots__ = ("_clock", "_failure", "_given", "_idle", "_seconds", "_spawn", "_watcher")

    def __init__(self, upstream: Stage[T], m: Materializer, seconds: float) -> None:
        super().__init__(upstream)
        self._clock = m.clock
        self._spawn = m.spawn
        self._seconds = seconds
        self._given: float | None = None
        """When something was given that nobody has asked for more after."""
        self._failure: TimeoutError | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._failure is not None:
            raise self._failure
        self._given = None
        chunk = await self.upstream.pull(n)
        if chunk is not None:
            self._given = self._clock.now()
            if self._watcher is None:
                self._watcher = self._spawn(self._watch())
            else:
                rouse(self._idle)
        return chunk

    async def _watch(self) -> None:
        while True:
            if self._given is None:
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
            elif (left := self._given + self._seconds - self._clock.now()) > 0:
                await self._clock.sleep(left)
            else:
                self._failure = TimeoutError(f"What is below did not ask for more within {self._seconds} s.")
                raise self._failure

    async def on_close(self) -> None:
        try:
            await end_task(self._watcher)
        finally:
            await self.upstream.close()
