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
from teleporter_lab.engine.ends import Line
from teleporter_lab.engine.failure import Interrupted, cancel_requested
from teleporter_lab.engine.stage import stop, was_stopped
from teleporter_lab.engine.supervision import StopOnError, Supervisor
from teleporter_lab.engine.turnstile import COLUMNS_GROW, MAX_CHUNK, MAX_ROWS, Busy, Pace, Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from teleporter_lab.engine.ends import Ends
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
    `split` for the ways a stream splits into, `within` for a part with attributes of its own, `Scope` for a part whose
    failure is not the run's.
    """

    __slots__ = ("_first", "_own_line", "_values", "busy", "clock", "dead_letters", "name", "runtime", "supervisor",
                 "tasks")  # fmt: skip

    def __init__(
        self, runtime: Runtime, tasks: Starts, supervisor: Supervisor, dead_letters: DeadLetters | None = None
    ) -> None:
        self.runtime = runtime
        self.clock = runtime.clock
        self.tasks = tasks
        self.supervisor = supervisor
        self.dead_letters = dead_letters
        """Where a rule of this part may send elements that failed; None: nowhere."""
        self.name: str | None = None
        """What the operators made with this are called, instead of their own names."""
        self.busy = Busy()
        self._first: Materializer | None = None
        self._values: list[Any] | None = None
        self._own_line: Line | None = None

    def pace(self, columns: bool = False) -> Pace:
        """The size of chunks for one place of this island; `columns` for one that makes batches of them."""
        most, growth = (MAX_ROWS, COLUMNS_GROW) if columns else (MAX_CHUNK, 2)
        return Pace(self.runtime.turnstile, self.busy, most, growth)

    def passing(self) -> Pace:
        """That of a place that hands on what came in chunks: those of rows are as small as they were made."""
        return Pace(self.runtime.turnstile, self.busy, MAX_ROWS)

    @property
    def _line(self) -> Line:
        """Made when something asks for it: most streams neither split nor join."""
        if self._own_line is None:
            self._own_line = Line()
        return self._own_line

    def branch(self) -> Materializer:
        other = Materializer(self.runtime, self.tasks, self.supervisor, self.dead_letters)
        other._first = self._first or self
        return other

    def island(self) -> Materializer:
        other = self.branch()
        other._own_line = self._line.side_line()
        return other

    def split(self, ways: int, goes_on: bool) -> list[Materializer]:
        """The stream splits here into `ways` with sinks of their own; what is below goes on beside them, or ends."""
        others = [self.branch() for _ in range(ways)]
        for other, line in zip(others, self._line.split(ways, goes_on), strict=True):
            other._own_line = line
        return others

    def within(
        self, *, name: str | None = None, supervisor: Supervisor | None = None, dead_letters: DeadLetters | None = None
    ) -> Materializer:
        """The same island with another name, another supervision or another place for dead letters."""
        other = self.branch()
        other._own_line = self._line
        other.busy = self.busy
        other.name = name
        other.supervisor = supervisor or self.supervisor
        other.dead_letters = dead_letters or self.dead_letters
        return other

    def apart(self) -> Materializer:
        """An island above a boundary, paced by itself; nothing else changes."""
        other = self.within(name=self.name)
        other.busy = Busy()
        return other

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that the run owns: it ends before the run does, and its failure fails the run."""
        return self.tasks.start(work)

    @property
    def values(self) -> list[Any]:
        """What stages have given to whoever started the run, in the order of the blueprint."""
        first = self._first or self
        if first._values is None:
            first._values = []
        return first._values

    def keep_values(self) -> None:
        """What is published from here on concerns nobody outside: parts that come and go."""
        self._first = None

    def publish(self, value: Any) -> None:
        """Gives `value` to whoever started the run (`Running.value`)."""
        self.values.append(value)

    @property
    def ends(self) -> Ends:
        """The sinks below what was attached so far; they can be asked to call back when all of them are done."""
        return self._line.ends

    async def drive(self, terminal: Terminal[M]) -> M:
        """Runs the sink of this branch to its end."""
        result = await terminal.run()
        self.done()
        return result

    def done(self) -> None:
        """The sink of this branch has got all it wants."""
        if self._own_line is not None:
            self._own_line.done()


class Starts(Protocol):
    """Whoever owns the tasks of a run, or of a part of one."""

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...

    def at_exit(self, call: Callable[[], None]) -> None: ...


