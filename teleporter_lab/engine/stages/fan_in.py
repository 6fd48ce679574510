"""Operators with several sources: merge, concat, zip.

Owns their methods and stages. In merge and zip each source is pulled by a task of its own, one chunk ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.operators import Operators
from teleporter_lab.engine.stage import Stage, close_each, close_fully

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Flow, Source
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
Other = TypeVar("Other")
T = TypeVar("T")


class FanIn(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def merge(self, *others: Source[Out], eager: bool = False) -> Flow[In, Out]:
        """Gives the elements of this flow and of `others` as they come; each keeps its own order.

        Fair: the sources that have something take turns by chunk. Completes when all have, or with the first of them
        when `eager`. Fails with the first that fails. Tokens pass unchanged.
        """

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            stages = [upstream, *(other.attach(m.island()) for other in others)]
            return Merge([Ahead(stage, m.spawn) for stage in stages], m, eager)

        return self.then("merge", attach)

    def concat(self, *others: Source[Out]) -> Flow[In, Out]:
        """Gives the elements of this flow to its end, then those of the first of `others`, and so on.

        The others are made ready at once but not pulled before their turn. Tokens pass unchanged.
        """

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            return Concat([upstream, *(other.attach(m) for other in others)])

        return self.then("concat", attach)

    def zip(self, other: Source[Other]) -> Flow[In, tuple[Out, Other]]:
        """Pairs of the n-th element here and the n-th there. Completes when either has ended.

        A pair answers for the records of both sides.
        """
        return self.then("zip", lambda m, up: Zip(Ahead(up, m.spawn), Ahead(other.attach(m.island()), m.spawn)))


class Merge(Stage[T]):
    __slots__ = ("_clock", "_eager", "_failure", "_next", "_open", "_pace", "_sources")

    def __init__(self, sources: list[Ahead[T]], m: Materializer, eager: bool) -> None:
        super().__init__()
        self._sources = sources
        self._open = list(sources)
        self._clock = m.clock
        self._pace = m.pace()
        self._eager = eager
        self._next = 0
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        fit = self._pace.fit(n)
        while self._open and self._failure is None:
            tasks = [source.start(n) for source in self._open]
            if not any(task.done() for task in tasks):
                await self._clock.wait(tasks)
            await self._pace.turn()
            chunk = self._take(fit)
            if chunk is not None:
                self._pace.gave(len(chunk))
                return chunk
        if self._failure is not None:
            raise self._failure
        return None

    def _take(self, n: int) -> Chunk[T] | None:
        """A chunk of the next source in turn that has one; None when the ready ones are over."""
        count = len(self._open)
        for source in [self._open[(self._next + i) % count] for i in range(count)]:
            if not source.ready:
                continue
            outcome = source.outcome(n)
            if isinstance(outcome, Exception):
                self._failure = outcome
                return None
            if outcome is not None:
                self._next = self._open.index(source) + 1
                return outcome
            self._open.remove(source)
            if self._eager:
                self._open.clear()
                return None
        return None

    async def on_close(self) -> None:
        await close_each(*(source.close for source in self._sources))


class Concat(Stage[T]):
    __slots__ = ("_at", "_stages")

    def __init__(self, stages: list[Stage[T]]) -> None:
        super().__init__()
        self._stages = stages
        self._at = 0

    async def pull(self, n: int) -> Chunk[T] | None:
        while self._at < len(self._stages):
            stage = self._stages[self._at]
            chunk = await stage.pull(n)
            if chunk is not None:
                return chunk
            self._at += 1
            await close_fully(stage.close)
        return None

    async def on_close(self) -> None:
        await close_each(*(stage.close for stage in self._stages))


class Zip(Stage[Any]):
    __slots__ = ("_left", "_rest", "_right")

    def __init__(self, left: Ahead[Any], right: Ahead[Any]) -> None:
        super().__init__()
        self._left = left
        self._right = right
        self._rest: Chunk[Any] | None = None
        """What of the left side waits for its other half."""

    async def pull(self, n: int) -> Chunk[Any] | None:
        self._right.start(n)
        if self._rest is None:
            self._rest = await self._left.next(n)
        left = self._rest
        if left is None:
            return None
        right = await self._right.next(min(n, len(left)))
        if right is None:
            return None
        if len(right) < len(left):
            left, self._rest = left.split(len(right))
        else:
            self._rest = None
        if left.tokens and right.tokens:
            left.tokens[-1].account("merged", len(left))
        return Chunk(list(zip(left.data, right.data, strict=True)), (*left.tokens, *right.tokens))

    async def on_close(self) -> None:
        await close_each(self._left.close, self._right.close)
