"""From blueprint to running stream: fresh stages, the tasks they need, one owner for all of them.

Owns `Runtime` (what all streams of a process share), `Materializer` (what the stages of one run share) and the run
itself: one task per island, all in one task group, everything closed and every task ended when it returns. Refuses to
restart anything; a lone failure comes out bare.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from teleporter_lab.engine.blocking import DriverThreads
from teleporter_lab.engine.clock import Clock, LoopClock
from teleporter_lab.engine.supervision import Interrupted, StopOnError, Supervisor, cancel_requested
from teleporter_lab.engine.turnstile import Busy, Pace, Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from teleporter_lab.engine.stage import Terminal

M = TypeVar("M")


class Runtime:
    """What all streams of a process share: clock, turnstile and driver threads.

    An async context manager: leaving it lets running driver calls end. Use one per event loop.
    """

    def __init__(self, clock: Clock | None = None, threads: DriverThreads | None = None) -> None:
        self.clock: Clock = clock or LoopClock()
        self.turnstile = Turnstile()
        self.threads = threads or DriverThreads()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.threads.__aexit__(*exc)


class Materializer:
    """What the stages of one run share, and what those of one island share: the seconds they worked.

    `island` gives the same for what is pulled by a task of its own, `branch` for what has a sink of its own as well.
    """

    __slots__ = ("_ends", "busy", "clock", "group", "runtime", "supervisor")

    def __init__(self, runtime: Runtime, group: asyncio.TaskGroup, supervisor: Supervisor) -> None:
        self.runtime = runtime
        self.clock = runtime.clock
        self.group = group
        self.supervisor = supervisor
        self.busy = Busy()
        self._ends: list[Callable[[], None]] = []

    def pace(self) -> Pace:
        """The size of chunks for one place of this island."""
        return Pace(self.runtime.turnstile, self.busy)

    def island(self) -> Materializer:
        other = self.branch()
        other._ends = self._ends
        return other

    def branch(self) -> Materializer:
        return Materializer(self.runtime, self.group, self.supervisor)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that the run owns: it ends before the run does, and its failure fails the run."""
        try:
            return self.group.create_task(work)
        except RuntimeError:  # the run is ending
            work.close()
            raise

    def at_end(self, call: Callable[[], None]) -> None:
        """`call` is called when the sink of this branch has got all it wants."""
        self._ends.append(call)

    async def drive(self, terminal: Terminal[M]) -> M:
        """Runs the sink of this branch to its end."""
        result = await terminal.run()
        for call in self._ends:
            call()
        return result


class Attaches(Protocol[M]):
    """A blueprint that can be given its stages."""

    def attach(self, m: Materializer) -> Terminal[M]: ...


async def execute(blueprint: Attaches[M], runtime: Runtime, supervisor: Supervisor | None = None) -> M:
    """Runs the stream to its end in the calling task; its sink's result.

    Raises what the stream failed with. Cancelling it stops the stream; whatever was open is closed.
    """
    try:
        return await _in_group(blueprint, runtime, supervisor or StopOnError())
    except BaseExceptionGroup as failures:
        failure = lone(failures)
    try:
        raise failure
    finally:
        del failure  # its traceback holds this frame


async def _in_group(blueprint: Attaches[M], runtime: Runtime, supervisor: Supervisor) -> M:
    try:
        async with asyncio.TaskGroup() as group:
            m = Materializer(runtime, group, supervisor)
            return await m.drive(blueprint.attach(m))
    except asyncio.CancelledError as error:
        if cancel_requested():
            raise
        raise Interrupted from error
    raise AssertionError("a task group swallows nothing")


def lone(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The only failure inside, however deeply or often it is wrapped; `failures` itself when there are several."""
    different = {id(error): error for error in failures.exceptions}
    if len(different) > 1:
        return failures
    error = failures.exceptions[0]
    return lone(cast("BaseExceptionGroup[BaseException]", error)) if isinstance(error, BaseExceptionGroup) else error
