"""Elements with a mark each: what a user's function said of them, for a stage that works by it.

Owns the supervised call that makes the marks, and the chunk that carries them beside its elements. Refuses to know what
a mark means: the number of a sink, a sort key, a place in a sequence.
"""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import NO_TOKENS, Chunk
from teleporter_lab.engine.supervision import Supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stage import Stage

T = TypeVar("T")


class Marked(Chunk[T], Generic[T]):
    """A chunk whose n-th element has the n-th of `marks`."""

    __slots__ = ("marks",)

    def __init__(self, data: list[T], marks: list[Any], tokens: tuple[Token, ...] = NO_TOKENS) -> None:
        super().__init__(data, tokens)
        self.marks = marks

    def split(self, n: int) -> tuple[Marked[T], Marked[T]]:
        first, rest = super().split(n)
        return Marked(first.data, self.marks[:n], first.tokens), Marked(rest.data, self.marks[n:], rest.tokens)


class Marking(Supervised[T, T]):
    """Calls `function` once for each element and gives chunks that are `Marked` with its results."""

    __slots__ = ("_marks", "function")

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, function: Callable[..., Any]) -> None:
        super().__init__(upstream, m, name)
        self.function = function
        self._marks: list[Any] = []
        """Those of the elements that were worked and have not gone out."""

    def mark(self, element: T) -> Any:
        return self.function(element)

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        mark, note, add = self.mark, self._marks.append, out.append
        for element in elements:
            note(mark(element))
            add(element)

    async def pull(self, n: int) -> Marked[T] | None:
        chunk = await super().pull(n)
        if chunk is None:
            return None
        count = len(chunk)
        marks, self._marks[:] = self._marks[:count], self._marks[count:]
        return Marked(chunk.data, marks, chunk.tokens)


class NoSuchWay(IndexError):
    """A function chose a way out that is not there."""

    def __init__(self, number: int, ways: int) -> None:
        super().__init__(f"There is no way {number}: the function has to give a number from 0 to {ways - 1}.")


class Numbering(Marking[T]):
    """Marks are whole numbers; with `ways`, from 0 to below it."""

    __slots__ = ("_ways",)

    def __init__(
        self, upstream: Stage[T], m: Materializer, name: str, function: Callable[[T], int], ways: int | None = None
    ) -> None:
        super().__init__(upstream, m, name, function)
        self._ways = ways

    def mark(self, element: T) -> int:
        number = index(self.function(element))
        if self._ways is not None and not 0 <= number < self._ways:
            raise NoSuchWay(number, self._ways)
        return number


class Choosing(Marking[T]):
    """Marks are 1 where the function is true, else 0."""

    __slots__ = ()

    def mark(self, element: T) -> int:
        return 1 if self.function(element) else 0
