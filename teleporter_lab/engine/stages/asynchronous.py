"""Operators whose function waits: map_async (ordered, unordered, partitioned by key), map_blocking, scan_async,
fold_async; and lazy_flow, which waits for its first element.

Owns the methods, the stage that works in a thread and those that are simple; `pool` and `partitioned` have the workers.
"""

from __future__ import annotations

from copy import copy
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.failure import FAILURES, failure_of
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.partitioned import Keyed, Partitioned
from teleporter_lab.engine.pool import MapAsync, MapAsyncUnordered
from teleporter_lab.engine.stage import PLENTY, Stage, Through
from teleporter_lab.engine.stages.aggregating import Answers
from teleporter_lab.engine.stages.transform import Narrow, Rows
from teleporter_lab.engine.supervision import Supervised

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator

    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


class Asynchronous(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def map_async(self, parallelism: int, function: Callable[[Out], Awaitable[B]]) -> Flow[In, B]:
        """Gives `await function(x)` for each element, up to `parallelism` at a time, in the order of the input.

        Emits when: the next result in order is there, together with all that follow it and are there too.
        Waits when: nothing below asks, or `parallelism` elements are in work.
        Completes when: its input has, and all results were given; an error from above waits for them too.
        Tokens: pass unchanged; pieces of a chunk share its tokens.
        Supervised: yes, by element; a retry holds up one worker, and those results that come after it.
        """
        _check("map_async", parallelism)
        name = named("map_async", function)
        return self.then(name, lambda m, up: MapAsync(Rows(up, m, name), m, name, function, parallelism))

    def map_async_unordered(self, parallelism: int, function: Callable[[Out], Awaitable[B]]) -> Flow[In, B]:
        """Gives `await function(x)` for each element, up to `parallelism` at a time, each as soon as it is there.

        Emits when: a result is there, together with all others that are.
        Waits when: nothing below asks, or `parallelism` elements are in work.
        Completes when: its input has, and all results were given; an error from above waits for them too.
        Tokens: pass unchanged; pieces of a chunk share its tokens.
        Supervised: yes, by element; a retry holds up one worker.
        """
        _check("map_async_unordered", parallelism)
        name = named("map_async_unordered", function)
        return self.then(name, lambda m, up: MapAsyncUnordered(Rows(up, m, name), m, name, function, parallelism))

    def map_async_partitioned(
        self,
        parallelism: int,
        partition: Callable[[Out], Hashable],
        function: Callable[[Out], Awaitable[B]],
        per_partition: int = 1,
    ) -> Flow[In, B]:
        """Like `map_async`, with at most `per_partition` elements at a time for which `partition(x)` gives the same.

        With 1, the elements of one key are worked one after the other. Elements whose key is busy hold up no others.
        Results are given in the order of the input.

        Emits when: the next result in order is there, together with all that follow it and are there too.
        Waits when: nothing below asks, or all that may be worked is in work.
        Completes when: its input has, and all results were given; an error from above waits for them too.
        Tokens: pass unchanged; pieces of a chunk share its tokens.
        Supervised: yes, by element, `partition` included.
        """
        _check("map_async_partitioned", parallelism)
        if per_partition < 1:
            raise ValueError(f"map_async_partitioned needs a per_partition of 1 or more, not {per_partition}")
        name = named("map_async_partitioned", function)
        limits = (parallelism, per_partition)
        return self.then(name, lambda m, up: Partitioned(Keyed(up, m, name, partition), m, name, function, limits))

    def map_blocking(self, function: Callable[[list[Out]], Iterable[B]]) -> Flow[In, B]:
        """Gives the items of `function(elements)`, called with a whole chunk in a driver thread.

        When it fails for a chunk, it is called for halves of it, down to the single element that fails; so it may see
        neighbours of such an element more than once, and nothing but their last result counts.

        Emits when: a result is not empty.
        Tokens: pass unchanged; the ledger counts how many more or fewer came out than went in.
        Supervised: yes, by element: it is tried again with a list of one, and its neighbours go on.
        """
        name = named("map_blocking", function)
        return self.then(name, lambda m, up: Narrow(MapBlocking(up, m, name, function), m.pace()))

    def scan_async(self, zero: B, function: Callable[[B, Out], Awaitable[B]]) -> Flow[In, B]:
        """Gives the running result: `await function(last result, x)` for each element in turn, beginning with `zero`.

        There is one result for each element; `zero` itself, which Pekko gives first, is none. Every run begins with
        the same `zero`, so `function` gives a new value and leaves the last one as it is.

        Emits when: a result is there.
        Waits when: nothing below asks, or an element is in work.
        Tokens: pass unchanged; pieces of a chunk share its tokens.
        Supervised: yes, by element; one that is left out does not count.
        """
        return self.then(named("scan_async", function), _running("scan_async", zero, function))

    def fold_async(self, zero: B, function: Callable[[B, Out], Awaitable[B]]) -> Flow[In, B]:
        """Gives one value at the end: `await function(await function(zero, x1), x2)…`, `zero` without elements.

        Every run begins with the same `zero`, so `function` gives a new value and leaves the last one as it is.
        Before an error there is no value.

        Emits when: its input has ended.
        Waits when: nothing below asks, or an element is in work.
        Tokens: the value answers for all records, so none is confirmed before the end and an ack window has to have
            room for the whole stream. All elements but one count as merged.
        Supervised: yes, by element; one that is left out does not count.
        """
        running = _running("fold_async", zero, function)
        return self.then(named("fold_async", function), lambda m, up: Final(running(m, up), zero))

    def lazy_flow(self, make: Callable[[], Flow[Out, B]]) -> Flow[In, B]:
        """The flow that `make()` gives, made when the first element is there; without elements it is not made.

        What that flow publishes cannot be asked for.

        Emits when: the flow does.
        Completes when: the flow does, or its input without an element.
        Tokens: as the flow does.
        Supervised: no. An error of `make` fails the stream.
        """
        return self.then(named("lazy_flow", make), lambda m, up: LazyFlow(up, m, make))


def _check(operator: str, parallelism: int) -> None:
    if parallelism < 1:
        raise ValueError(f"{operator} needs a parallelism of 1 or more, not {parallelism}")


def _running(
    operator: str, zero: B, function: Callable[[B, A], Awaitable[B]]
) -> Callable[[Materializer, Stage[A]], Stage[B]]:
    """Running results; a worker of its own makes them, so that a pull that is cancelled breaks no call off."""
    name = named(operator, function)

    def attach(m: Materializer, upstream: Stage[A]) -> Stage[B]:
        state = zero

        async def step(element: A) -> B:
            nonlocal state
            state = await function(state, element)
            return state

        return MapAsync(Rows(upstream, m, name), m, name, step, 1)

    return attach


class MapBlocking(Supervised[A, B]):
    """Calls its function with as much of a chunk as it can, to find the elements that fail."""

    __slots__ = ("_function",)

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[list[A]], Iterable[B]]
    ) -> None:
        super().__init__(upstream, m, name, blocking=True)
        self._function = function

    def work(self, elements: Iterator[A], out: list[B]) -> None:
        bad = 0
        """How many of the next elements are known to have one that fails among them."""
        while left := length_hint(elements):
            batch = list(islice(copy(elements), max(1, bad // 2) if bad else left))
            tried = len(batch)
            try:
                out += list(self._function(batch))
            except FAILURES:
                if tried == 1:
                    next(elements)
                    raise
                bad = tried
            else:
                bad = max(0, bad - tried)
                next(islice(elements, tried - 1, None))
        next(elements, None)  # it ends: no StopIteration of the function's did


class Final(Through[T, T]):
    """The last element alone, `zero` without elements; it answers for all."""

    __slots__ = ("_answers", "_last", "_over")

    def __init__(self, upstream: Stage[T], zero: T) -> None:
        super().__init__(upstream)
        self._answers = Answers()
        self._last = zero
        self._over = False

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._over:
            return await self.upstream.pull(n)
        while (chunk := await self.upstream.pull(PLENTY)) is not None:
            self._answers.add(chunk)
            self._last = chunk.data[-1]
        self._over = True
        return self._answers.whole(self._last)


class LazyFlow(Stage[B], Generic[A, B]):
    __slots__ = ("_failure", "_input", "_m", "_make", "_stage")

    def __init__(self, upstream: Stage[A], m: Materializer, make: Callable[[], Flow[A, B]]) -> None:
        super().__init__()
        self._input = _Peeked(upstream)
        self._m = m.within()
        self._make = make
        self._stage: Stage[B] | None = None
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[B] | None:
        if self._failure is not None:
            raise self._failure
        if self._stage is None:
            first = await self._input.peek()
            if first is None:
                return None
            self._stage = self._made(first)
        return await self._stage.pull(n)

    def _made(self, first: Chunk[A]) -> Stage[B]:
        try:
            return self._make().attach(self._m, self._input)
        except FAILURES as error:
            self._failure = failure_of(error)
        first.refuse(self._failure)
        raise self._failure

    async def on_close(self) -> None:
        await (self._stage or self._input).close()


class _Peeked(Through[T, T]):
    """A stage whose first element can be looked at before it is pulled."""

    __slots__ = ("_first",)

    def __init__(self, upstream: Stage[T]) -> None:
        super().__init__(upstream)
        self._first: Chunk[T] | None = None

    async def peek(self) -> Chunk[T] | None:
        """A chunk with the first element; None when there is none."""
        if self._first is None:
            self._first = await self.upstream.pull(1)
        return self._first

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._first is None:
            return await self.upstream.pull(n)
        first, self._first = self._first, None
        return first
