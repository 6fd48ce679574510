"""Sinks that compute one value of all elements: fold, reduce, fold_while, exists, forall.

Owns these sinks. Their functions run under supervision; an element left out does not count, and one whose function
failed has changed nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, cast

from teleporter_lab.engine.failure import FAILURES, failure_of
from teleporter_lab.engine.graph import Sink
from teleporter_lab.engine.operators import named
from teleporter_lab.engine.stage import Stage, Terminal, give_up
from teleporter_lab.engine.stages.sinks import Drain
from teleporter_lab.engine.supervision import Supervised
from teleporter_lab.engine.turnstile import MAX_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")
M = TypeVar("M")

_NOTHING = object()


def fold(zero: M, function: Callable[[M, T], M]) -> Sink[T, M]:
    """`function(function(zero, x1), x2)…` over all elements; `zero` when there is none.

    `zero` is shared by all runs, so the function must not change it in place.

    Takes when: the function has returned.
    Tokens: confirmed when a chunk was folded.
    Supervised: yes, by element; one left out does not count.
    """
    name = named("fold", function)
    return Sink(name, lambda m, up: Fold(up, m, name, zero, function))


def reduce(function: Callable[[T, T], T]) -> Sink[T, T | None]:
    """`function(function(x1, x2), x3)…` over all elements; None when there is none.

    Takes when: the function has returned.
    Tokens: confirmed when a chunk was folded.
    Supervised: yes, by element; one left out does not count.
    """
    name = named("reduce", function)
    return Sink(name, lambda m, up: Reduce(up, m, name, function))


def fold_while(zero: M, function: Callable[[M, T], M], predicate: Callable[[M], object]) -> Sink[T, M]:
    """Like `fold`, as long as `predicate(result)` is true; the first result for which it is false is given.

    Asks for few elements first, then for more, as it cannot know where it will end; what it read beyond the end is
    counted as filtered.

    Takes when: the functions have returned.
    Cancels when: `predicate` is false.
    Tokens: confirmed when a chunk was folded.
    Supervised: yes, by element; one left out does not count. An error of `predicate(zero)` fails the stream.
    """
    name = named("fold_while", function)
    return Sink(name, lambda m, up: FoldWhile(up, m, name, zero, (function, predicate)))


def exists(predicate: Callable[[T], object]) -> Sink[T, bool]:
    """Whether `predicate(x)` is true for an element.

    Asks for few elements first, like `fold_while`.

    Takes when: the function has returned.
    Cancels when: `predicate` is true for one.
    Tokens: confirmed when a chunk was looked at.
    Supervised: yes, by element; one left out does not count.
    """
    name = named("exists", predicate)

    def found(_: bool, element: T) -> bool:
        return bool(predicate(element))

    return Sink(name, lambda m, up: FoldWhile(up, m, name, False, (found, lambda found: not found)))


def forall(predicate: Callable[[T], object]) -> Sink[T, bool]:
    """Whether `predicate(x)` is true for every element; true when there is none.

    Asks for few elements first, like `fold_while`.

    Takes when: the function has returned.
    Cancels when: `predicate` is false for one.
    Tokens: confirmed when a chunk was looked at.
    Supervised: yes, by element; one left out does not count.
    """
    name = named("forall", predicate)

    def holds(_: bool, element: T) -> bool:
        return bool(predicate(element))

    return Sink(name, lambda m, up: FoldWhile(up, m, name, True, (holds, bool)))


class Fold(Supervised[T, T], Terminal[M], Generic[T, M]):
    __slots__ = ("_function", "_state")

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, zero: M, function: Callable[[M, T], M]) -> None:
        super().__init__(upstream, m, name)
        self._state = zero
        self._function = function

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        function, add = self._function, out.append
        for element in elements:
            self._state = function(self._state, element)
            add(element)

    async def run(self) -> M:
        await Drain(self).run()
        return self._state


class Reduce(Supervised[T, T], Terminal["T | None"]):
    __slots__ = ("_function", "_state")

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, function: Callable[[T, T], T]) -> None:
        super().__init__(upstream, m, name)
        self._state: T | object = _NOTHING
        self._function = function

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        function, add = self._function, out.append
        for element in elements:
            self._state = element if self._state is _NOTHING else function(cast("T", self._state), element)
            add(element)

    async def run(self) -> T | None:
        await Drain(self).run()
        return None if self._state is _NOTHING else cast("T", self._state)


class FoldWhile(Fold[T, M]):
    """Has seen enough when its predicate is false; what is left of that chunk does not count."""

    __slots__ = ("_ask", "_predicate")

    def __init__(
        self, upstream: Stage[T], m: Materializer, name: str, zero: M,
        functions: tuple[Callable[[M, T], M], Callable[[M], object]],
    ) -> None:  # fmt: skip
        function, self._predicate = functions
        super().__init__(upstream, m, name, zero, function)
        self._ask = 1

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        function, predicate = self._function, self._predicate
        for element in elements:
            if self.over:
                continue
            state = function(self._state, element)
            self.over = not predicate(state)
            self._state = state
            out.append(element)

    async def pull(self, n: int) -> Chunk[T] | None:
        ask, self._ask = self._ask, min(self._ask * 2, MAX_CHUNK)
        return await super().pull(min(n, ask))

    async def run(self) -> M:
        try:
            self._begin()
        except BaseException as error:
            await give_up(self.close, error)
            raise
        return await super().run()

    def _begin(self) -> None:
        """Looks at the result that is there before the first element."""
        try:
            self.over = not self._predicate(self._state)
        except FAILURES as error:
            failure = failure_of(error)
        else:
            return
        raise failure
