"""Operators by which a stream is stopped and watched from outside: kill_switch, watch_termination, monitor.

Owns their methods, their stages, and `Monitor`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.engine.operators import Operators
from teleporter_lab.engine.stage import Stage, Through, switch_off

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


class Watching(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def kill_switch(self, switch: KillSwitch | None = None) -> Flow[In, Out]:
        """Ends the stream here when `switch` is fired, also while what is above waits; below it everything drains.

        One switch may stand in many streams. In a sub-stream it ends all of them, and what they have not got stays
        un-confirmed. Beside other branches it ends its own alone, as one that has got all it wants: the others go on,
        and confirm what they get. Without one, each run publishes a switch of its own (`running.value(KillSwitch)`).

        Emits when: there is input.
        Completes when: its input does, or the switch is shut down; it fails with the error of `abort`.
        Cancels when: what is below does, or the switch is fired.
        Like: Pekko's KillSwitches.single and KillSwitches.shared.
        """

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            own = switch
            if own is None:
                own = KillSwitch()
                m.publish(own)
            own.join()
            m.tasks.at_exit(own.part)
            return Switched(upstream, own)

        return self.then("kill_switch", attach)

    def watch_termination(self, ended: Callable[[BaseException | None], None]) -> Flow[In, Out]:
        """Calls `ended(None)` once when the stream ended here, or `ended(error)` when it failed or was cancelled.

        Emits when: there is input.
        Supervised: no; an error of `ended` fails the stream.
        """
        return self.then("watch_termination", lambda _, up: Watched(up, ended))

    def monitor(self) -> Flow[In, Out]:
        """Counts what passes here; each run publishes its `Monitor` (`running.value(Monitor)`).

        Emits when: there is input.
        """

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            monitor = Monitor(m.clock)
            m.publish(monitor)
            return Monitored(upstream, monitor)

        return self.then("monitor", attach)


class Switched(Through[T, T]):
    __slots__ = ("_switch",)

    def __init__(self, upstream: Stage[T], switch: KillSwitch) -> None:
        super().__init__(upstream)
        self._switch = switch

    async def pull(self, n: int) -> Chunk[T] | None:
        switch = self._switch
        if switch.fired:
            return await self._stop()
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a stage is pulled by a task")
        waiting = switch.enter(task)
        try:
            return await self.upstream.pull(n)
        except asyncio.CancelledError:
            if not waiting.take_back():
                raise
        finally:
            switch.leave(waiting)
        return await self._stop()

    async def _stop(self) -> None:
        await switch_off(self.upstream.close)
        if self._switch.error is not None:
            raise self._switch.error


class Watched(Through[T, T]):
    __slots__ = ("_ended", "_told")

    def __init__(self, upstream: Stage[T], ended: Callable[[BaseException | None], None]) -> None:
        super().__init__(upstream)
        self._ended = ended
        self._told = False

    async def pull(self, n: int) -> Chunk[T] | None:
        try:
            chunk = await self.upstream.pull(n)
        except BaseException as error:
            self._tell(error)
            raise
        if chunk is None:
            self._tell(None)
        return chunk

    def _tell(self, error: BaseException | None) -> None:
        if not self._told:
            self._told = True
            self._ended(error)

    async def on_close(self) -> None:
        try:
            await super().on_close()
        finally:
            self._tell(None)


class Monitor:
    """What has passed one place of a running stream. Read it at any time; it costs two additions a chunk."""

    __slots__ = ("_clock", "chunks", "elements", "error", "last", "since", "state")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.elements = 0
        self.chunks = 0
        self.since = clock.now()
        """Seconds of the run's clock when the stream was started."""
        self.last: float | None = None
        """Seconds of the run's clock when the last chunk passed; None before the first."""
        self.state: Literal["running", "completed", "failed", "cancelled"] = "running"
        self.error: BaseException | None = None
        """What the stream failed with here."""

    @property
    def rate(self) -> float:
        """Elements a second, from the start to the last chunk; 0.0 before the first."""
        seconds = 0.0 if self.last is None else self.last - self.since
        return self.elements / seconds if seconds > 0 else 0.0

    def passed(self, n: int) -> None:
        self.elements += n
        self.chunks += 1
        self.last = self._clock.now()

    def ended(self, state: Literal["completed", "failed", "cancelled"], error: BaseException | None = None) -> None:
        """The first end counts."""
        if self.state == "running":
            self.state, self.error = state, error

    def __repr__(self) -> str:
        return f"Monitor({self.state}, {self.elements} elements in {self.chunks} chunks)"


class Monitored(Through[T, T]):
    __slots__ = ("_monitor",)

    def __init__(self, upstream: Stage[T], monitor: Monitor) -> None:
        super().__init__(upstream)
        self._monitor = monitor

    async def pull(self, n: int) -> Chunk[T] | None:
        try:
            chunk = await self.upstream.pull(n)
        except Exception as error:
            self._monitor.ended("failed", error)
            raise
        if chunk is None:
            self._monitor.ended("completed")
        else:
            self._monitor.passed(len(chunk))
        return chunk

    async def on_close(self) -> None:
        self._monitor.ended("cancelled")
        await super().on_close()
