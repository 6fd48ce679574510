"""Blueprints: immutable descriptions of streams, free to share, to extend and to run many times.

Owns `Flow`, `Sink` and `RunnableGraph` and how they are joined; a `Source[T]` is a flow that needs no input. Each
operator is a method of a family in `stages/`, which `Flow` inherits. Refuses to hold anything that runs: `run` makes
fresh stages each time.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, get_origin, overload

from teleporter_lab.engine.run import Runtime, execute
from teleporter_lab.engine.stage import AtMost, end_task
from teleporter_lab.engine.stages.asynchronous import Asynchronous
from teleporter_lab.engine.stages.buffering import Buffering
from teleporter_lab.engine.stages.columnar import Columnar
from teleporter_lab.engine.stages.cutting import Cutting
from teleporter_lab.engine.stages.delivery import Delivering
from teleporter_lab.engine.stages.errors import Recovering
from teleporter_lab.engine.stages.fan_in import FanIn
from teleporter_lab.engine.stages.fan_out import FanOut
from teleporter_lab.engine.stages.flattening import Flattening
from teleporter_lab.engine.stages.folding import Folding
from teleporter_lab.engine.stages.grouping import Grouping
from teleporter_lab.engine.stages.merging import Merging
from teleporter_lab.engine.stages.observing import Observing
from teleporter_lab.engine.stages.prefix import Prefixing
from teleporter_lab.engine.stages.splitting import Splitting
from teleporter_lab.engine.stages.stateful import Stateful
from teleporter_lab.engine.stages.substreams import Substreaming
from teleporter_lab.engine.stages.timeouts import Timeouts
from teleporter_lab.engine.stages.timing import Timing
from teleporter_lab.engine.stages.transform import Transforming
from teleporter_lab.engine.stages.watching import Watching
from teleporter_lab.engine.stages.zipping import Zipping

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from teleporter_lab.engine.kill_switch import KillSwitch
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stage import Stage, Terminal
    from teleporter_lab.engine.supervision import DeadLetters, Supervisor

In = TypeVar("In")
Out = TypeVar("Out")
Next = TypeVar("Next")
M = TypeVar("M")
T = TypeVar("T")


class Nothing:
    """The input of a source: there is none."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operator of a blueprint: its name as shown, and how its stage is put below another (None for a source)."""

    name: str
    attach: Callable[[Materializer, Stage[Any] | None], Stage[Any]]
    starts: bool = False
    """Whether a stream begins here."""
    parts: tuple[Step, ...] = ()
    """The steps it is made of, where it encloses a part of the blueprint."""
    enclose: Callable[[tuple[Step, ...]], Step] | None = None
    """The same step around other parts."""
    opens: bool = False
    """Whether it opens sub-streams, which a later step closes; until then the stream cannot run."""


