"""Operators that work on the elements of one chunk at a time: map, filter, map_concat, scan, take, drop, grouped.

Owns their methods and stages. Every function of the user runs under supervision. Tokens: kept by all of them; a chunk
that becomes empty is confirmed at once.
"""

from __future__ import annotations

from itertools import dropwhile, filterfalse
from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk, Held, account_change
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import Stage, Through, close_fully
from teleporter_lab.engine.supervision import Supervised, attempt
from teleporter_lab.engine.turnstile import MAX_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.turnstile import Pace

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


class Transforming(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def map(self, function: Callable[[Out], B]) -> Flow[In, B]:
        """Gives `function(x)` for each element. Supervised.

        Emits when there is input; completes when its input does; tokens pass unchanged.
        """
        name = named("map", function)
        return self.then(name, lambda m, up: Map(up, m, name, function))

    def filter(self, predicate: Callable[[Out], object]) -> Flow[In, Out]:
        """Gives the elements for which `predicate` is true. Supervised.

        Emits when an element passes; a chunk of which nothing is left is confirmed and counted as filtered.
        """
        name = named("filter", predicate)
        return self.then(name, lambda m, up: Filter(up, m, name, predicate))

    def filter_not(self, predicate: Callable[[Out], object]) -> Flow[In, Out]:
        """Gives the elements for which `predicate` is false. Supervised; otherwise like `filter`."""
        name = named("filter_not", predicate)
        return self.then(name, lambda m, up: FilterNot(up, m, name, predicate))

    def map_concat(self, function: Callable[[Out], Iterable[B]]) -> Flow[In, B]:
        """Gives every item of `function(x)`, in order. Supervised: an element gives all of its items or none.

        Emits when a result is not empty. What exceeds the demand waits here and goes out first at the next pull.
        """
        name = named("map_concat", function)
        return self.then(name, lambda m, up: Narrow(MapConcat(up, m, name, function), m.pace()))

    def scan(self, zero: B, function: Callable[[B, Out], B]) -> Flow[In, B]:
        """Gives the running result: `function(last result, x)` for each element, beginning with `zero`. Supervised."""
        name = named("scan", function)
        return self.then(name, lambda m, up: Scan(up, m, name, (zero, function)))

    def take(self, n: int) -> Flow[In, Out]:
        """The first `n` elements, then the end, before which what is above is closed; exactly `n` are asked for."""
        return self.then(f"take({n})", lambda m, up: Take(up, n))

    def take_while(self, predicate: Callable[[Out], object]) -> Flow[In, Out]:
        """The elements up to the first for which `predicate` is false. Supervised.

        Asks for few elements first, then for more, as it cannot know where it will end; what it read beyond the end
        is counted as filtered.
        """
        name = named("take_while", predicate)
        return self.then(name, lambda m, up: TakeWhile(up, m, name, predicate))

    def drop(self, n: int) -> Flow[In, Out]:
        """Leaves out the first `n` elements; they are counted as filtered."""
        return self.then(f"drop({n})", lambda m, up: Drop(up, n))

    def drop_while(self, predicate: Callable[[Out], object]) -> Flow[In, Out]:
        """Leaves out elements until `predicate` is false for one; that one and all after it pass. Supervised."""
        name = named("drop_while", predicate)
        return self.then(name, lambda m, up: DropWhile(up, m, name, predicate))

    def grouped(self, n: int) -> Flow[In, list[Out]]:
        """Lists of `n` elements; the last may be shorter.

        Emits when a list is full, or at the end; before an error the elements held go out as a last, short list.
        Tokens: a list answers for every record in it.
        """
        if n < 1:
            raise ValueError(f"grouped needs a size of 1 or more, not {n}")
        return self.then(f"grouped({n})", lambda m, up: Grouped(up, n))


class Map(Supervised[A, B]):
    __slots__ = ("_function",)

    def __init__(self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[A], B]) -> None:
        super().__init__(upstream, m, name)
        self._function = function

    def work(self, elements: Iterator[A], out: list[B]) -> None:
        out.extend(map(self._function, elements))


class Filter(Supervised[T, T]):
    __slots__ = ("_predicate",)

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, predicate: Callable[[T], object]) -> None:
        super().__init__(upstream, m, name)
        self._predicate = predicate

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        out.extend(filter(self._predicate, elements))


class FilterNot(Filter[T]):
    __slots__ = ()

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        out.extend(filterfalse(self._predicate, elements))


class MapConcat(Supervised[A, B]):
    __slots__ = ("_function",)

    def __init__(self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[A], Iterable[B]]) -> None:
        super().__init__(upstream, m, name)
        self._function = function

    def work(self, elements: Iterator[A], out: list[B]) -> None:
        function = self._function
        for element in elements:
            out += list(function(element))


