"""Operators that give each element to one of several ways: partition, balance, unzip, balanced.

Owns their methods, who gets what, and the stage that brings workers together again. `fan_out` has the operators that
give everything to all.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.junction import Branch, Junction, SideBySide
from teleporter_lab.engine.marks import Routing
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.share import give_back
from teleporter_lab.engine.stage import Stage, Terminal
from teleporter_lab.engine.stages.fan_in import Merge
from teleporter_lab.engine.stages.fan_out import Everyone, Parted, ended, side_by_side
from teleporter_lab.engine.supervision import Supervised

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.graph import Flow, Nothing, RunnableGraph, Sink
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
L = TypeVar("L")
R = TypeVar("R")


class Splitting(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def partition(self, *sinks: Sink[Out, Any], by: Callable[[Out], int]) -> RunnableGraph[list[Any]]:
        """Ends the stream in several sinks; each element goes to the one with the number `by(x)`, from 0 on.

        Gives the list of their results. A sink that ends early no longer gets its elements: they are left out. One
        that fails fails the stream.

        Emits when: there is input, and a sink asks.
        Waits when: no sink asks, or one has not taken yet what it was given.
        Completes when: all sinks have.
        Cancels when: all sinks do.
        Tokens: each sink answers for the elements it gets; those of elements left out are counted as filtered.
        Supervised: yes, `by` by element; a number that no sink has counts as its failure.
        """
        if not sinks:
            raise ValueError("partition needs at least one sink.")
        name = named("partition", by)

        def junction(m: Materializer, upstream: Stage[Any]) -> Junction[Any]:
            return Parted(Ahead(Routing(upstream, m, name, by, len(sinks)), m.spawn))

        return side_by_side(self, "partition", sinks, junction)

    def balance(self, *sinks: Sink[Out, Any]) -> RunnableGraph[list[Any]]:
        """Ends the stream in several sinks; each element goes to the first that asks. Gives the list of their results.

        What comes is spread over the sinks that wait at the time, by chunk: no sink gets more at once than it can
        work through in a few milliseconds. For sinks that wait for something else, `flow().with_attributes(chunk=1)`
        in front of each gives them one element at a time.

        Emits when: there is input, and a sink asks.
        Waits when: no sink asks.
        Completes when: all sinks have.
        Cancels when: all sinks do.
        Tokens: each sink answers for the elements it gets.
        """
        if not sinks:
            raise ValueError("balance needs at least one sink.")
        return side_by_side(self, "balance", sinks, lambda m, up: First(Ahead(up, m.spawn)))

    def unzip(
        self: Splitting[Any, tuple[A, B]], left_sink: Sink[A, L], right_sink: Sink[B, R]
    ) -> RunnableGraph[tuple[L, R]]:
        """Ends a stream of pairs in two sinks, one for the first of each pair and one for the second.

        Gives both results. A sink that ends early no longer counts; one that fails fails the stream.

        Emits when: there is input, and both sinks ask.
        Waits when: one of the sinks does not ask.
        Completes when: both sinks have.
        Cancels when: both sinks do.
        Tokens: each sink answers for every record, which is confirmed when both have settled it.
        Supervised: an element that is no pair counts as a failure.
        """
        from teleporter_lab.engine.graph import Sink  # a blueprint, made by the module that inherits this family

        sinks = (left_sink, right_sink)

        def end(m: Materializer, upstream: Stage[Any]) -> Terminal[tuple[L, R]]:
            pairs = Pairs(upstream, m, "unzip")
            return _Both(SideBySide(Halves(Ahead(pairs, m.spawn)), sinks, m))

        return cast("Flow[Nothing, tuple[A, B]]", self).to(Sink(ended("unzip", sinks), end))

    def balanced(self, workers: int, flow: Flow[Out, B]) -> Flow[In, B]:
        """Puts `workers` copies of `flow` side by side; each element goes through the first that asks.

        The results come as they are there, so the order of the input is lost. Each copy runs in a task of its own:
        that pays where copies wait for something, or each keeps something open. A copy may be given several elements
        at once; `flow().with_attributes(chunk=1)` in front of it gives it one at a time.

        Emits when: a worker has a result.
        Waits when: nothing below asks; no worker is asked for more than its part of the demand.
        Completes when: all workers have.
        Cancels when: what is below does, or all workers have ended.
        Tokens: as `flow` does. What a worker that ends early still holds stays un-confirmed.
        """
        if workers < 1:
            raise ValueError(f"balanced needs at least one worker, not {workers}.")

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            junction: First[Any] = First(Ahead(upstream, m.spawn), shares=False)
            islands = [m.island() for _ in range(workers)]
            stages = [flow.attach(island, Branch(junction, island)) for island in islands]
            return Workers([Ahead(stage, m.spawn) for stage in stages], junction, m)

        return self.then(f"balanced({workers}, {flow})", attach)


class First(Junction[T]):
    """Each element goes to the branch that asked first; what waits at the same time gets equal parts.

    What a branch had not begun with when it was closed goes to the others.
    """

    __slots__ = ("_asks", "_back", "_shares")

    def __init__(self, ahead: Ahead[T], shares: bool = True) -> None:
        super().__init__(ahead)
        self._shares = shares
        """Whether a branch answers for what it got: not where all flow on to the same sinks."""
        self._asks = count(1)
        self._back: deque[Chunk[Any]] = deque()

    def asking(self, branch: Branch[Any], n: int) -> int:
        """No more than it can work through in a few milliseconds, so that others get their part."""
        if not branch.asked:
            branch.asked_at = next(self._asks)
        return branch.pace.fit(n)

    def wanted(self, waiting: list[Branch[Any]]) -> int:
        return sum(branch.asked for branch in waiting)

    @property
    def over(self) -> bool:
        """What a branch has not taken yet may come back, and then somebody has to be there."""
        return self._over and not self._back and all(branch.chunk is None for branch in self.open)

    def give(self) -> None:
        while self._back and (n := self.wanted(self.waiting)):
            chunk = self._back.popleft()
            if len(chunk) > n:
                chunk, rest = chunk.split(n)
                self._back.appendleft(rest)
            self.hand_out(chunk)
            self.rouse()
        if self.over:
            self.rouse()
        super().give()

    def hand_out(self, chunk: Chunk[T]) -> None:
        waiting = sorted(self.waiting, key=lambda branch: branch.asked_at)
        alone = not self._shares or len(self.open) == 1
        for branch, size in zip(waiting, spread(len(chunk), [branch.asked for branch in waiting]), strict=True):
            if 0 < size < len(chunk):
                piece, chunk = chunk.split(size)
                branch.give(piece.data, piece.tokens, alone)
            elif size:
                branch.give(chunk.data, chunk.tokens, alone)

    async def leave(self, branch: Branch[Any]) -> None:
        if branch.chunk is not None and self.open:
            self._back.append(Chunk(branch.chunk.data, give_back(branch.chunk)))
            branch.chunk = None
        await super().leave(branch)


def spread(n: int, most: list[int]) -> list[int]:
    """`n` in parts as equal as can be, none larger than its `most`; these are enough for `n` together."""
    parts = [0] * len(most)
    while n > 0:
        room = [i for i, part in enumerate(parts) if part < most[i]]
        share = max(1, n // len(room))
        for i in room:
            part = min(share, most[i] - parts[i], n)
            parts[i] += part
            n -= part
    return parts


class Pairs(Supervised[Any, tuple[Any, Any]]):
    """Lets pairs pass."""

    __slots__ = ()

    def work(self, elements: Iterator[Any], out: list[tuple[Any, Any]]) -> None:
        for element in elements:
            left, right = element
            out.append((left, right))


class Halves(Everyone[tuple[Any, Any]]):
    """Each of two branches gets its half of every pair."""

    __slots__ = ()

    def part(self, branch: Branch[Any], chunk: Chunk[tuple[Any, Any]]) -> list[Any]:
        half = self.branches.index(branch)
        return [pair[half] for pair in chunk.data]


class _Both(Terminal[tuple[Any, Any]]):
    """The results of two sinks as a pair."""

    __slots__ = ("_sinks",)

    def __init__(self, sinks: SideBySide) -> None:
        self._sinks = sinks

    async def run(self) -> tuple[Any, Any]:
        left, right = await self._sinks.run()
        return left, right


class Workers(Merge[T]):
    """Asks its sources for no more than the demand together. An error from above the workers comes after their last."""

    __slots__ = ("_asked", "_error", "_junction")

    def __init__(self, sources: list[Ahead[T]], junction: First[Any], m: Materializer) -> None:
        super().__init__(sources, m, eager=False)
        self._junction = junction
        self._asked = dict.fromkeys(sources, 0)
        self._error: Exception | None = None

    def ask(self, n: int) -> list[asyncio.Task[None]]:
        idle = [source for source in self.open if not source.started]
        n = max(0, n - sum(self._asked[source] for source in self.open if source.started))
        for source, part in zip(idle, spread(n, [n] * len(idle)) if idle else (), strict=True):
            if part:
                self._asked[source] = part
                source.start(part)
        return [source.start(1) for source in self.open if source.started]

    def accept(self, source: Ahead[T], chunk: Chunk[T]) -> Chunk[T] | None:
        self._asked[source] -= len(chunk)
        return super().accept(source, chunk)

    def ended(self, source: Ahead[T], error: Exception | None) -> bool:
        if error is not None and error is not self._junction.error:
            return super().ended(source, error)
        self._error = error or self._error
        if not self.open:
            self.failure = self._error
        return False
