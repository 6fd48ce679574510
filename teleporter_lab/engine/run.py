"""From blueprint to running stream: fresh stages, the tasks they need, one owner for all of them.

Owns `Runtime` (what all streams of a process share), `Materializer` (what the stages of one run share), `Scope` (a part
of a run that may fail alone) and the run itself: one task per island, all in one task group, everything closed and
every task ended when it returns. Refuses to restart anything; a lone failure comes out bare.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from teleporter_lab.engine.blocking import DriverThreads
from teleporter_lab.engine.clock import Clock, LoopClock
from teleporter_lab.engine.failure import Interrupted, cancel_requested
from teleporter_lab.engine.supervision import StopOnError, Supervisor
from teleporter_lab.engine.turnstile import Busy, Pace, Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from teleporter_lab.engine.ahead import Spawn
    from teleporter_lab.engine.stage import Terminal
    from teleporter_lab.engine.supervision import DeadLetters

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

    `island` gives the same for what is pulled by a task of its own, `branch` for what has a sink of its own as well,
    `within` for a part with attributes of its own, `Scope` for a part whose failure is not the run's.
    """

    __slots__ = ("_ends", "busy", "clock", "dead_letters", "name", "runtime", "spawn", "supervisor", "values")

    def __init__(
        self, runtime: Runtime, spawn: Spawn, supervisor: Supervisor, dead_letters: DeadLetters | None = None
    ) -> None:
        self.runtime = runtime
        self.clock = runtime.clock
        self.spawn = spawn
        """A task that the run owns: it ends before the run does, and its failure fails the run."""
        self.supervisor = supervisor
        self.dead_letters = dead_letters
        """Where a rule of this part may send elements that failed; None: nowhere."""
        self.name: str | None = None
        """What the operators made with this are called, instead of their own names."""
        self.busy = Busy()
        self.values: list[Any] = []
        """What stages have given to whoever started the run, in the order of the blueprint."""
        self._ends: list[Callable[[], None]] = []

    def pace(self) -> Pace:
        """The size of chunks for one place of this island."""
        return Pace(self.runtime.turnstile, self.busy)

    def branch(self) -> Materializer:
        other = Materializer(self.runtime, self.spawn, self.supervisor, self.dead_letters)
        other.values = self.values
        return other

    def island(self) -> Materializer:
        other = self.branch()
        other._ends = self._ends
        return other

    def within(
        self, *, name: str | None = None, supervisor: Supervisor | None = None, dead_letters: DeadLetters | None = None
    ) -> Materializer:
        """The same island with another name, another supervision or another place for dead letters."""
        other = self.island()
        other.busy = self.busy
        other.name = name
        other.supervisor = supervisor or self.supervisor
        other.dead_letters = dead_letters or self.dead_letters
        return other

    def publish(self, value: Any) -> None:
        """Gives `value` to whoever started the run (`Running.value`)."""
        self.values.append(value)

    def at_end(self, call: Callable[[], None]) -> None:
        """`call` is called when the sink of this branch has got all it wants."""
        self._ends.append(call)

    async def drive(self, terminal: Terminal[M]) -> M:
        """Runs the sink of this branch to its end."""
        result = await terminal.run()
        for call in self._ends:
            call()
        return result


class Scope:
    """A part of a run whose tasks may fail without failing the run: what is started again stands in one.

    `m` is for the stages inside. `failed` is done when one of their tasks has failed; whoever pulls the part waits for
    it as well. `end` stops the tasks that are left.
    """

    __slots__ = ("_spawn", "_tasks", "failed", "m")

    def __init__(self, m: Materializer) -> None:
        self._spawn = m.spawn
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.m = m.island()
        self.m.spawn = self._start

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._spawn(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            if cancel_requested():
                raise
            self._fail(Interrupted())
        except Exception as error:  # noqa: BLE001 - whoever owns the scope is told
            self._fail(error)
        finally:
            work.close()

    def _fail(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_result(error)

    async def end(self) -> None:
        """Cancels the tasks that still run, and waits until they have ended."""
        tasks = [task for task in self._tasks if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class Attaches(Protocol[M]):
    """A blueprint that can be given its stages."""

    def attach(self, m: Materializer) -> Terminal[M]: ...


async def execute(
    blueprint: Attaches[M],
    runtime: Runtime,
    supervisor: Supervisor | None = None,
    started: Callable[[list[Any]], None] | None = None,
) -> M:
    """Runs the stream to its end in the calling task; its sink's result.

    `started` is called with what the stages have published, before the first pull. Raises what the stream failed with.
    Cancelling it stops the stream; whatever was open is closed.
    """
    try:
        return await _in_group(blueprint, runtime, supervisor or StopOnError(), started)
    except BaseExceptionGroup as failures:
        failure = lone(failures)
    try:
        raise failure
    finally:
        del failure  # its traceback holds this frame


async def _in_group(
    blueprint: Attaches[M], runtime: Runtime, supervisor: Supervisor, started: Callable[[list[Any]], None] | None
) -> M:
    try:
        async with asyncio.TaskGroup() as group:
            m = Materializer(runtime, spawn_in(group), supervisor)
            terminal = blueprint.attach(m)
            if started is not None:
                started(m.values)
            return await m.drive(terminal)
    except asyncio.CancelledError as error:
        if cancel_requested():
            raise
        raise Interrupted from error
    raise AssertionError("a task group swallows nothing")


def spawn_in(group: asyncio.TaskGroup) -> Spawn:
    """Starts tasks in `group`, named like the task that runs the stream; a group that is ending raises RuntimeError."""
    task = asyncio.current_task()
    name = task.get_name() if task is not None else None

    def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        try:
            return group.create_task(work, name=name)
        except RuntimeError:  # the run is ending
            work.close()
            raise

    return spawn


def lone(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The only failure inside, however deeply or often it is wrapped; `failures` itself when there are several."""
    different = {id(error): error for error in failures.exceptions}
    if len(different) > 1:
        return failures
    error = failures.exceptions[0]
    return lone(cast("BaseExceptionGroup[BaseException]", error)) if isinstance(error, BaseExceptionGroup) else error
