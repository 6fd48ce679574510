"""Operators for two ends with a pace of their own: buffer, async_boundary, detach, batch, batch_weighted, conflate,
conflate_with_seed, expand, extrapolate, aggregate_with_boundary.

Owns their methods and the stages that hold elements; `aggregating` and `expanding` have those that make something of
them. Most read ahead in a task of their own (`reservoir`), so `take` below them may find that more was read than it
took; what is held stays un-confirmed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.reservoir import Pieces, Reservoir
from teleporter_lab.engine.stages.aggregating import Aggregated, AggregatedOnTimer, Aggregating, Batch, Batching
from teleporter_lab.engine.stages.expanding import Expand, Iterating, first_itself

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stage import Stage

In = TypeVar("In")
Out = TypeVar("Out")
B = TypeVar("B")
C = TypeVar("C")
T = TypeVar("T")

Overflow = Literal["wait", "drop_head", "drop_tail", "drop_buffer", "drop_new", "fail"]
"""What a full buffer does about one element more."""

BOUNDARY = 1024
"""Elements an async boundary holds, unless it is told otherwise."""


class BufferOverflow(RuntimeError):
    """A buffer that may not wait was full when one more element came."""

    def __init__(self, size: int) -> None:
        super().__init__(f"The buffer holds {size} elements and one more came: make it larger, or let it wait or drop.")


class Buffering(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def buffer(self, size: int, overflow: Overflow = "wait") -> Flow[In, Out]:
        """Reads up to `size` elements ahead, so that a slow time below does not slow down what is above.

        What a full buffer does about one element more: `wait` reads no further until half of it is free; `drop_head`
        leaves out the oldest element held, `drop_tail` the youngest, `drop_buffer` all of them, `drop_new` the new
        one; `fail` fails with BufferOverflow, after what is held. Nothing is left out that a pull below waits for.

        Emits when: it holds something.
        Waits when: nothing below asks; what is above waits when the buffer is full and `overflow` is `wait`.
        Completes when: its input has, and all elements held were given; an error from above waits for them too.
        Tokens: pass unchanged; what is left out counts as filtered and is confirmed.
        """
        if size < 1:
            raise ValueError(f"buffer needs a size of 1 or more, not {size}")
        if overflow == "wait":
            return self.then(f"buffer({size})", lambda m, up: Buffer(up, m, size))
        if overflow not in _OVERFLOWS:
            raise ValueError(f"buffer's overflow is wait, {', '.join(_OVERFLOWS)}, not {overflow}")
        kind = _OVERFLOWS[overflow]
        return self.then(f"buffer({size}, {overflow})", lambda m, up: kind(up, m, size))

    def async_boundary(self, size: int = BOUNDARY) -> Flow[In, Out]:
        """Runs everything above in a task of its own, up to `size` elements ahead.

        What is above and what is below are paced apart: each has chunks as large as its own work allows.

        Emits when: it holds something.
        Waits when: nothing below asks; what is above waits when `size` elements are held, until half of them are gone.
        Completes when: its input has, and all elements held were given; an error from above waits for them too.
        Like: Pekko's async.
        """
        if size < 1:
            raise ValueError(f"async_boundary needs a size of 1 or more, not {size}")

        def attach(m: Materializer, above: Flow[In, Out], upstream: Any) -> Stage[Any]:
            return Buffer(above.attach(m.apart(), upstream), m, size)

        return cast("Flow[In, Out]", self).enclosed(f"async_boundary({size})", attach)

    def detach(self) -> Flow[In, Out]:
        """Reads one chunk ahead, as large as the last demand below.

        Emits when: it holds something.
        Completes when: its input has, and the chunk held was given; an error from above waits for it too.
        """
        return self.then("detach", lambda m, up: Detach(up, m))

    def batch(self, max: int, seed: Callable[[Out], B], add: Callable[[B, Out], B]) -> Flow[In, B]:
        """Makes one of the up to `max` elements that come while what is below is busy.

        The first makes `seed(x)`, each further one `add(last result, x)`. What comes together is made one, too, also
        when something below waits for it.

        Emits when: there is something. A pull gives one result, or more when an earlier one was full.
        Waits when: nothing below asks; what is above waits when `max` elements are in the result.
        Completes when: its input has, and the last result was given; an error from above waits for it too.
        Tokens: a result answers for the records of all elements in it; they count as merged.
        Supervised: yes, by element; one that is left out is in no result.
        """
        if max < 1:
            raise ValueError(f"batch needs a max of 1 or more, not {max}")
        return self._batch(named("batch", add), Batching(seed, add, max))

    def batch_weighted(
        self, max: float, cost: Callable[[Out], float], seed: Callable[[Out], B], add: Callable[[B, Out], B]
    ) -> Flow[In, B]:
        """Like `batch`, for elements that together cost up to `max`; one that is dearer makes a result of its own.

        Emits when: there is something. A pull gives one result, or more when earlier ones were full.
        Waits when: nothing below asks; what is above waits when the result costs `max`.
        Completes when: its input has, and the last result was given; an error from above waits for it too.
        Tokens: a result answers for the records of all elements in it; they count as merged.
        Supervised: yes, by element; one that is left out is in no result.
        """
        if not max > 0:
            raise ValueError(f"batch_weighted needs a max above 0, not {max}")
        return self._batch(named("batch_weighted", add), Batching(seed, add, max, cost))

    def conflate(self, add: Callable[[Out, Out], Out]) -> Flow[In, Out]:
        """Makes one of all elements that come while what is below is busy: `add(last result, x)` for each.

        What is above never waits.

        Emits when: there is something. A pull gives one result.
        Completes when: its input has, and the last result was given; an error from above waits for it too.
        Tokens: a result answers for the records of all elements in it; they count as merged.
        Supervised: yes, by element; one that is left out is in no result.
        """
        return self._batch(named("conflate", add), Batching(_itself, add))

    def conflate_with_seed(self, seed: Callable[[Out], B], add: Callable[[B, Out], B]) -> Flow[In, B]:
        """Like `conflate`, with `seed(x)` for the first element of a result.

        Emits when: there is something. A pull gives one result.
        Completes when: its input has, and the last result was given; an error from above waits for it too.
        Tokens: a result answers for the records of all elements in it; they count as merged.
        Supervised: yes, by element; one that is left out is in no result.
        """
        return self._batch(named("conflate_with_seed", add), Batching(seed, add))

    def _batch(self, name: str, batching: Batching[Any, B]) -> Flow[In, B]:
        return self.then(name, lambda m, up: Batch(up, m, name, batching))

    def expand(self, function: Callable[[Out], Iterator[B]]) -> Flow[In, B]:
        """Gives the first item of `function(x)` for each element, and further ones as long as nothing new came.

        An iterator may be without end; it is left as soon as the next element is there, and with the end of the input.
        One that is empty leaves the element out. Extra items are given one a pull, so that they are never stale.

        Emits when: there is input, or the last iterator has one more item.
        Waits when: nothing below asks, or the last iterator is at its end and nothing came.
        Tokens: the first item answers for the record, further ones for none; an element left out counts as filtered.
        Supervised: yes, by element; an iterator whose further item fails is left.
        """
        name = named("expand", function)

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            inner: Iterating[Any, B] = Iterating(upstream, m, name, function)
            return Expand(inner, m, name)

        return self.then(name, attach)

    def extrapolate(self, function: Callable[[Out], Iterator[Out]], initial: Out | None = None) -> Flow[In, Out]:
        """Gives each element, and the items of `function(x)` as long as nothing new came.

        With `initial` (None: nothing) the stream begins with that element and what is made of it. An iterator may be
        without end. Made items are given one a pull, so that they are never stale.

        Emits when: there is input, or the last iterator has one more item.
        Waits when: nothing below asks, or the last iterator is at its end and nothing came.
        Tokens: the element answers for the record; `initial` and made items have none.
        Supervised: yes, by element; an iterator whose item fails is left.
        """
        name = named("extrapolate", function)
        steps = first_itself(function)

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            inner: Iterating[Any, Any] = Iterating(upstream, m, name, steps)
            stage = Expand(inner, m, name)
            if initial is not None:
                stage.begin(steps(initial), initial)
            return stage

        return self.then(name, attach)

    def aggregate_with_boundary(
        self,
        allocate: Callable[[], B],
        aggregate: Callable[[B, Out], tuple[B, bool]],
        harvest: Callable[[B], C],
        emit_on_timer: tuple[Callable[[B], object], float] | None = None,
    ) -> Flow[In, C]:
        """Gives `harvest(aggregate)` whenever `aggregate(last aggregate, x) -> (aggregate, whole)` says it is whole.

        Each begins with `allocate()`. With `emit_on_timer = (predicate, seconds)` an aggregate also is whole when
        `predicate(aggregate)` is true, asked each `seconds` while something below waits. Before an error and at the
        end what is left is given as it is.

        Emits when: an aggregate is whole, and at the end.
        Tokens: what is given answers for the records of all elements in it; they count as merged.
        Supervised: yes, by element, `allocate` and `harvest` included; `aggregate` gives a new value rather than
            change the one it got, so that an element can be tried again. At the end and by the timer an aggregate is
            the element; one that is left out counts as skipped.
        """
        if emit_on_timer is not None and not emit_on_timer[1] > 0:
            raise ValueError(f"aggregate_with_boundary needs a timer of seconds > 0, not {emit_on_timer[1]}")
        name = named("aggregate_with_boundary", aggregate)

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            inner: Aggregating[Any, B, C] = Aggregating(upstream, m, name, (allocate, aggregate, harvest))
            if emit_on_timer is None:
                return Aggregated(inner, m, name, harvest)
            return AggregatedOnTimer(inner, m, name, harvest, emit_on_timer)

        return self.then(name, attach)


def _itself(element: T) -> T:
    return element


class Buffer(Reservoir[T, T]):
    """Reads on until it is full, then again when half of it is free."""

    __slots__ = ("_filling", "held", "size")

    def __init__(self, upstream: Stage[T], m: Materializer, size: int) -> None:
        super().__init__(upstream, m)
        self.size = size
        self.held: Pieces[T] = Pieces()
        self._filling = True

    def room(self) -> int:
        free = self.size - self.held.count
        if free <= 0:
            self._filling = False
        elif free * 2 >= self.size:
            self._filling = True
        return free if self._filling else 0

    def keep(self, chunk: Chunk[T]) -> None:
        self.held.add(chunk)

    async def give(self, n: int) -> Chunk[T] | None:
        fit = self.pace.fit(n)
        while not self.held.count:
            if self.over:
                return self.end()
            await self.more()
        await self.pace.turn()
        chunk = self.held.give(fit)
        self.pace.gave(len(chunk))
        return chunk


class Detach(Buffer[T]):
    """As large as the last demand; reads again when it is empty."""

    __slots__ = ()

    def __init__(self, upstream: Stage[T], m: Materializer) -> None:
        super().__init__(upstream, m, 1)

    def room(self) -> int:
        self.size = self.asked or self.size
        return 0 if self.held.count else self.size


class Dropping(Buffer[T]):
    """Goes on reading when it is full, unless a pull is about to take something. Subclasses say what is left out."""

    __slots__ = ()

    def room(self) -> int:
        return 0 if self.asked and self.held.count else self.size

    def keep(self, chunk: Chunk[T]) -> None:
        self.held.add(chunk)
        if self.held.count > self.size:
            self.drop(self.held.count - self.size, len(chunk))

    def drop(self, surplus: int, came: int) -> None:
        """Leaves out as many elements as there are too many; the last `came` of all are new."""
        raise AssertionError("what is left out is a subclass's matter")


class DropHead(Dropping[T]):
    __slots__ = ()

    def drop(self, surplus: int, came: int) -> None:
        self.held.drop_first(surplus)


class DropTail(Dropping[T]):
    __slots__ = ()

    def drop(self, surplus: int, came: int) -> None:
        """Each new element has put itself in the place of the last one."""
        newest = self.held.pop_last(1)
        self.held.drop_last(surplus)
        self.held.add(newest)


class DropNew(Dropping[T]):
    __slots__ = ()

    def drop(self, surplus: int, came: int) -> None:
        self.held.drop_last(surplus)


class DropBuffer(Dropping[T]):
    __slots__ = ()

    def drop(self, surplus: int, came: int) -> None:
        """What stays is what came after it was full."""
        self.held.drop_first(self.held.count - surplus)


class FailWhenFull(Dropping[T]):
    __slots__ = ()

    def drop(self, surplus: int, came: int) -> None:
        self.over, self.failure = True, BufferOverflow(self.size)
        self.held.pop_last(surplus).refuse(self.failure)


_OVERFLOWS: dict[str, type[Dropping[Any]]] = {
    "drop_head": DropHead,
    "drop_tail": DropTail,
    "drop_buffer": DropBuffer,
    "drop_new": DropNew,
    "fail": FailWhenFull,
}