class Flow(
    Transforming[In, Out],
    Stateful[In, Out],
    Cutting[In, Out],
    Grouping[In, Out],
    Folding[In, Out],
    Observing[In, Out],
    Asynchronous[In, Out],
    Timing[In, Out],
    Timeouts[In, Out],
    Buffering[In, Out],
    FanIn[In, Out],
    Merging[In, Out],
    Zipping[In, Out],
    FanOut[In, Out],
    Splitting[In, Out],
    Flattening[In, Out],
    Prefixing[In, Out],
    Substreaming[In, Out],
    Recovering[In, Out],
    Delivering[In, Out],
    Watching[In, Out],
    Columnar[In, Out],
    Generic[In, Out],
):
    """Takes elements of type `In`, gives elements of type `Out`. A `Source[T]` is a `Flow[Nothing, T]`."""

    __slots__ = ("steps",)

    def __init__(self, steps: tuple[Step, ...] = ()) -> None:
        self.steps = steps

    def then(
        self, name: str, attach: Callable[[Materializer, Stage[Any]], Stage[Any]], opens: bool = False
    ) -> Flow[In, Any]:
        """This flow with one more operator below it; `attach(m, upstream)` makes its stage in each run.

        One that `opens` sub-streams makes a `Splitter`.
        """

        def below(m: Materializer, upstream: Stage[Any] | None) -> Stage[Any]:
            if upstream is None:
                raise AssertionError(f"{name} has nothing above it")
            return attach(m, upstream)

        return Flow((*self.steps, Step(name, below, opens=opens)))

    def via(self, flow: Flow[Out, Next]) -> Flow[In, Next]:
        """This flow, and `flow` below it."""
        return Flow((*self.steps, *flow.steps))

    @overload
    def to(self: Flow[Nothing, Out], sink: Sink[Out, M]) -> RunnableGraph[M]: ...
    @overload
    def to(self, sink: Sink[Out, M]) -> Sink[In, M]: ...
    def to(self, sink: Sink[Out, M]) -> RunnableGraph[M] | Sink[In, M]:
        """This flow ended by `sink`: a graph that can run, or a sink when this is no source."""
        closed(self.steps)
        steps = (*self.steps, *sink.steps)
        if steps and steps[0].starts:
            return RunnableGraph(steps, sink.name, sink.end)
        return Sink(sink.name, sink.end, steps)

    def with_attributes(
        self, *, name: str | None = None, chunk: int | None = None, supervisor: Supervisor | None = None
    ) -> Flow[In, Out]:
        """This flow with attributes for all of it so far; what was set nearer to an operator wins.

        `name` is what its last operator is called, in errors and for rules. `chunk` is the most elements its chunks
        have: 1 makes each element run through all operators before the next is read. `supervisor` decides about
        failures of its functions.
        """
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk needs a size of 1 or more, not {chunk}")
        flow = self
        if name is not None and self.steps:
            last = Flow[Any, Any](self.steps[-1:]).within(lambda m: m.within(name=name)).steps[0]
            flow = Flow[In, Out]((*self.steps[:-1], replace(last, name=name)))
        if supervisor is not None:
            flow = flow.within(lambda m: m.within(name=m.name, supervisor=supervisor))
        return flow if chunk is None else flow.then(f"chunk({chunk})", lambda _, up: AtMost(up, chunk))

    def enclosed(self, name: str, attach: Callable[[Materializer, Flow[In, Out], Any], Stage[Any]]) -> Flow[In, Out]:
        """This flow as one step: `attach(m, flow, upstream)` makes its stages in each run, and what surrounds them."""

        def enclose(parts: tuple[Step, ...]) -> Step:
            flow = Flow[In, Out](closed(parts))
            starts = bool(parts) and parts[0].starts
            return Step(name, lambda m, upstream: attach(m, flow, upstream), starts, parts, enclose)

        return Flow((enclose(self.steps),))

    def within(self, inside: Callable[[Materializer], Materializer]) -> Flow[In, Out]:
        """This flow, each of whose steps is attached with an `inside(m)` of its own: for attributes."""

        def put(step: Step) -> Step:
            enclose = step.enclose

            def attach(m: Materializer, upstream: Stage[Any] | None) -> Stage[Any]:
                return step.attach(inside(m), upstream)

            def around(parts: tuple[Step, ...]) -> Step:
                return step if enclose is None else put(enclose(parts))

            return replace(step, attach=attach, enclose=None if enclose is None else around)

        return Flow(tuple(put(step) for step in self.steps))

    def attach(self, m: Materializer, upstream: Stage[Any] | None = None) -> Stage[Out]:
        """Fresh stages for one run, below `upstream`."""
        return attached(self.steps, m, upstream)

    def __repr__(self) -> str:
        return shown(self.steps) or "(empty flow)"


def attached(steps: tuple[Step, ...], m: Materializer, upstream: Stage[Any] | None = None) -> Stage[Any]:
    """The last stage of `steps`, which are made anew below `upstream`."""
    for step in closed(steps):
        upstream = step.attach(m, upstream)
    return cast("Stage[Any]", upstream)


