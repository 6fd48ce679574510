"""Stages that make one of several elements when it is time to: batch, conflate, aggregate_with_boundary.

Owns how elements go into an aggregate, by element and under supervision, and what the aggregate answers for.
`buffering` has the methods. The functions work on a chunk and say where in it an aggregate became whole (`OPEN`
elsewhere); below, each aggregate gets the tokens of what is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk, Held
from teleporter_lab.engine.lone_call import LoneCall, Missing
from teleporter_lab.engine.reservoir import Reservoir
from teleporter_lab.engine.stage import Stage, Through
from teleporter_lab.engine.stages.weighing import Typical, checked
from teleporter_lab.engine.supervision import Supervised, attempt
from teleporter_lab.engine.turnstile import MAX_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.run import Materializer

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

OPEN: Any = object()
"""No aggregate became whole, or none is there."""


class Answers:
    """What an aggregate that is still open answers for. Elements count as merged when they come."""

    __slots__ = ("tokens",)

    def __init__(self) -> None:
        self.tokens: list[Token] = []

    def add(self, chunk: Chunk[Any]) -> None:
        """Its elements are in the aggregate."""
        if chunk.tokens:
            chunk.tokens[-1].account("merged", len(chunk))
            self.tokens += chunk.tokens

    def whole(self, aggregate: B) -> Chunk[B]:
        """The aggregate, which answers for all that was added; the next one begins."""
        tokens, self.tokens = self.tokens, []
        if tokens:
            tokens[-1].account("merged", -1)
        return Chunk([aggregate], tuple(tokens))

    def cut(self, chunk: Chunk[Any], including: int, held: Held[Any]) -> None:
        """Adds `chunk`, which says where aggregates became whole: with that element (1), or before it (0)."""
        rest: Chunk[Any] | None = chunk
        begin = 0
        for i, aggregate in enumerate(chunk.data):
            if aggregate is OPEN or rest is None:
                continue
            end = i + including
            if end - begin == len(rest):
                self.add(rest)
                rest = None
            elif end > begin:
                part, rest = rest.split(end - begin)
                self.add(part)
            begin = end
            held.add(self.whole(aggregate))
        if rest is not None:
            self.add(rest)


class Batching(Generic[A, B]):
    """How elements become one: `seed(x)`, then `add(last, x)`, as long as they cost `most` together, 1 each unless
    `cost(x)` says otherwise."""

    __slots__ = ("add", "cost", "most", "seed")

    def __init__(
        self,
        seed: Callable[[A], B],
        add: Callable[[B, A], B],
        most: float | None = None,
        cost: Callable[[A], float] | None = None,
    ) -> None:
        self.seed = seed
        self.add = add
        self.most = float("inf") if most is None else most
        self.cost = cost


class _Adding(Supervised[A, Any], Generic[A, B]):
    """Adds elements to `aggregate`; gives OPEN for each, or the aggregate that it did not fit into any more."""

    __slots__ = ("_batching", "_typical", "aggregate", "left", "midway")

    def __init__(self, upstream: Stage[A], m: Materializer, name: str, batching: Batching[A, B]) -> None:
        super().__init__(upstream, m, name)
        self._batching = batching
        self._typical = Typical()
        self.aggregate: B = OPEN
        self.left = batching.most
        """What more elements may cost."""
        self.midway = False
        """Whether the aggregate has elements whose chunk was not given yet."""

    def work(self, elements: Iterator[A], out: list[Any]) -> None:
        batching, before, most = self._batching, len(out), self._batching.most
        seed, add, cost_of = batching.seed, batching.add, batching.cost
        try:
            for element in elements:
                cost = 1 if cost_of is None else checked(cost_of(element))
                if self.aggregate is OPEN:
                    self.aggregate, self.left = seed(element), most - cost
                    out.append(OPEN)
                elif cost > self.left:
                    next_one = seed(element)
                    out.append(self.aggregate)
                    self.aggregate, self.left = next_one, most - cost
                else:
                    self.aggregate = add(self.aggregate, element)
                    self.left -= cost
                    out.append(OPEN)
                if cost_of is not None:
                    self._typical.saw(1, cost)
        finally:
            self.midway = self.midway or len(out) > before

    def room(self) -> int:
        left = self._batching.most if self.aggregate is OPEN else self.left
        if left <= 0 or self._batching.cost is None:
            return int(min(left, MAX_CHUNK))
        return self._typical.count(left)


class Batch(Reservoir[Any, B], Generic[A, B]):
    """Adds elements while what is below is busy. A pull that waits takes what the first chunk makes."""

    __slots__ = ("_adding", "_answers", "_whole")

    def __init__(self, upstream: Stage[A], m: Materializer, name: str, batching: Batching[A, B]) -> None:
        self._adding: _Adding[A, B] = _Adding(upstream, m, name, batching)
        super().__init__(self._adding, m)
        self._answers = Answers()
        self._whole: Held[B] = Held()

    def room(self) -> int:
        return 0 if self._whole.count or (self.asked and self._there()) else self._adding.room()

    def keep(self, chunk: Chunk[Any]) -> None:
        self._adding.midway = False
        self._answers.cut(chunk, 0, self._whole)

    def _there(self) -> bool:
        """Whether there is something to give."""
        return bool(self._whole.count) or not (self._adding.aggregate is OPEN or self._adding.midway)

    async def give(self, n: int) -> Chunk[B] | None:
        while True:
            if not self._there():
                if self.over:
                    return self.end()
                await self.more()
                continue
            await self.pace.turn()
            if self._whole.count:
                return self._whole.take(min(n, self._whole.count))
            if self._there():
                aggregate, self._adding.aggregate = self._adding.aggregate, OPEN
                return self._answers.whole(aggregate)


class Aggregating(Supervised[A, Any], Generic[A, B, C]):
    """Adds elements to `aggregate`; gives OPEN for each, or what was harvested when it made the aggregate whole."""

    __slots__ = ("_functions", "aggregate", "midway")

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str,
        functions: tuple[Callable[[], B], Callable[[B, A], tuple[B, bool]], Callable[[B], C]],
    ) -> None:  # fmt: skip
        super().__init__(upstream, m, name)
        self._functions = functions
        self.aggregate: B = OPEN
        self.midway = False
        """Whether the aggregate has elements whose chunk was not given yet."""

    def work(self, elements: Iterator[A], out: list[Any]) -> None:
        allocate, aggregate, harvest = self._functions
        before = len(out)
        try:
            for element in elements:
                now, whole = aggregate(allocate() if self.aggregate is OPEN else self.aggregate, element)
                out.append(harvest(now) if whole else OPEN)
                self.aggregate = OPEN if whole else now
        finally:
            self.midway = self.midway or len(out) > before

    def take(self) -> B:
        """The aggregate as it is; the next element begins a new one."""
        aggregate, self.aggregate = self.aggregate, OPEN
        return aggregate


class Aggregated(Through[Any, C], Generic[B, C]):
    """Gives what became whole by an element, and what is left at the end, also before an error."""

    __slots__ = ("_answers", "_broken", "_call", "_failure", "_harvest", "_leaving", "_over", "inner", "whole")

    def __init__(
        self, inner: Aggregating[Any, B, C], m: Materializer, name: str, harvest: Callable[[B], C]
    ) -> None:  # fmt: skip
        super().__init__(inner)
        self.inner = inner
        self.whole: Held[C] = Held()
        self._answers = Answers()
        self._call = LoneCall(m, name, "harvest")
        self._harvest = harvest
        self._leaving: Chunk[B] | None = None
        """An aggregate that was taken, and is not harvested yet."""
        self._over = False
        self._failure: Exception | None = None
        self._broken: Exception | None = None
        """What a function failed with outside of a chunk: nothing more is given."""

    async def pull(self, n: int) -> Chunk[C] | None:
        while not self.whole.count:
            if self._broken is not None:
                raise self._broken
            if self._leaving is not None:
                await self._harvested(self._leaving)
            elif not self._over:
                await self.read(n)
            elif self.inner.aggregate is not OPEN:
                self.leave()
            else:
                return self._end()
        return self.whole.take(min(n, self.whole.count))

    def _end(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def read(self, n: int) -> None:
        self.keep(await attempt(self.inner, n))

    def keep(self, outcome: Chunk[Any] | Exception | None) -> None:
        """Takes what came from above."""
        self.inner.midway = False
        if isinstance(outcome, Chunk):
            self._answers.cut(outcome, 1, self.whole)
        else:
            self._over, self._failure = True, outcome

    def leave(self) -> None:
        """The aggregate is to be harvested as it is."""
        self._leaving = self._answers.whole(self.inner.take())

    async def _harvested(self, leaving: Chunk[B]) -> None:
        aggregate = leaving.data[0]
        try:
            harvest = await self._call.outcome(lambda: self._harvest(aggregate), aggregate, leaving.tokens)
        except Exception as error:  # noqa: BLE001 - raised by pull, now and later
            leaving.refuse(error)
            self._broken = error
        else:
            self._give(harvest, leaving)
        self._leaving = None

    def _give(self, harvest: C | Missing, leaving: Chunk[B]) -> None:
        if not isinstance(harvest, Missing):
            self.whole.add(Chunk([harvest], leaving.tokens))
            return
        if leaving.tokens:
            leaving.tokens[-1].account(harvest.account, 1)
        leaving.confirm()


class AggregatedOnTimer(Aggregated[B, C]):
    """Asks at times whether the aggregate is whole as it is."""

    __slots__ = ("_ahead", "_ask", "_clock", "_predicate", "_seconds", "_tick")

    def __init__(
        self, inner: Aggregating[Any, B, C], m: Materializer, name: str, harvest: Callable[[B], C],
        timer: tuple[Callable[[B], object], float],
    ) -> None:  # fmt: skip
        super().__init__(inner, m, name, harvest)
        self._clock = m.clock
        self._ahead: Ahead[Any] = Ahead(inner, m.spawn)
        self._ask = LoneCall(m, name)
        self._predicate, self._seconds = timer
        self._tick: float | None = None

    async def read(self, n: int) -> None:
        now = self._clock.now()
        if self._tick is None:
            self._tick = now + self._seconds
        task = self._ahead.start(n)
        if task.done():
            self.keep(self._ahead.outcome(n))
        elif self._tick > now or self.inner.midway:
            await self._clock.wait((task,), self._tick - now if self._tick > now else None)
        else:
            if self.inner.aggregate is not OPEN:
                await self._ask_whether_whole(self.inner.aggregate)
            self._tick += self._seconds * (1 + (now - self._tick) // self._seconds)

    async def _ask_whether_whole(self, aggregate: B) -> None:
        try:
            whole = await self._ask.outcome(lambda: bool(self._predicate(aggregate)), aggregate)
        except Exception as error:  # noqa: BLE001 - raised by pull, now and later
            self._broken = error
            return
        if whole is True and self.inner.aggregate is aggregate and not self.inner.midway:
            self.leave()

    async def on_close(self) -> None:
        await self._ahead.close()
