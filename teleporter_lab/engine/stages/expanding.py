"""The stage that has something to give while nothing comes: expand, extrapolate.

Owns the iterators that a user's function makes, of which only the last one is kept. `buffering` has the methods.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk, Held
from teleporter_lab.engine.lone_call import LoneCall, Missing
from teleporter_lab.engine.reservoir import Reservoir
from teleporter_lab.engine.stages.transform import Calling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stage import Stage

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

_END: Any = object()
"""The iterator has no further item."""

Begun = tuple[B, "Iterator[B]", Any]
"""The first item of an iterator, its further items, and the element that it was made of."""


class Iterating(Calling[A, "Begun[B]"], Generic[A, B]):
    __slots__ = ()

    def work(self, elements: Iterator[A], out: list[Begun[B]]) -> None:
        function = self.function
        for element in elements:
            items = iter(function(element))
            for first in items:
                out.append((first, items, element))
                break


def first_itself(function: Callable[[T], Iterator[T]]) -> Callable[[T], Iterator[T]]:
    """The element, then what `function` makes of it, which is not called before that is wanted."""

    def steps(element: T) -> Iterator[T]:
        yield element
        yield from function(element)

    steps.__name__ = getattr(function, "__name__", type(function).__name__)
    return steps


class Expand(Reservoir["Begun[B]", B], Generic[B]):
    __slots__ = ("_broken", "_call", "_held", "_items", "_want")

    def __init__(self, upstream: Stage[Begun[B]], m: Materializer, name: str) -> None:
        super().__init__(upstream, m)
        self._call = LoneCall(m, name)
        self._held: Held[Begun[B]] = Held()
        self._want = 1
        self._items: tuple[Iterator[B], Any] | None = None
        """What is given while nothing comes, and what it was made of."""
        self._broken: Exception | None = None
        """What a further item failed with: nothing more is given."""

    def begin(self, items: Iterator[B], element: Any) -> None:
        """Before anything comes there are `items`, at least one."""
        self._held.add(Chunk([(next(items), items, element)]))

    def room(self) -> int:
        self._want = self.asked or self._want
        return 0 if self._held.count else self._want

    def keep(self, chunk: Chunk[Begun[B]]) -> None:
        self._held.add(chunk)

    async def give(self, n: int) -> Chunk[B] | None:
        fit = self.pace.fit(n)
        while True:
            if self._broken is not None:
                raise self._broken
            if self._held.count:
                await self.pace.turn()
                return self._firsts(min(fit, self._held.count))
            if self.over:
                return self.end()
            if self._items is None:
                await self.more()
                continue
            await asyncio.sleep(0)
            await self.pace.turn()
            if not self._held.count and not self.over:
                item = await self._item(*self._items)
                if item is not None:
                    return item

    def _firsts(self, n: int) -> Chunk[B]:
        chunk = self._held.take(n)
        _, items, element = chunk.data[-1]
        self._items = (items, element)
        self.pace.gave(len(chunk))
        return Chunk([first for first, _, _ in chunk.data], chunk.tokens)

    async def _item(self, items: Iterator[B], element: Any) -> Chunk[B] | None:
        try:
            item: Any = await self._call.outcome(lambda: next(items, _END), element)
        except Exception as error:  # noqa: BLE001 - raised by give, now and later
            self._broken = error
            return None
        if item is not _END and not isinstance(item, Missing):
            return Chunk([item])
        self._items = None
        return None
