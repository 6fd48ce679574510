"""Operators that make one value of a whole stream: fold, reduce.

Owns their methods and stages; the sinks of the same names give the value to whoever runs the stream. Tokens: all are
held until the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import PLENTY, Stage, Through
from teleporter_lab.engine.supervision import Supervised, attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")
B = TypeVar("B")
S = TypeVar("S")

_NOTHING: Any = object()
"""There is none yet."""


class NoElements(LookupError):
    """A stream that had to have an element ended without one."""

    def __init__(self, operator: str) -> None:
        super().__init__(f"{operator} had no element to begin with: use fold, which has a value for an empty stream.")


class Folding(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def fold(self, zero: B, function: Callable[[B, Out], B]) -> Flow[In, B]:
        """Gives one value at the end: `function(function(zero, x1), x2)…` over all elements, `zero` if there are none.

        Every run begins with the same `zero`, so `function` gives a new value and leaves the last one as it is. For
        what is known before the end there is `scan`. Before an error there is no value.

        Emits when: its input has ended.
        Tokens: the value answers for all records, so none is confirmed before the end and an ack window has to have
            room for the whole stream. All elements but one count as merged.
        Supervised: yes, by element; one that is left out does not count.
        """
        name = named("fold", function)
        return self.then(name, lambda m, up: Folded(Accumulating(up, m, name, zero, function)))

    def reduce(self, function: Callable[[Out, Out], Out]) -> Flow[In, Out]:
        """Gives one value at the end: `function(function(x1, x2), x3)…`, or the only element itself.

        Fails with NoElements when there are none. Before an error there is no value.

        Emits when: its input has ended.
        Tokens: the value answers for all records, so none is confirmed before the end and an ack window has to have
            room for the whole stream. All elements but one count as merged.
        Supervised: yes, by element; one that is left out does not count.
        """
        name = named("reduce", function)
        return self.then(name, lambda m, up: Folded(Accumulating(up, m, name, _NOTHING, function)))


class Accumulating(Supervised[T, T], Generic[T, S]):
    """Lets elements pass and folds them into `state`."""

    __slots__ = ("_function", "state")

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, zero: S, function: Callable[[S, T], S]) -> None:
        super().__init__(upstream, m, name)
        self.state = zero
        self._function = function

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        function, add = self._function, out.append
        if self.state is _NOTHING:
            for element in elements:
                first: Any = element
                self.state = first
                add(element)
                break
        for element in elements:
            self.state = function(self.state, element)
            add(element)


class Folded(Through[T, S], Generic[T, S]):
    """The state of an `Accumulating` at its end. Elements count as merged as they come; the last stands for it."""

    __slots__ = ("_failure", "_folding", "_over", "_tokens")

    def __init__(self, upstream: Accumulating[T, S]) -> None:
        super().__init__(upstream)
        self._folding = upstream
        self._tokens: list[Token] = []
        self._over = False
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[S] | None:
        while not self._over:
            chunk = await attempt(self.upstream, PLENTY)
            if isinstance(chunk, Chunk):
                self._hold(chunk)
                continue
            self._over, self._failure = True, chunk
            if chunk is None and self._folding.state is not _NOTHING:
                return self._result()
            if chunk is None:
                self._failure = NoElements(self._folding.name)
        if self._failure is not None:
            raise self._failure
        return None

    def _hold(self, chunk: Chunk[T]) -> None:
        if chunk.tokens:
            chunk.tokens[-1].account("merged", len(chunk))
            self._tokens += chunk.tokens

    def _result(self) -> Chunk[S]:
        if self._tokens:
            self._tokens[-1].account("merged", -1)
        return Chunk([self._folding.state], tuple(self._tokens))
