"""Operators that make lists of elements: grouped, sliding, grouped_weighted, grouped_adjacent_by (and weighted).

Owns their methods and stages. Tokens: a list answers for the record of every element in it, so those held for the
next one stay un-confirmed. Elements that travel as one count as merged.
"""

from __future__ import annotations

from collections import deque
from itertools import accumulate, pairwise, repeat
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk, Held
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import Stage, Through
from teleporter_lab.engine.stages.transform import Calling, Rows
from teleporter_lab.engine.supervision import attempt
from teleporter_lab.engine.turnstile import MAX_CHUNK

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


class Grouping(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def grouped(self, n: int) -> Flow[In, list[Out]]:
        """Lists of `n` elements; the last may be shorter, also the last before an error. Columns: batches of `n` rows.

        Emits when: a list is full, or at the end.
        Tokens: a list answers for every record in it; its elements count as merged.
        """
        if n < 1:
            raise ValueError(f"grouped needs a size of 1 or more, not {n}")
        return self.then(f"grouped({n})", lambda m, up: Grouped(up, n))

    def sliding(self, n: int, step: int = 1) -> Flow[In, list[Out]]:
        """Lists of `n` elements in a row, each of which begins `step` elements after the one before it.

        With `step` below `n` they overlap, above it elements between them are left out. The last list may be shorter,
        also the last before an error; it is there only if an element is in no other one.

        Emits when: a list is full, or at the end when there is a shorter one.
        Tokens: a list answers for every record in it; a record is confirmed when the last of its lists is. Elements
            count as merged, those between lists as filtered.
        """
        if n < 1 or step < 1:
            raise ValueError(f"sliding needs a size and a step of 1 or more, not {n} and {step}")
        name = f"sliding({n}, {step})"
        return self.then(name, lambda m, up: Sliding(Rows(up, m, name), n, step))

    def grouped_weighted(self, limit: float, cost: Callable[[Out], float]) -> Flow[In, list[Out]]:
        """Lists whose elements together reach `limit` by their `cost(x)`; the last may be lighter.

        The element that reaches the limit is the list's last. Before an error the elements held go out as a last list.

        Emits when: a list has reached the limit, or at the end.
        Tokens: a list answers for every record in it; its elements count as merged.
        Supervised: yes, by element.
        Like: Pekko's groupedWeighted.
        """
        _check("grouped_weighted", limit)
        name = f"grouped_weighted({limit})"
        return self.then(name, lambda m, up: Marked(Weighted(up, m, name, limit, cost)))

    def grouped_adjacent_by(self, key: Callable[[Out], object]) -> Flow[In, list[Out]]:
        """Lists of elements in a row that have the same `key(x)`.

        Before an error the elements held go out as a last list.

        Emits when: an element with another key came, or at the end.
        Tokens: a list answers for every record in it; its elements count as merged.
        Supervised: yes, by element, `==` of keys included.
        Like: Pekko's groupedAdjacentBy.
        """
        name = named("grouped_adjacent_by", key)
        return self.then(name, lambda m, up: Marked(Adjacent(up, m, name, key)))

    def grouped_adjacent_by_weighted(
        self, key: Callable[[Out], object], limit: float, cost: Callable[[Out], float]
    ) -> Flow[In, list[Out]]:
        """Lists of elements in a row that have the same `key(x)` and together cost `limit` at the most.

        An element dearer than the limit is a list of its own. Before an error the elements held go out as a last list.

        Emits when: a list has reached the limit, an element came that does not belong to it, or at the end.
        Tokens: a list answers for every record in it; its elements count as merged.
        Supervised: yes, by element, `==` of keys included.
        Like: Pekko's groupedAdjacentByWeighted.
        """
        _check("grouped_adjacent_by_weighted", limit)
        name = named("grouped_adjacent_by_weighted", key)
        return self.then(name, lambda m, up: Marked(AdjacentWeighted(up, m, name, key, (limit, cost))))


def _check(operator: str, limit: float) -> None:
    if not limit > 0:
        raise ValueError(f"{operator} needs a limit above 0, not {limit}")


class Lists(Through[T, "list[T]"], Generic[T]):
    """Holds elements until they make lists; subclasses say how many make one."""

    __slots__ = ("_failure", "_over", "held")

    def __init__(self, upstream: Stage[T]) -> None:
        super().__init__(upstream)
        self.held: Held[T] = Held()
        self._over = False
        self._failure: Exception | None = None

    def wanted(self, n: int) -> int:
        """The most elements that cannot make more than `n` lists."""
        raise AssertionError("how many make a list is a subclass's matter")

    def full(self, n: int) -> list[int]:
        """The sizes of up to `n` lists that are full."""
        raise AssertionError("how many make a list is a subclass's matter")

    async def pull(self, n: int) -> Chunk[list[T]] | None:
        sizes = self.full(n)
        while not sizes and not self._over:
            chunk = await attempt(self.upstream, self.wanted(n))
            if isinstance(chunk, Chunk):
                self.held.add(chunk)
            else:
                self._over, self._failure = True, chunk
            sizes = self.full(n)
        if sizes:
            return self._cut(sizes)
        if self.held.count:
            return self._cut([self.held.count])
        if self._failure is not None:
            raise self._failure
        return None

    def _cut(self, sizes: list[int]) -> Chunk[list[T]]:
        chunk = self.held.take(sum(sizes))
        data = chunk.data
        if chunk.tokens:
            chunk.tokens[-1].account("merged", len(data) - len(sizes))
        return Chunk([data[start:end] for start, end in pairwise(accumulate(sizes, initial=0))], chunk.tokens)


class Grouped(Lists[T]):
    """Asks for as many whole lists as a chunk holds, so that chunks end where lists do and nothing has to be joined."""

    __slots__ = ("_most", "_size")

    def __init__(self, upstream: Stage[T], size: int) -> None:
        super().__init__(upstream)
        self._size = size
        self._most = max(1, MAX_CHUNK // size)

    def wanted(self, n: int) -> int:
        return self._size * min(n, self._most) - self.held.count

    def full(self, n: int) -> list[int]:
        return list(repeat(self._size, min(n, self.held.count // self._size)))


class Marks(Calling[T, T]):
    """Lets elements pass and notes in `sizes` how many make a list; elements that it notes may still be to come."""

    __slots__ = ("_open", "sizes")

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, function: Callable[[T], Any]) -> None:
        super().__init__(upstream, m, name, function)
        self._open = 0
        self.sizes: deque[int] = deque()

    def mark(self) -> None:
        """The list that is open is full."""
        self.sizes.append(self._open)
        self._open = 0


class Weighted(Marks[T]):
    __slots__ = ("_limit", "_weight")

    def __init__(
        self, upstream: Stage[T], m: Materializer, name: str, limit: float, cost: Callable[[T], float]
    ) -> None:
        super().__init__(upstream, m, name, cost)
        self._limit = limit
        self._weight: float = 0

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        cost, add = self.function, out.append
        for element in elements:
            self._weight += cost(element)
            self._open += 1
            add(element)
            if self._weight >= self._limit:
                self._weight = 0
                self.mark()


class Adjacent(Marks[T]):
    __slots__ = ("_key",)

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, key: Callable[[T], object]) -> None:
        super().__init__(upstream, m, name, key)
        self._key: Any = _NOTHING

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        key_of, add = self.function, out.append
        for element in elements:
            key = key_of(element)
            if self._open and key != self._key:
                self.mark()
            self._key = key
            self._open += 1
            add(element)


class AdjacentWeighted(Marks[T]):
    __slots__ = ("_cost", "_key", "_limit", "_weight")

    def __init__(
        self, upstream: Stage[T], m: Materializer, name: str, key: Callable[[T], object],
        weight: tuple[float, Callable[[T], float]],
    ) -> None:  # fmt: skip
        super().__init__(upstream, m, name, key)
        self._limit, self._cost = weight
        self._key: Any = _NOTHING
        self._weight: float = 0

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        key_of, cost_of, add = self.function, self._cost, out.append
        for element in elements:
            key, cost = key_of(element), cost_of(element)
            if self._open and (key != self._key or self._weight + cost > self._limit):
                self._end()
            self._key = key
            self._weight += cost
            self._open += 1
            add(element)
            if self._weight >= self._limit:
                self._end()

    def _end(self) -> None:
        self._weight = 0
        self.mark()


class Marked(Lists[T]):
    __slots__ = ("_sizes",)

    def __init__(self, upstream: Marks[T]) -> None:
        super().__init__(upstream)
        self._sizes = upstream.sizes

    def wanted(self, n: int) -> int:
        return n

    def full(self, n: int) -> list[int]:
        sizes: list[int] = []
        left = self.held.count
        while self._sizes and len(sizes) < n and self._sizes[0] <= left:
            left -= self._sizes[0]
            sizes.append(self._sizes.popleft())
        return sizes


class _Part:
    """The elements of one chunk that a window may still need, and the references it holds for them."""

    __slots__ = ("count", "tokens")

    def __init__(self, count: int, tokens: tuple[Token, ...]) -> None:
        self.count = count
        self.tokens = tokens

    def confirm(self) -> None:
        for token in self.tokens:
            token.confirm()


class Sliding(Through[T, "list[T]"], Generic[T]):
    """Windows over `_data`, whose first element is the next window's first. Each element makes one window at the most.

    Elements count as merged when they come, but one for each window that ends with one of them.
    """

    __slots__ = ("_data", "_failure", "_gap", "_over", "_parts", "_seen", "_size", "_step")

    def __init__(self, upstream: Stage[T], size: int, step: int) -> None:
        super().__init__(upstream)
        self._size = size
        self._step = step
        self._data: list[T] = []
        self._parts: deque[_Part] = deque()
        self._gap = 0
        """Elements to leave out before the next window."""
        self._seen = 0
        """Elements of `_data` that were in a window already."""
        self._over = False
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[list[T]] | None:
        while not self._over:
            wanted = self._gap + self._size - len(self._data) + (n - 1) * self._step
            chunk = await attempt(self.upstream, wanted)
            if isinstance(chunk, Chunk):
                given = self._slide(chunk)
            else:
                self._over, self._failure = True, chunk
                given = self._last()
            if given is not None:
                return given
        if self._failure is not None:
            raise self._failure
        return None

    def _slide(self, chunk: Chunk[T]) -> Chunk[list[T]] | None:
        """The windows that end in `chunk`."""
        out = min(self._gap, len(chunk))
        self._gap -= out
        if out < len(chunk):
            self._data += chunk.data[out:]
            self._parts.append(_Part(len(chunk) - out, chunk.tokens))
        windows = self._windows()
        tokens = self._answering() if windows else ()
        out += self._forget(len(windows))
        if chunk.tokens:
            chunk.tokens[-1].account("filtered", out)
            chunk.tokens[-1].account("merged", len(chunk) - out - len(windows))
        elif tokens:
            tokens[-1].account("expanded", len(windows))
        if windows:
            return Chunk(windows, tokens)
        if out == len(chunk):
            chunk.confirm()
        return None

    def _windows(self) -> list[list[T]]:
        data, size = self._data, self._size
        return [data[start : start + size] for start in range(0, len(data) - size + 1, self._step)]

    def _answering(self) -> tuple[Token, ...]:
        """New references for all of `_data`: the last window ends in the last chunk, the first begins in the first."""
        tokens = tuple(token for part in self._parts for token in part.tokens)
        for token in tokens:
            token.retain()
        return tokens

    def _forget(self, windows: int) -> int:
        """Drops what comes before the window after these, and says how many of that were in no window."""
        if not windows:
            return 0
        gone = min(windows * self._step, len(self._data))
        self._gap = windows * self._step - gone
        self._seen = max(0, self._size - self._step)
        del self._data[:gone]
        left = gone
        while left and left >= self._parts[0].count:
            part = self._parts.popleft()
            left -= part.count
            part.confirm()
        if left:
            self._parts[0].count -= left
        return max(0, gone - windows * self._size)

    def _last(self) -> Chunk[list[T]] | None:
        """The last, shorter window; None when all elements were in one."""
        data, parts = self._data, self._parts
        self._data, self._parts = [], deque()
        if len(data) > self._seen:
            tokens = tuple(token for part in parts for token in part.tokens)
            if tokens:
                tokens[-1].account("expanded", 1)
            return Chunk([data], tokens)
        for part in parts:
            part.confirm()
        return None
