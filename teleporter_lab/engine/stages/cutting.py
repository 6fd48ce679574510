"""Operators that let a part of the stream through: take, take_while, drop, drop_while, limit, limit_weighted.

Owns their methods and stages. All but those with a function work on columns as well. Tokens: kept; what is left out
counts as filtered.
"""

from __future__ import annotations

from itertools import dropwhile
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk, account_change
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import Stage, Through, close_fully
from teleporter_lab.engine.stages.transform import Calling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")

MOST_ASKED = 1024
"""Elements that an operator asks for at once which cannot know where it will end."""


class StreamLimitReached(RuntimeError):
    """More came than the stream was allowed to have."""

    def __init__(self, limit: float, what: str) -> None:
        super().__init__(f"The stream has more than {limit} {what}; raise the limit, or take({limit}) to cut it.")
        self.limit = limit


class Cutting(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def take(self, n: int) -> Flow[In, Out]:
        """The first `n` elements; no more than those are asked for.

        Emits when: there is input.
        Completes when: `n` elements have gone out, or its input does.
        Cancels when: it has the last of them, before it gives it out; or what is below does.
        """
        _check("take", n)
        return self.then(f"take({n})", lambda m, up: Take(up, n))

    def take_while(self, predicate: Callable[[Out], object], inclusive: bool = False) -> Flow[In, Out]:
        """The elements before the first for which `predicate` is false; with `inclusive` that one too.

        Asks for few elements first, then for more, as it cannot know where it will end.

        Emits when: there is input, up to that element.
        Completes when: `predicate` is false, or its input does.
        Cancels when: `predicate` was false and what is before has gone out, or what is below does.
        Tokens: kept; what was read beyond the end counts as filtered.
        Supervised: yes, by element.
        Like: Pekko's takeWhile.
        """
        name = named("take_while", predicate)
        return self.then(name, lambda m, up: TakeWhile(up, m, name, predicate, inclusive))

    def drop(self, n: int) -> Flow[In, Out]:
        """Leaves out the first `n` elements.

        Emits when: `n` elements have come and there is input.
        Tokens: kept; what is dropped counts as filtered, and a chunk of which nothing is left is confirmed.
        """
        _check("drop", n)
        return self.then(f"drop({n})", lambda m, up: Drop(up, n))

    def drop_while(self, predicate: Callable[[Out], object]) -> Flow[In, Out]:
        """Leaves out elements until `predicate` is false for one; that one and all after it pass.

        Emits when: `predicate` was false for an element and there is input.
        Tokens: kept; what is dropped counts as filtered, and a chunk of which nothing is left is confirmed.
        Supervised: yes, by element, as long as elements are dropped.
        Like: Pekko's dropWhile.
        """
        name = named("drop_while", predicate)
        return self.then(name, lambda m, up: DropWhile(up, m, name, predicate))

    def limit(self, n: int) -> Flow[In, Out]:
        """Lets up to `n` elements pass and fails with StreamLimitReached when one more comes: a guard for `to_list`.

        Emits when: there is input.
        Tokens: pass unchanged; what comes beyond the limit is refused.
        """
        _check("limit", n)
        return self.then(f"limit({n})", lambda m, up: Limit(up, n))

    def limit_weighted(self, n: float, cost: Callable[[Out], float]) -> Flow[In, Out]:
        """Lets elements pass whose `cost(x)` sums up to `n` at the most; fails with StreamLimitReached beyond that.

        Emits when: there is input.
        Tokens: pass unchanged; what comes beyond the limit is refused.
        Supervised: yes, by element; reaching the limit is no element's failure and always fails the stream.
        Like: Pekko's limitWeighted.
        """
        _check("limit_weighted", n)
        name = f"limit_weighted({n})"
        return self.then(name, lambda m, up: LimitWeighted(up, m, name, n, cost))


def _check(operator: str, n: float) -> None:
    if not n >= 0:
        raise ValueError(f"{operator} needs a number of 0 or more, not {n}")


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


class TakeWhile(Calling[T, T]):
    __slots__ = ("_ask", "_inclusive")

    def __init__(
        self, upstream: Stage[T], m: Materializer, name: str, predicate: Callable[[T], object], inclusive: bool
    ) -> None:
        super().__init__(upstream, m, name, predicate)
        self._inclusive = inclusive
        self._ask = 1

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        predicate = self.function
        for element in elements:
            if self.over:
                continue
            if predicate(element):
                out.append(element)
                continue
            self.over = True
            if self._inclusive:
                out.append(element)

    async def pull(self, n: int) -> Chunk[T] | None:
        ask, self._ask = self._ask, min(self._ask * 2, MOST_ASKED)
        return await super().pull(min(n, ask))


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


class DropWhile(Calling[T, T]):
    __slots__ = ("_open",)

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, predicate: Callable[[T], object]) -> None:
        super().__init__(upstream, m, name, predicate)
        self._open = False

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        kept = len(out)
        out.extend(elements if self._open else dropwhile(self.function, elements))
        self._open = self._open or len(out) > kept


class Limit(Through[T, T]):
    """Asks for one element beyond the limit only when all within it have gone out."""

    __slots__ = ("_failure", "_left", "_limit")

    def __init__(self, upstream: Stage[T], n: int) -> None:
        super().__init__(upstream)
        self._limit = self._left = n
        self._failure: StreamLimitReached | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._failure is None:
            chunk = await self.upstream.pull(min(n, self._left) or 1)
            if chunk is None or self._left > 0:
                self._left -= 0 if chunk is None else len(chunk)
                return chunk
            self._failure = StreamLimitReached(self._limit, "elements")
            chunk.refuse(self._failure)
        raise self._failure


class LimitWeighted(Calling[T, T]):
    __slots__ = ("_limit", "_weight")

    def __init__(
        self, upstream: Stage[T], m: Materializer, name: str, limit: float, cost: Callable[[T], float]
    ) -> None:
        super().__init__(upstream, m, name, cost)
        self._limit = limit
        self._weight: float = 0

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        cost, limit = self.function, self._limit
        for element in elements:
            weight = self._weight + cost(element)
            if weight > limit:
                raise StreamLimitReached(limit, "in cost")
            self._weight = weight
            out.append(element)

    async def _decide(self, broken: Any, error: Exception) -> None:
        if isinstance(error, StreamLimitReached):
            self._failure = error
        else:
            await super()._decide(broken, error)
