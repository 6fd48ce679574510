"""Operators that make something else of each element: map, filter, map_concat, collect, flatten_optional.

Owns their methods and stages, and what operators on single elements stand on (`Calling`, `Narrow`, `Rows`). Every
function of the user runs under supervision. Tokens: kept by all of them; a chunk that becomes empty is confirmed at
once.
"""

from __future__ import annotations

from functools import partial
from itertools import filterfalse
from operator import is_
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import Stage, Through
from teleporter_lab.engine.stages.columnar import filter_columns
from teleporter_lab.engine.supervision import Supervised
from teleporter_lab.engine.turnstile import MAX_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stages.columnar import Expression
    from teleporter_lab.engine.turnstile import Pace

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


class Transforming(Operators[In, Out], Generic[In, Out]):
    """The family's methods. With `blocking` the function is called in a driver thread, for a chunk in one go."""

    __slots__ = ()

    def map(self, function: Callable[[Out], B], *, blocking: bool = False) -> Flow[In, B]:
        """Gives `function(x)` for each element.

        With `blocking` the function may block: it is called in a driver thread, for a chunk in one go.

        Emits when: there is input.
        Supervised: yes, by element.
        """
        name = named("map", function)
        return self.then(name, lambda m, up: Map(up, m, name, function, blocking))

    def filter(self, predicate: Callable[[Out], object] | Expression, *, blocking: bool = False) -> Flow[In, Out]:
        """Gives the elements for which `predicate` is true.

        Of columns it takes a pyarrow expression: `filter(field("amount") > 10)` gives the rows for which it is true.
        With `blocking` the predicate may block: it is called in a driver thread, for a chunk in one go.

        Emits when: an element passes.
        Tokens: kept; elements left out count as filtered, and a chunk of which nothing is left is confirmed.
        Supervised: yes, by element.
        """
        if not callable(predicate):
            return self.then(f"filter({predicate})", lambda m, up: filter_columns(up, m, predicate))
        name = named("filter", predicate)
        return self.then(name, lambda m, up: Filter(up, m, name, predicate, blocking))

    def filter_not(self, predicate: Callable[[Out], object], *, blocking: bool = False) -> Flow[In, Out]:
        """Gives the elements for which `predicate` is false; otherwise like `filter`.

        Emits when: an element passes.
        Tokens: kept; elements left out count as filtered, and a chunk of which nothing is left is confirmed.
        Supervised: yes, by element.
        Like: Pekko's filterNot.
        """
        name = named("filter_not", predicate)
        return self.then(name, lambda m, up: FilterNot(up, m, name, predicate, blocking))

    def map_concat(self, function: Callable[[Out], Iterable[B]], *, blocking: bool = False) -> Flow[In, B]:
        """Gives every item of `function(x)`, in order.

        What exceeds the demand waits here and goes out first at the next pull. With `blocking` the function may block:
        it is called, and its items are taken, in a driver thread, for a chunk in one go.

        Emits when: a result is not empty, or items of an earlier one wait.
        Tokens: kept; all items of an element answer for its record, items on top count as expanded.
        Supervised: yes, by element, which gives all of its items or none.
        Like: Pekko's mapConcat.
        """
        name = named("map_concat", function)
        return self.then(name, lambda m, up: Narrow(MapConcat(up, m, name, function, blocking), m.pace()))

    def collect(self, function: Callable[[Out], B | None]) -> Flow[In, B]:
        """Gives `function(x)` for each element, where it is not None: map and filter in one.

        Emits when: a result is not None.
        Tokens: kept; elements left out count as filtered, and a chunk of which nothing is left is confirmed.
        Supervised: yes, by element.
        Like: Pekko's collect, with None in the place of a case that is not defined.
        """
        name = named("collect", function)
        return self.then(name, lambda m, up: Collect(up, m, name, function))

    def flatten_optional(self: Operators[In, B | None]) -> Flow[In, B]:
        """Gives the elements that are not None.

        Emits when: an element is not None.
        Tokens: kept; a None counts as filtered, and a chunk of which nothing is left is confirmed.
        Like: Pekko's flattenOptional.
        """
        return self.then("flatten_optional", lambda m, up: FlattenOptional(up, m, "flatten_optional"))


class Calling(Supervised[A, B], Generic[A, B]):
    """A stage with one function of the user's, called for each element."""

    __slots__ = ("function",)

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[A], Any], blocking: bool = False
    ) -> None:
        super().__init__(upstream, m, name, blocking)
        self.function = function


class Map(Calling[A, B]):
    __slots__ = ()

    def work(self, elements: Iterator[A], out: list[B]) -> None:
        out.extend(map(self.function, elements))


class Filter(Calling[T, T]):
    __slots__ = ()

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        out.extend(filter(self.function, elements))


class FilterNot(Calling[T, T]):
    __slots__ = ()

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        out.extend(filterfalse(self.function, elements))


class MapConcat(Calling[A, B]):
    __slots__ = ()

    def work(self, elements: Iterator[A], out: list[B]) -> None:
        function = self.function
        for element in elements:
            out += list(function(element))


_absent = partial(is_, None)


class Collect(Calling[A, B]):
    __slots__ = ()

    def work(self, elements: Iterator[A], out: list[B]) -> None:
        out.extend(filterfalse(_absent, map(self.function, elements)))


class FlattenOptional(Supervised[Any, Any]):
    __slots__ = ()

    def work(self, elements: Iterator[Any], out: list[Any]) -> None:
        out.extend(filterfalse(_absent, elements))


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


class Rows(Through[T, T]):
    """Lets rows pass and refuses columns, for a stage below that looks at single elements and calls nobody."""

    __slots__ = ("_failure", "_name")

    def __init__(self, upstream: Stage[T], m: Materializer, name: str) -> None:
        super().__init__(upstream)
        self._name = m.name or name
        self._failure: RowsNeeded | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._failure is None:
            chunk = await self.upstream.pull(n)
            if chunk is None or type(chunk.data) is list:
                return chunk
            self._failure = RowsNeeded(self._name)
            chunk.refuse(self._failure)
        raise self._failure