def closed(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """`steps`, which leave no sub-streams open. Raises ValueError when they do."""
    for step in steps:
        if step.opens:
            raise ValueError(f"close the sub-streams of {step.name} with merge_substreams() or concat_substreams()")
    return steps


def shown(steps: tuple[Step, ...], *last: str) -> str:
    """A chain as people read it: `iterate → map(parse) → ignore`."""
    names = (name for step in steps for name in ((shown(step.parts), step.name) if step.parts else (step.name,)))
    return " → ".join([*names, *last])


Source = Flow[Nothing, T]
"""A flow that needs no input."""


def source(name: str, attach: Callable[[Materializer], Stage[T]]) -> Source[T]:
    """A source whose stage `attach(m)` makes, anew in each run."""
    return Flow((Step(name, lambda m, _: attach(m), starts=True),))


@overload
def flow() -> Flow[Any, Any]: ...
@overload
def flow(of: type[T]) -> Flow[T, T]: ...
def flow(of: object = None) -> Flow[Any, Any]:
    """An empty flow, to be extended: `flow().map(f)`. `flow(str)` says to type checkers what it takes."""
    return Flow()


@dataclass(frozen=True, slots=True)
class Sink(Generic[In, M]):
    """Takes elements of type `In`; gives a result of type `M` when the stream has ended."""

    name: str
    end: Callable[[Materializer, Stage[Any]], Terminal[M]]
    steps: tuple[Step, ...] = ()

    def supervised_by(self, supervisor: Supervisor, dead_letters: DeadLetters | None = None) -> Sink[In, M]:
        """This sink, whose own failures `supervisor` decides about; those of its flow stay with the stream's.

        What it puts aside goes to `dead_letters` where they are given.
        """

        def end(m: Materializer, upstream: Stage[Any]) -> Terminal[M]:
            return self.end(m.within(supervisor=supervisor, dead_letters=dead_letters), upstream)

        return Sink(self.name, end, self.steps)

    def attach(self, m: Materializer, upstream: Stage[In]) -> Terminal[M]:
        return self.end(m, attached(self.steps, m, upstream))

    def __repr__(self) -> str:
        return shown(self.steps, self.name)


class Running(Generic[M]):
    """A stream that was started: what its stages give to whoever started it, and the sink's result at its end."""

    def __init__(self, run: Coroutine[Any, Any, M], values: list[Any], begun: asyncio.Event) -> None:
        self._task = asyncio.ensure_future(run)
        self._task.add_done_callback(lambda _: begun.set())
        self._values = values

    @property
    def values(self) -> tuple[Any, ...]:
        """What stages have published, source side first: queues, monitors, switches."""
        return tuple(self._values)

    def value(self, kind: type[T]) -> T:
        """The one published value of that class, which may say of what: `value(SourceQueue[str])`.

        Raises LookupError when there is none, or more than one.
        """
        of: type[T] = get_origin(kind) or kind
        found = [value for value in self._values if isinstance(value, of)]
        if len(found) != 1:
            raise LookupError(f"The stream has published {len(found)} values of {of.__name__}, not one.")
        return found[0]

    @property
    def left(self) -> Any:
        """The first value the source side has published, None when there is none."""
        return self._values[0] if self._values else None

    async def right(self) -> M:
        """Waits for the end: the sink's result. Raises what the stream failed with."""
        return await asyncio.shield(self._task)

    async def both(self) -> tuple[Any, M]:
        """`left`, and `right` when it is there."""
        return self.left, await self.right()

    @property
    def done(self) -> bool:
        """Whether the stream has ended, failed or was cancelled."""
        return self._task.done()

    async def cancel(self) -> None:
        """Stops the stream hard, and waits until everything is closed."""
        await end_task(self._task)


def _switched(steps: tuple[Step, ...], switch: KillSwitch) -> tuple[Step, ...]:
    """The steps with `switch` directly below the source they start with."""
    first, rest = steps[0], steps[1:]
    if first.enclose is not None:
        return (first.enclose(_switched(first.parts, switch)), *rest)
    above = (first, *rest[:1]) if rest and rest[0].name == "source_ack" else (first,)
    return (*Flow[Any, Any](above).kill_switch(switch).steps, *steps[len(above) :])


@dataclass(frozen=True, slots=True)
class RunnableGraph(Generic[M]):
    """A whole stream, from source to sink."""

    steps: tuple[Step, ...]
    name: str
    end: Callable[[Materializer, Stage[Any]], Terminal[M]]

    def attach(self, m: Materializer) -> Terminal[M]:
        return self.end(m, attached(self.steps, m))

    def stopped_by(self, switch: KillSwitch) -> RunnableGraph[M]:
        """The same graph with `switch` directly below the source it starts with."""
        return RunnableGraph(_switched(self.steps, switch), self.name, self.end)

    def run(
        self,
        runtime: Runtime | None = None,
        supervisor: Supervisor | None = None,
        dead_letters: DeadLetters | None = None,
    ) -> Coroutine[Any, Any, M]:
        """Runs to the end; the sink's result. Raises what the stream failed with; cancelling stops the stream.

        Streams of one process share a `runtime`; without one, this run has its own. `supervisor` decides about
        failures where nothing nearer does; `dead_letters` takes what it puts aside where `dead_letter` does not.
        """
        if runtime is None:
            return self._run_alone(supervisor, dead_letters=dead_letters)
        return execute(self, runtime, supervisor, dead_letters=dead_letters)

    async def _run_alone(
        self,
        supervisor: Supervisor | None,
        started: Callable[[list[Any]], None] | None = None,
        dead_letters: DeadLetters | None = None,
    ) -> M:
        async with Runtime() as own:
            return await execute(self, own, supervisor, started, dead_letters)

    @asynccontextmanager
    async def start(
        self, runtime: Runtime | None = None, supervisor: Supervisor | None = None
    ) -> AsyncGenerator[Running[M]]:
        """Starts the stream; inside the block its stages can be talked to, and leaving it waits for the end.

            async with queue(16).map(parse).to(to_list()).start() as running:
                await running.value(SourceQueue).offer("1")

        An error in the block stops the stream. Raises what the stream failed with.
        """
        values: list[Any] = []
        begun, attached = asyncio.Event(), asyncio.Event()

        def started(published: list[Any]) -> None:
            values.extend(published)
            attached.set()
            begun.set()

        run = self._run_alone(supervisor, started) if runtime is None else execute(self, runtime, supervisor, started)
        running = Running(run, values, begun)
        try:
            await begun.wait()
            if not attached.is_set():
                await running.right()  # raises why it could not begin
            yield running
            await running.right()
        finally:
            await running.cancel()

    def __repr__(self) -> str:
        return shown(self.steps, self.name)
