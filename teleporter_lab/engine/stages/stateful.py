"""Operators that remember something from one element to the next: scan, stateful_map, map_with_resource,
zip_with_index, drop_repeated, intersperse.

Owns their methods and stages. What is remembered belongs to one run. An element whose function failed leaves no trace
in it, so that it can be tried again. Tokens: kept by chunk; nothing that is remembered holds one back.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk, Held, account_change
from teleporter_lab.engine.failure import FAILURES, failure_of
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import Stage, Through, close_each
from teleporter_lab.engine.stages.transform import Calling, Rows
from teleporter_lab.engine.supervision import Supervised, attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
S = TypeVar("S")
R = TypeVar("R")
K = TypeVar("K")

_NOTHING: Any = object()
"""There is none yet."""


class Stateful(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def scan(self, zero: B, function: Callable[[B, Out], B]) -> Flow[In, B]:
        """Gives the running result: `function(last result, x)` for each element, beginning with `zero`.

        There is one result for each element; `zero` itself, which Pekko gives first, is none. Every run begins with
        the same `zero`, so `function` gives a new value and leaves the last one as it is.

        Emits when: there is input.
        Supervised: yes, by element; one that is left out does not count.
        """
        name = named("scan", function)
        return self.then(name, lambda m, up: Scan(up, m, name, zero, function))

    def stateful_map(
        self,
        create: Callable[[], S],
        function: Callable[[S, Out], tuple[S, B]],
        on_complete: Callable[[S], B | None] | None = None,
    ) -> Flow[In, B]:
        """Gives the `y` of `function(state, x) -> (next state, y)` for each element.

        The first state is what `create()` makes in each run, before anything is read. `on_complete(state)` may give
        one element more, at the end and before an error. It is not called when the stream is cancelled:
        `map_with_resource` is for what has to be closed.

        Emits when: there is input, and at the end when `on_complete` gives something.
        Tokens: pass unchanged; what `on_complete` gives has none.
        Supervised: yes, by element; an error of `create` or `on_complete` fails the stream.
        Like: Pekko's statefulMap.
        """
        name = named("stateful_map", function)

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            stage: StatefulMap[Any, Any, S] = StatefulMap(upstream, m, name, create, function)
            return stage if on_complete is None else OnComplete(stage, on_complete)

        return self.then(name, attach)

    def map_with_resource(
        self, create: Callable[[], R], function: Callable[[R, Out], B], close: Callable[[R], object]
    ) -> Flow[In, B]:
        """Gives `function(resource, x)` for each element.

        The resource is what `create()` makes at the first pull of a run. `close(resource)` is called exactly once, at
        the end, after a failure and when the stream is cancelled, before what is above is closed. All three are called
        in the event loop and must not block it.

        Emits when: there is input.
        Supervised: yes, by element; `reload` closes the resource and creates another before it tries again. Elsewhere
            an error of `create` or `close` fails the stream.
        Like: Pekko's mapWithResource, whose close may give a last element.
        """
        name = named("map_with_resource", function)
        return self.then(name, lambda m, up: MapWithResource(up, m, name, function, (create, close)))

    def zip_with_index(self) -> Flow[In, tuple[Out, int]]:
        """Gives `(x, i)` for each element, with `i` from 0 on in each run.

        Emits when: there is input.
        Like: Pekko's zipWithIndex.
        """
        return self.then("zip_with_index", lambda m, up: ZipWithIndex(up, m, "zip_with_index"))

    def drop_repeated(self, key: Callable[[Out], object] | None = None) -> Flow[In, Out]:
        """Leaves out an element that equals the one before it, or whose `key(x)` equals that of the one before it.

        Emits when: there is an element that differs.
        Tokens: kept; what is left out counts as filtered, and a chunk of which nothing is left is confirmed.
        Supervised: yes, by element, `==` included.
        Like: Pekko's dropRepeated.
        """
        name = "drop_repeated" if key is None else named("drop_repeated", key)
        return self.then(name, lambda m, up: DropRepeated(up, m, name, key))

    def intersperse(self, element: T, start: T | None = None, end: T | None = None) -> Flow[In, Out | T]:
        """Gives `element` between the elements, `start` before the first and `end` after the last; None: nothing there.

        A stream without elements is `start` and `end`. Before an error there is no `end`.

        Emits when: there is input (together with what stands before it), and at the end when there is an `end`.
        Tokens: pass unchanged; what is added answers with the element behind it, and counts as expanded. `end` answers
            for nothing.
        """
        frame = (start, element, end)
        return self.then("intersperse", lambda m, up: Intersperse(Rows(up, m, "intersperse"), frame))


class Scan(Supervised[A, B]):
    __slots__ = ("_function", "_state")

    def __init__(self, upstream: Stage[A], m: Materializer, name: str, zero: B, function: Callable[[B, A], B]) -> None:
        super().__init__(upstream, m, name)
        self._state = zero
        self._function = function

    def work(self, elements: Iterator[A], out: list[B]) -> None:
        function, add = self._function, out.append
        for element in elements:
            self._state = function(self._state, element)
            add(self._state)


class StatefulMap(Supervised[A, B], Generic[A, B, S]):
    __slots__ = ("_create", "_function", "state")

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, create: Callable[[], S],
        function: Callable[[S, A], tuple[S, B]],
    ) -> None:  # fmt: skip
        super().__init__(upstream, m, name)
        self._create = create
        self._function = function
        self.state: S = _NOTHING

    @property
    def began(self) -> bool:
        return self.state is not _NOTHING

    def work(self, elements: Iterator[A], out: list[B]) -> None:
        function, add = self._function, out.append
        for element in elements:
            self.state, result = function(self.state, element)
            add(result)

    async def pull(self, n: int) -> Chunk[B] | None:
        if self.state is _NOTHING and self._failure is None:
            try:
                self.state = self._create()
            except FAILURES as error:
                self._failure = failure_of(error)
        return await super().pull(n)


class OnComplete(Through[B, B], Generic[B, S]):
    """The last element of a `StatefulMap`, below it."""

    __slots__ = ("_failure", "_map", "_on_complete", "_over")

    def __init__(self, upstream: StatefulMap[Any, B, S], on_complete: Callable[[S], B | None]) -> None:
        super().__init__(upstream)
        self._map = upstream
        self._on_complete = on_complete
        self._over = False
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[B] | None:
        if not self._over:
            outcome = await attempt(self.upstream, n)
            if isinstance(outcome, Chunk):
                return outcome
            self._over, self._failure = True, outcome
            last = self._last() if self._map.began else None
            if last is not None:
                return Chunk([last])
        if self._failure is not None:
            raise self._failure
        return None

    def _last(self) -> B | None:
        try:
            return self._on_complete(self._map.state)
        except FAILURES as error:
            failure = failure_of(error)
            if self._failure is None:
                self._failure = failure
            else:
                self._failure.add_note(f"After it on_complete failed as well: {failure!r}")
            return None


class MapWithResource(Supervised[A, B], Generic[A, B, R]):
    __slots__ = ("_create", "_function", "_let_go", "_resource", "_stale")

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[R, A], B],
        resource: tuple[Callable[[], R], Callable[[R], object]],
    ) -> None:  # fmt: skip
        super().__init__(upstream, m, name)
        self._function = function
        self._create, self._let_go = resource
        self._resource: R = _NOTHING
        self._stale = False

    def work(self, elements: Iterator[A], out: list[B]) -> None:
        if self._stale:
            for element in elements:  # which it fails with, when there is no resource for it
                self._close_resource()
                self._resource = self._create()
                self._stale = False
                out.append(self._function(self._resource, element))
                break
        out.extend(map(partial(self._function, self._resource), elements))

    async def pull(self, n: int) -> Chunk[B] | None:
        if self._resource is _NOTHING and not self._stale and self._failure is None:
            try:
                self._resource = self._create()
            except FAILURES as error:
                self._failure = failure_of(error)
        return await super().pull(n)

    def reopen(self) -> None:
        self._stale = True

    def _close_resource(self) -> None:
        resource, self._resource = self._resource, _NOTHING
        if resource is not _NOTHING:
            self._let_go(resource)

    async def _close(self) -> None:
        try:
            self._close_resource()
        except FAILURES as error:
            failure = failure_of(error)
            raise failure from failure.__cause__

    async def on_close(self) -> None:
        await close_each(self._close, self.upstream.close)


class ZipWithIndex(Supervised[T, "tuple[T, int]"], Generic[T]):
    __slots__ = ("_index",)

    def __init__(self, upstream: Stage[T], m: Materializer, name: str) -> None:
        super().__init__(upstream, m, name)
        self._index = count()

    def work(self, elements: Iterator[T], out: list[tuple[T, int]]) -> None:
        out.extend(zip(elements, self._index, strict=False))


def _itself(element: T) -> T:
    return element


class DropRepeated(Calling[T, T]):
    __slots__ = ("_last",)

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, key: Callable[[T], object] | None) -> None:
        super().__init__(upstream, m, name, key or _itself)
        self._last: Any = _NOTHING

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        key, add = self.function, out.append
        for element in elements:
            now = key(element)
            if self._last is _NOTHING or now != self._last:
                self._last = now
                add(element)


class Intersperse(Through[Any, Any]):
    """Reads as many elements as fill the demand with what stands before them; at most one of them waits here."""

    __slots__ = ("_element", "_end", "_first", "_held")

    def __init__(self, upstream: Stage[Any], frame: tuple[Any, Any, Any]) -> None:
        super().__init__(upstream)
        start, self._element, end = frame
        self._first: list[Any] | None = [] if start is None else [start]
        """What stands before the first element, until that has come."""
        self._end = [] if end is None else [end]
        self._held: Held[Any] = Held()

    async def pull(self, n: int) -> Chunk[Any] | None:
        held = self._held
        if not held.count:
            chunk = await self.upstream.pull((n + 1) // 2)
            if chunk is not None:
                held.add(self._filled(chunk))
            elif rest := [*(self._first or []), *self._end]:
                held.add(Chunk(rest))
                self._first, self._end = None, []
        return held.take(min(n, held.count)) if held.count else None

    def _filled(self, chunk: Chunk[Any]) -> Chunk[Any]:
        data = [self._element] * (2 * len(chunk))
        data[1::2] = chunk.data
        if self._first is not None:
            data[:1], self._first = self._first, None
        account_change(chunk.tokens, len(chunk), len(data))
        return Chunk(data, chunk.tokens)
