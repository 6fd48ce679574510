"""Blueprints: immutable descriptions of streams, free to share, to extend and to run many times.

Owns `Flow`, `Sink` and `RunnableGraph` and how they are joined; a `Source[T]` is a flow that needs no input. Each
operator is a method of a family in `stages/`, which `Flow` inherits. Refuses to hold anything that runs: `run` makes
fresh stages each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from teleporter_lab.engine.run import Runtime, execute
from teleporter_lab.engine.stages.asynchronous import Asynchronous
from teleporter_lab.engine.stages.delivery import Delivering
from teleporter_lab.engine.stages.errors import Recovering
from teleporter_lab.engine.stages.fan_in import FanIn
from teleporter_lab.engine.stages.fan_out import FanOut
from teleporter_lab.engine.stages.timing import Timing
from teleporter_lab.engine.stages.transform import Transforming

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.kill_switch import KillSwitch
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stage import Stage, Terminal
    from teleporter_lab.engine.supervision import Supervisor

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


class Flow(
    Transforming[In, Out],
    Asynchronous[In, Out],
    Timing[In, Out],
    FanIn[In, Out],
    FanOut[In, Out],
    Recovering[In, Out],
    Delivering[In, Out],
    Generic[In, Out],
):
    """Takes elements of type `In`, gives elements of type `Out`. A `Source[T]` is a `Flow[Nothing, T]`."""

    __slots__ = ("steps",)

    def __init__(self, steps: tuple[Step, ...] = ()) -> None:
        self.steps = steps

    def then(self, name: str, attach: Callable[[Materializer, Stage[Any]], Stage[Any]]) -> Flow[In, Any]:
        """This flow with one more operator below it; `attach(m, upstream)` makes its stage in each run."""

        def below(m: Materializer, upstream: Stage[Any] | None) -> Stage[Any]:
            if upstream is None:
                raise AssertionError(f"{name} has nothing above it")
            return attach(m, upstream)

        return Flow((*self.steps, Step(name, below)))

    def via(self, flow: Flow[Out, Next]) -> Flow[In, Next]:
        """This flow, and `flow` below it."""
        return Flow((*self.steps, *flow.steps))

    @overload
    def to(self: Flow[Nothing, Out], sink: Sink[Out, M]) -> RunnableGraph[M]: ...
    @overload
    def to(self, sink: Sink[Out, M]) -> Sink[In, M]: ...
    def to(self, sink: Sink[Out, M]) -> RunnableGraph[M] | Sink[In, M]:
        """This flow ended by `sink`: a graph that can run, or a sink when this is no source."""
        steps = (*self.steps, *sink.steps)
        if steps and steps[0].starts:
            return RunnableGraph(steps, sink.name, sink.end)
        return Sink(sink.name, sink.end, steps)

    def attach(self, m: Materializer, upstream: Stage[Any] | None = None) -> Stage[Out]:
        """Fresh stages for one run, below `upstream`."""
        for step in self.steps:
            upstream = step.attach(m, upstream)
        return cast("Stage[Out]", upstream)

    def __repr__(self) -> str:
        return " → ".join(step.name for step in self.steps) or "(empty flow)"


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

    def attach(self, m: Materializer, upstream: Stage[In]) -> Terminal[M]:
        return self.end(m, Flow[In, Any](self.steps).attach(m, upstream))

    def __repr__(self) -> str:
        return " → ".join([*(step.name for step in self.steps), self.name])


@dataclass(frozen=True, slots=True)
class RunnableGraph(Generic[M]):
    """A whole stream, from source to sink."""

    steps: tuple[Step, ...]
    name: str
    end: Callable[[Materializer, Stage[Any]], Terminal[M]]

    def attach(self, m: Materializer) -> Terminal[M]:
        return self.end(m, Flow[Nothing, Any](self.steps).attach(m))

    def stopped_by(self, switch: KillSwitch) -> RunnableGraph[M]:
        """The same graph with `switch` directly below the source it starts with."""
        switched = Flow[Any, Any](self.steps[:1]).kill_switch(switch)
        return RunnableGraph((*switched.steps, *self.steps[1:]), self.name, self.end)

    async def run(self, runtime: Runtime | None = None, supervisor: Supervisor | None = None) -> M:
        """Runs to the end; the sink's result. Raises what the stream failed with; cancelling stops the stream.

        Streams of one process share a `runtime`; without one, this run has its own.
        """
        if runtime is not None:
            return await execute(self, runtime, supervisor)
        async with Runtime() as own:
            return await execute(self, own, supervisor)

    def __repr__(self) -> str:
        return " → ".join([*(step.name for step in self.steps), self.name])