class Tasks:
    """The tasks of one run: a task group that is made when the first one starts, as most streams need none.

    An async context manager, entered and left by the task that runs the stream; its tasks have the same name. One that
    somebody else cancels fails the run, which would wait for it for ever.
    """

    __slots__ = ("_at_exit", "_ending", "_group", "_owner")

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._owner: asyncio.Task[Any] | None = None
        self._ending = False
        self._at_exit: list[Callable[[], None]] | None = None

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Raises RuntimeError when the run is ending."""
        running = asyncio.current_task()
        try:
            if self._group is None:
                self._group, self._owner = _entered(asyncio.TaskGroup()), running
            task = self._group.create_task(work, name=running.get_name() if running is not None else None)
        except RuntimeError:
            work.close()
            raise
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._ending = self._ending or task.exception() is not None
        elif self._group is not None and not self._ending and not was_stopped(task) and not self._cancelled:
            self._ending = True
            self._group.create_task(_interrupted())

    @property
    def _cancelled(self) -> bool:
        """Whether the run itself is being cancelled, and its tasks with it."""
        return self._owner is not None and self._owner.cancelling() > 0

    def at_exit(self, call: Callable[[], None]) -> None:
        """`call` is called when the run has ended, however it did."""
        if self._at_exit is None:
            self._at_exit = []
        self._at_exit.append(call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._ending = self._ending or kind is not None
        try:
            return None if self._group is None else await self._group.__aexit__(kind, error, trace)
        finally:
            for call in self._at_exit or ():
                call()


async def _interrupted() -> None:
    """Fails the run."""
    raise Interrupted


def _entered(group: asyncio.TaskGroup) -> asyncio.TaskGroup:
    """`group`, entered by the running task; that takes no waiting."""
    entering = group.__aenter__()
    try:
        entering.send(None)
    except StopIteration:
        return group
    raise AssertionError("a task group waits for nothing when it is entered")


class Scope:
    """A part of a run whose tasks may fail without failing the run: what is started again stands in one.

    `m` is for the stages inside. `failed` is done when one of their tasks has failed; whoever pulls the part waits for
    it as well. `idle` waits for the tasks that are left, `end` stops them.
    """

    __slots__ = ("_of", "_tasks", "failed", "m")

    def __init__(self, m: Materializer) -> None:
        self._of = m.tasks
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.m = m.island()
        self.m.tasks = self

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Raises RuntimeError when the run is ending."""
        try:
            task = self._of.start(self._guarded(work))
        except RuntimeError:
            work.close()
            raise
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # one that was cancelled before it began
        return task

    def at_exit(self, call: Callable[[], None]) -> None:
        """`call` is called when the run has ended."""
        self._of.at_exit(call)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            if cancel_requested():
                raise
            self.fail(Interrupted())
        except Exception as error:  # noqa: BLE001 - whoever owns the scope is told
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """The part has failed with `error`; the first one counts."""
        if not self.failed.done():
            self.failed.set_result(error)

    async def idle(self) -> None:
        """Waits until none of its tasks runs, without stopping any."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def end(self) -> None:
        """Cancels the tasks that still run, and waits until they have ended."""
        tasks = [task for task in self._tasks if not task.done()]
        for task in tasks:
            stop(task)
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
    dead_letters: DeadLetters | None = None,
) -> M:
    """Runs the stream to its end in the calling task; its sink's result.

    `supervisor` decides where nothing nearer does, and `dead_letters` is where it may put elements aside.
    `started` is called with what the stages have published, before the first pull. Raises what the stream failed with.
    Cancelling it stops the stream; whatever was open is closed.
    """
    try:
        async with Tasks() as tasks:
            m = Materializer(runtime, tasks, supervisor or STOP, dead_letters)
            terminal = blueprint.attach(m)
            if started is not None:
                started(m.values)
            result = await terminal.run()
            m.done()
        return result
    except asyncio.CancelledError as error:
        if cancel_requested():
            raise
        failure: BaseException = Interrupted()
        failure.__cause__ = error
    except BaseExceptionGroup as failures:
        failure = lone(failures)
    try:
        raise failure
    finally:
        del failure  # its traceback holds this frame


STOP = StopOnError()


def lone(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The only failure inside, however deeply or often it is wrapped; `failures` itself when there are several."""
    different = {id(error): error for error in failures.exceptions}
    if len(different) > 1:
        return failures
    error = failures.exceptions[0]
    return lone(cast("BaseExceptionGroup[BaseException]", error)) if isinstance(error, BaseExceptionGroup) else error
