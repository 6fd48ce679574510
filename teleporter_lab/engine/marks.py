"""Elements with a mark each: what a user's function said of them, for a stage that works by it.

Owns the supervised call that makes the marks, and the chunk that carries them beside its elements. Refuses to know what
a mark means: the number of a sink, a sort key, a place in a sequence.
"""

from __future__ import annotations

from itertools import islice, tee
from operator import index, truth
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

    def marked(self, elements: Iterator[T]) -> Iterator[Any]:
        """The marks of `elements`, as each is asked for; what they fail with is the element's failure."""
        return map(self.function, elements)

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        marks = self._marks
        before = len(marks)
        worked, same = tee(elements)
        try:
            marks.extend(self.marked(worked))
        finally:
            out.extend(islice(same, len(marks) - before))

    async def pull(self, n: int) -> Marked[T] | None:
        chunk = await super().pull(n)
        if chunk is None:
            return None
        count = len(chunk)
        marks, self._marks[:] = self._marks[:count], self._marks[count:]
        return Marked(chunk.data, marks, chunk.tokens)


class Numbering(Marking[T]):
    """Marks are whole numbers."""

    __slots__ = ()

    def marked(self, elements: Iterator[T]) -> Iterator[int]:
        return map(index, map(self.function, elements))


class NoSuchWay(IndexError):
    """A function chose a way out that is not there."""

    def __init__(self, number: object, ways: int) -> None:
        super().__init__(f"There is no way {number!r}: the function has to give a number from 0 to {ways - 1}.")


class _Ways(dict[int, int]):
    """The numbers of the ways."""

    def __missing__(self, number: object) -> int:
        raise NoSuchWay(number, len(self))


class Routing(Marking[T]):
    """Marks are numbers of ways, from 0 to below `ways`."""

    __slots__ = ("_ways",)

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, function: Callable[[T], int], ways: int) -> None:
        super().__init__(upstream, m, name, function)
        self._ways = _Ways((way, way) for way in range(ways))

    def marked(self, elements: Iterator[T]) -> Iterator[int]:
        return map(self._ways.__getitem__, map(self.function, elements))


class Choosing(Marking[T]):
    """Marks are whether the function is true."""

    __slots__ = ()

    def marked(self, elements: Iterator[T]) -> Iterator[bool]:
        return map(truth, map(self.function, elements))