class Scan(Supervised[A, B]):
    __slots__ = ("_function", "_state")

    def __init__(self, upstream: Stage[A], m: Materializer, name: str, scan: tuple[B, Callable[[B, A], B]]) -> None:
        super().__init__(upstream, m, name)
        self._state, self._function = scan

    def work(self, elements: Iterator[A], out: list[B]) -> None:
        function = self._function
        for element in elements:
            self._state = function(self._state, element)
            out.append(self._state)


class DropWhile(Supervised[T, T]):
    __slots__ = ("_open", "_predicate")

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, predicate: Callable[[T], object]) -> None:
        super().__init__(upstream, m, name)
        self._predicate = predicate
        self._open = False

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        kept = len(out)
        out.extend(elements if self._open else dropwhile(self._predicate, elements))
        self._open = self._open or len(out) > kept


class TakeWhile(Supervised[T, T]):
    __slots__ = ("_ask", "_predicate")

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, predicate: Callable[[T], object]) -> None:
        super().__init__(upstream, m, name)
        self._predicate = predicate
        self._ask = 1

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        predicate = self._predicate
        for element in elements:
            if self.over:
                continue
            if predicate(element):
                out.append(element)
            else:
                self.over = True

    async def pull(self, n: int) -> Chunk[T] | None:
        ask, self._ask = self._ask, min(self._ask * 2, 1024)
        return await super().pull(min(n, ask))


class Narrow(Through[T, T]):
    """Hands out what a stage gives that may give more than it was asked for, in pieces that fit the demand."""

    __slots__ = ("_at", "_chunk", "_pace")

    def __init__(self, upstream: Stage[T], pace: Pace) -> None:
        super().__init__(upstream)
        self._pace = pace
        self._chunk: Chunk[T] | None = None
        self._at = 0

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._chunk is None:
            chunk = await self.upstream.pull(n)
            if chunk is None or len(chunk) <= min(n, MAX_CHUNK):
                return chunk
            self._chunk, self._at = chunk, 0
        n = self._pace.fit(n)
        await self._pace.turn()
        return self._piece(self._chunk, n)

    def _piece(self, chunk: Chunk[T], n: int) -> Chunk[T]:
        piece = Chunk(chunk.data[self._at : self._at + n], chunk.tokens)
        self._at += len(piece)
        if self._at == len(chunk):
            self._chunk = None
        else:
            for token in chunk.tokens:
                token.retain()
        self._pace.gave(len(piece))
        return piece


class Take(Through[T, T]):
    """Closes what is above as soon as it has its last element, so that a branch with a slow sink holds nobody up."""

    __slots__ = ("_last", "_left")

    def __init__(self, upstream: Stage[T], n: int) -> None:
        super().__init__(upstream)
        self._left = n
        self._last: Chunk[T] | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._left > 0:
            chunk = await self.upstream.pull(min(n, self._left))
            if chunk is None:
                return None
            self._left -= len(chunk)
            if self._left > 0:
                return chunk
            self._last = chunk
        await close_fully(self.upstream.close)
        last, self._last = self._last, None
        if last is not None and len(last) > n:
            last, self._last = last.split(n)
        return last


class Drop(Through[T, T]):
    __slots__ = ("_left",)

    def __init__(self, upstream: Stage[T], n: int) -> None:
        super().__init__(upstream)
        self._left = n

    async def pull(self, n: int) -> Chunk[T] | None:
        while self._left > 0:
            chunk = await self.upstream.pull(self._left + n)
            if chunk is None:
                return None
            gone = min(self._left, len(chunk))
            self._left -= gone
            account_change(chunk.tokens, gone, 0)
            if gone < len(chunk):
                return Chunk(chunk.data[gone:], chunk.tokens)
            chunk.confirm()
        return await self.upstream.pull(n)


class Grouped(Through[T, list[T]]):
    __slots__ = ("_failure", "_held", "_over", "_size")

    def __init__(self, upstream: Stage[T], size: int) -> None:
        super().__init__(upstream)
        self._size = size
        self._held: Held[T] = Held()
        self._over = False
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[list[T]] | None:
        held, size = self._held, self._size
        while not self._over and held.count < size:
            chunk = await attempt(self.upstream, size * n - held.count)
            if isinstance(chunk, Chunk):
                held.add(chunk)
            else:
                self._over, self._failure = True, chunk
        full = held.count // size * size or held.count
        if full:
            return self._cut(held.take(full))
        if self._failure is not None:
            raise self._failure
        return None

    def _cut(self, chunk: Chunk[T]) -> Chunk[list[T]]:
        data, size = chunk.data, self._size
        groups = [data[i : i + size] for i in range(0, len(data), size)]
        if chunk.tokens:
            chunk.tokens[-1].account("merged", len(data) - len(groups))
        return Chunk(groups, chunk.tokens)
