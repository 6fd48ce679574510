"""Operators with several sources: merge, merge_preferred, merge_prioritized, interleave, concat, prepend, or_else.

Owns their methods and stages. Where sources give as they come, each is pulled by a task of its own, one chunk ahead.
`merging` has those that look at the elements, `zipping` those that pair them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk, join
from teleporter_lab.engine.operators import Operators
from teleporter_lab.engine.stage import Stage, close_each, close_fully

if TYPE_CHECKING:
    from collections.abc import Iterator

    from teleporter_lab.engine.graph import Flow, Source
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


class FanIn(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def merge(self, *others: Source[Out], eager: bool = False) -> Flow[In, Out]:
        """Gives the elements of this flow and of `others` as they come; each keeps its own order.

        Fair: those that have something take turns by chunk. Fails with the first that fails.

        Emits when: one of them has an element.
        Completes when: all have, or with the first of them when `eager`.
        """
        return self.then("merge", lambda m, up: Merge(ahead(m, up, *others), m, eager))

    def merge_preferred(self, other: Source[Out], eager: bool = False) -> Flow[In, Out]:
        """Like `merge`, but `other` comes first whenever it has something; this flow fills the gaps.

        Emits when: either has an element.
        Completes when: both have, or with the first of them when `eager`.
        """
        return self.then("merge_preferred", lambda m, up: Preferred(ahead(m, up, other), m, eager))

    def merge_prioritized(
        self, *others: tuple[Source[Out], int], weight: int = 1, eager: bool = False
    ) -> Flow[In, Out]:
        """Like `merge`, but of those that have something each gets a share of the elements after its weight.

        `others` are pairs of a source and its weight, 1 or more; this flow has `weight`. With the weights 3 and 1,
        three of four elements come from the first as long as both have some; what one leaves the others get.

        Emits when: one of them has an element.
        Completes when: all have, or with the first of them when `eager`.
        """
        weights = [weight, *(one for _, one in others)]
        if min(weights) < 1:
            raise ValueError(f"merge_prioritized needs weights of 1 or more, not {min(weights)}.")
        sources = [one for one, _ in others]
        name = f"merge_prioritized({':'.join(map(str, weights))})"
        return self.then(name, lambda m, up: Prioritized(ahead(m, up, *sources), m, eager, weights))

    def interleave(self, other: Source[Out], segment: int = 1, eager: bool = False) -> Flow[In, Out]:
        """Gives `segment` elements of this flow, then as many of `other`, and so on in turn.

        When one has ended, the rest of the other follows.

        Emits when: the one whose turn it is has an element.
        Completes when: both have, or, when `eager`, as soon as it is the turn of one that has ended.
        """
        if segment < 1:
            raise ValueError(f"interleave needs a segment of 1 or more, not {segment}.")
        return self.then(f"interleave({segment})", lambda m, up: Interleave(ahead(m, up, other), m, segment, eager))

    def concat(self, *others: Source[Out]) -> Flow[In, Out]:
        """Gives the elements of this flow to its end, then those of the first of `others`, and so on.

        The others are made ready at once but not pulled before their turn. One that has ended is closed first.

        Emits when: the one whose turn it is has an element.
        Completes when: all have.
        """
        return self.then("concat", lambda m, up: Concat([up, *(other.attach(m) for other in others)]))

    def prepend(self, other: Source[Out]) -> Flow[In, Out]:
        """Gives the elements of `other` to its end, then those of this flow, which is not pulled before.

        Emits when: the one whose turn it is has an element.
        Completes when: both have.
        """
        return self.then("prepend", lambda m, up: Concat([other.attach(m), up]))

    def or_else(self, other: Source[Out]) -> Flow[In, Out]:
        """Gives the elements of `other` if this flow ends without any; else `other` is never pulled.

        Emits when: this flow has an element, or `other` has after this one gave none.
        Completes when: this flow does after it gave something, else with `other`.
        """
        return self.then("or_else", lambda m, up: OrElse(up, other.attach(m)))


def ahead(m: Materializer, upstream: Stage[Any], *others: Source[Any]) -> list[Ahead[Any]]:
    """The sources of a stage where tasks meet, each pulled by its own."""
    return [Ahead(stage, m.spawn) for _, stage in stages(m, upstream, *others)]


def stages(m: Materializer, upstream: Stage[Any], *others: Source[Any]) -> Iterator[tuple[Materializer, Stage[Any]]]:
    """The last stage of each source, and what the stages of its island share."""
    yield m, upstream
    for other in others:
        island = m.island()
        yield island, other.attach(island)


class Merge(Stage[T]):
    """Whoever has something; subclasses say who goes first, and may wait a little for it (`patient`)."""

    __slots__ = ("_clock", "_eager", "_next", "_pace", "failure", "open", "sources")

    patient = False

    def __init__(self, sources: list[Ahead[T]], m: Materializer, eager: bool) -> None:
        super().__init__()
        self.sources = sources
        self.open = list(sources)
        self._clock = m.clock
        self._pace = m.passing()
        self._eager = eager
        self._next = 0
        self.failure: Exception | None = None

    def in_order(self) -> list[Ahead[T]]:
        """The open sources, the one that may give first in front: here the one after the last that gave."""
        return [*self.open[self._next :], *self.open[: self._next]]

    def accept(self, source: Ahead[T], chunk: Chunk[T]) -> Chunk[T] | None:
        """What goes out for a chunk of `source`."""
        self._next = self.open.index(source) + 1
        return chunk

    def ended(self, source: Ahead[T], error: Exception | None) -> bool:
        """`source` has ended, or failed with `error`: whether that ends all."""
        self.failure = error
        return self._eager or error is not None

    def ask(self, n: int) -> list[asyncio.Task[None]]:
        """Asks the open sources for elements; the pulls to wait for."""
        return [source.start(n) for source in self.open]

    async def pull(self, n: int) -> Chunk[T] | None:
        fit = self._pace.fit(n)
        while self.open and self.failure is None:
            tasks = self.ask(n)
            if not any(task.done() for task in tasks):
                await self._clock.wait(tasks)
            if self.patient and not self.in_order()[0].ready:
                await asyncio.sleep(0)  # what it was asked for in this pull may be there at once
            await self._pace.turn()
            chunk = self._take(fit)
            if chunk is not None:
                self._pace.gave(len(chunk))
                return chunk
        if self.failure is not None:
            raise self.failure
        return None

    def _take(self, n: int) -> Chunk[T] | None:
        """What goes out for the first source that has something; None when that is nothing."""
        for source in self.in_order():
            if not source.ready:
                continue
            outcome = source.outcome(n)
            if isinstance(outcome, Chunk):
                return self.accept(source, outcome)
            self.open.remove(source)
            if self.ended(source, outcome):
                self.open.clear()
                return None
        return None

    async def on_close(self) -> None:
        await close_each(*(source.close for source in self.sources))


class Preferred(Merge[T]):
    """The last source goes first."""

    __slots__ = ()

    patient = True

    def in_order(self) -> list[Ahead[T]]:
        return self.open[::-1]


class Prioritized(Merge[T]):
    """Who has got the least for its weight goes first; who had nothing when another gave has no claim on it later."""

    __slots__ = ("_served",)

    patient = True

    def __init__(self, sources: list[Ahead[T]], m: Materializer, eager: bool, weights: list[int]) -> None:
        super().__init__(sources, m, eager)
        self._served = {source: [0.0, weight] for source, weight in zip(sources, weights, strict=True)}

    def in_order(self) -> list[Ahead[T]]:
        return sorted(self.open, key=lambda source: self._served[source][0])

    def accept(self, source: Ahead[T], chunk: Chunk[T]) -> Chunk[T] | None:
        served = self._served[source]
        for other in self.open:
            if not other.ready and other is not source:
                self._served[other][0] = max(self._served[other][0], served[0])
        served[0] += len(chunk) / served[1]
        return chunk


class Interleave(Stage[T]):
    """Asks each source for its part of the demand; `_turn` is the one that goes on, with `_left` of its segment.

    An error counts when it is the turn of the source it came from.
    """

    __slots__ = ("_clock", "_eager", "_ends", "_held", "_left", "_pace", "_segment", "_sources", "_turn")

    def __init__(self, sources: list[Ahead[T]], m: Materializer, segment: int, eager: bool) -> None:
        super().__init__()
        self._sources = sources
        self._clock = m.clock
        self._pace = m.passing()
        self._segment = self._left = segment
        self._eager = eager
        self._held: list[Chunk[T] | None] = [None, None]
        self._ends: list[Exception | bool] = [False, False]
        """Of each source: whether it has ended, or what with."""
        self._turn = 0

    async def pull(self, n: int) -> Chunk[T] | None:
        fit = self._pace.fit(n)
        while True:
            self._collect(fit)
            turn, end = self._turn, self._ends[self._turn]
            if self._held[turn] is not None:
                await self._pace.turn()
                chunk = self._cut(fit)
                self._pace.gave(len(chunk))
                return chunk
            if isinstance(end, Exception):
                raise end
            if end and (self._eager or (self._gone(1 - turn) and self._ends[1 - turn] is True)):
                return None
            if end:
                self._next()
            else:
                await self._clock.wait([self._sources[turn].start(1)])

    def _gone(self, i: int) -> bool:
        return self._held[i] is None and self._ends[i] is not False

    @property
    def _alone(self) -> bool:
        """Whether the rest is the source's whose turn it is."""
        return not self._eager and self._gone(1 - self._turn)

    def _next(self) -> None:
        self._turn, self._left = 1 - self._turn, self._segment

    def _collect(self, n: int) -> None:
        """Asks each source for its part of the next `n` elements, and takes what is there."""
        for i, count in enumerate(self._wanted(n)):
            source = self._sources[i]
            if self._held[i] is not None or self._ends[i] is not False or not count:
                continue
            source.start(count)
            if source.ready:
                outcome = source.outcome(count)
                if isinstance(outcome, Chunk):
                    self._held[i] = outcome
                else:
                    self._ends[i] = outcome or True

    def _wanted(self, n: int) -> tuple[int, int]:
        """How many of the next `n` elements each source has to give."""
        turn = self._turn
        if self._gone(turn) or self._alone:
            here = 0 if self._gone(turn) else n
        else:
            here = min(n, self._left)
            rounds, rest = divmod(n - here, 2 * self._segment)
            here += rounds * self._segment + max(0, rest - self._segment)
        return (here, n - here) if turn == 0 else (n - here, here)

    def _cut(self, n: int) -> Chunk[T]:
        """Up to `n` elements of what is held, as far as the turns go."""
        if self._alone:
            return self._piece(self._turn, n)
        rows = all(chunk is None or type(chunk.data) is list for chunk in self._held)
        counts, segments = [0, 0], list[tuple[int, int]]()
        while n > 0 and (rows or not segments):
            turn, chunk = self._turn, self._held[self._turn]
            count = min(n, self._left, 0 if chunk is None else len(chunk) - counts[turn])
            if count == 0:
                break
            segments.append((turn, count))
            counts[turn] += count
            n -= count
            self._left -= count
            if self._left == 0:
                self._next()
        return self._woven([self._piece(i, count) for i, count in enumerate(counts) if count], segments)

    def _piece(self, i: int, n: int) -> Chunk[T]:
        """The first elements that are held of one source, up to `n`."""
        chunk = self._held[i]
        if chunk is None:
            raise AssertionError("there is something to give")
        first, self._held[i] = chunk.split(n) if len(chunk) > n else (chunk, None)
        return first

    def _woven(self, pieces: list[Chunk[T]], segments: list[tuple[int, int]]) -> Chunk[T]:
        if len(pieces) == 1:
            return pieces[0]
        whole = join(pieces)
        data: list[T] = []
        at = [0, len(pieces[0])]
        for i, count in segments:
            data += whole.data[at[i] : at[i] + count]
            at[i] += count
        return Chunk(data, whole.tokens)

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


class OrElse(Stage[T]):
    __slots__ = ("_chosen", "_first", "_other")

    def __init__(self, first: Stage[T], other: Stage[T]) -> None:
        super().__init__()
        self._first = first
        self._other = other
        self._chosen: Stage[T] | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._chosen is None:
            chunk = await self._first.pull(n)
            self._chosen = self._other if chunk is None else self._first
            if chunk is not None:
                return chunk
            await close_fully(self._first.close)
        return await self._chosen.pull(n)

    async def on_close(self) -> None:
        await close_each(self._first.close, self._other.close)
