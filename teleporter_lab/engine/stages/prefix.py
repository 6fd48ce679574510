"""Operators that treat the first elements by themselves: prefix_and_tail, flat_map_prefix.

Owns their methods, the stage that reads the prefix, and the tail: one more way to pull what is above, for whoever runs
it. The records of the prefix are not kept waiting for the end of the tail.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk, Held
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import Stage, Through
from teleporter_lab.engine.stages.flattening import FlatMapConcat, Lasting, check_flow, sources
from teleporter_lab.engine.stages.transform import Rows
from teleporter_lab.engine.supervision import StopOnError, attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow, Source
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
A = TypeVar("A")
B = TypeVar("B")


class Prefixing(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def prefix_and_tail(self, n: int) -> Flow[In, tuple[list[Out], Source[Out]]]:
        """Gives one element: a list of the first `n` elements (fewer when there are fewer), and the rest as a source.

        The tail runs once, in the same run: in `flat_map_concat` or another operator for inner sources. It is over
        when this operator is closed, and what is above is closed when the tail is; a tail that nobody runs is not
        read. After an error in the prefix the tail fails with it.

            lines.prefix_and_tail(1).flat_map_concat(lambda p: p[1].map(partial(parse, p[0])))

        Emits when: the prefix is there.
        Completes when: the element was given, and the tail, where it runs, has ended.
        Tokens: the element answers for the prefix. Where the tail runs, the prefix is confirmed when the tail has given
        something and what came out before that is confirmed; so let the prefix out before the tail, if at all.
        """
        _check(n, "prefix_and_tail")
        name = f"prefix_and_tail({n})"
        return self.then(name, lambda m, up: PrefixAndTail(Rows(up, m, name) if n else up, n))

    def flat_map_prefix(self, n: int, function: Callable[[list[Out]], Flow[Out, B]]) -> Flow[In, B]:
        """Sends the elements after the first `n` through the flow `function(list of the first n)`.

        The list is shorter when there are fewer elements; the flow runs in any case.

        Emits when: the flow does.
        Completes when: the flow does.
        Tokens: the prefix is confirmed, and counted as filtered, when the flow has got the first element after it, or
        has ended without one; the others pass as the flow says.
        Supervised: no. An error of `function` fails the stream.
        """
        _check(n, "flat_map_prefix")
        name = named("flat_map_prefix", function)

        def below(prefix: tuple[list[Out], Source[Out]]) -> Source[B]:
            first, tail = prefix
            flow = function(first)
            check_flow(flow, "The function")
            return tail.via(flow)

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            above: Stage[Any] = PrefixAndTail(Rows(upstream, m, name) if n else upstream, n)
            stopping = m.within(name=m.name, supervisor=StopOnError())
            return FlatMapConcat(sources(above, stopping, name, below), m)

        return self.then(name, attach)


def _check(n: int, name: str) -> None:
    if n < 0:
        raise ValueError(f"{name} needs a number of elements of 0 or more, not {n}")


class TailGone(RuntimeError):
    """A tail was run when it could not be any more."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}; run the tail of prefix_and_tail once, in the same run, with flat_map_concat.")


class PrefixAndTail(Through[A, tuple[list[A], Any]]):
    """Reads what is above for the prefix; from then on only the tail does."""

    __slots__ = ("_given", "_held", "_n", "_tail")

    def __init__(self, upstream: Stage[A], n: int) -> None:
        super().__init__(upstream)
        self._n = n
        self._held: Held[A] = Held()
        self._given = False
        self._tail: Tail[A] | None = None

    async def pull(self, n: int) -> Chunk[tuple[list[A], Any]] | None:
        if self._given:
            if self._tail is not None:
                await self._tail.over.wait()
            return None
        while self._held.count < self._n:
            chunk = await attempt(self.upstream, self._n - self._held.count)
            if not isinstance(chunk, Chunk):  # the tail comes upon it again
                break
            self._held.add(chunk)
        self._given = True
        return self._cut()

    def _cut(self) -> Chunk[tuple[list[A], Any]]:
        from teleporter_lab.engine.graph import source  # a blueprint, made by the module that inherits this family

        count = self._held.count
        prefix: Chunk[A] = self._held.take(count) if count else Chunk([])
        if prefix.tokens:
            prefix.tokens[-1].account("merged", count - 1)
        last = len(prefix.tokens) - 1
        tokens = tuple(Lasting(token, 1 if i == last else 0) for i, token in enumerate(prefix.tokens))

        def attach(_: Materializer) -> Stage[A]:
            if self._closed or self._tail is not None:
                raise TailGone("This stream is over" if self._closed else "This tail was run before")
            self._tail = Tail(self.upstream, tokens)
            for token in tokens:
                token.attached = True
            return self._tail

        return Chunk([(list(prefix.data), source("tail", attach))], tokens)

    async def on_close(self) -> None:
        if self._tail is not None:
            self._tail.leave()
        await self.upstream.close()


class Tail(Through[A, A]):
    """What is above, seen by whoever runs the tail."""

    __slots__ = ("_begun", "_left", "_prefix", "over")

    def __init__(self, upstream: Stage[A], prefix: tuple[Lasting, ...]) -> None:
        super().__init__(upstream)
        self._prefix = prefix
        self._begun = False
        self._left = False
        self.over = asyncio.Event()
        """Whether it has ended, failed or was closed."""

    def leave(self) -> None:
        """The stream it belongs to is being closed."""
        self._left = True
        self.over.set()

    async def pull(self, n: int) -> Chunk[A] | None:
        if self._left:
            raise TailGone("This stream is over")
        outcome = await attempt(self.upstream, n)
        if not isinstance(outcome, Chunk):
            self.over.set()
            if outcome is not None:
                raise outcome
            return None
        if not self._begun:
            self._begun = True
            for token in self._prefix:
                token.begin()
        return outcome

    async def on_close(self) -> None:
        self.over.set()
        await super().on_close()
