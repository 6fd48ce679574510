"""Operators whose function waits: map_async (ordered, unordered) and map_blocking.

Owns the methods, and the stage that works in a thread; `pool` has the workers. Tokens: pieces of a chunk share its
tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.chunk import Chunk, account_change
from teleporter_lab.engine.failure import failure_of
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.pool import MapAsync, MapAsyncUnordered
from teleporter_lab.engine.stage import Stage, Through, close_each
from teleporter_lab.engine.stages.transform import Narrow
from teleporter_lab.engine.supervision import explain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
A = TypeVar("A")
B = TypeVar("B")


class Asynchronous(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def map_async(self, parallelism: int, function: Callable[[Out], Awaitable[B]]) -> Flow[In, B]:
        """Gives `await function(x)` for each element, up to `parallelism` at a time, in the order of the input.

        Supervised. Emits what has finished as soon as the first in order has; completes when all have.
        """
        _check(parallelism)
        name = named("map_async", function)
        return self.then(name, lambda m, up: MapAsync(up, m, name, function, parallelism))

    def map_async_unordered(self, parallelism: int, function: Callable[[Out], Awaitable[B]]) -> Flow[In, B]:
        """Like `map_async`, but gives each result as soon as it is there, whatever the order."""
        _check(parallelism)
        name = named("map_async_unordered", function)
        return self.then(name, lambda m, up: MapAsyncUnordered(up, m, name, function, parallelism))

    def map_blocking(self, function: Callable[[list[Out]], Iterable[B]]) -> Flow[In, B]:
        """Gives the items of `function(elements)`, called with a whole chunk in a driver thread.

        Not supervised by element: an error of `function` fails the stream.
        """
        name = named("map_blocking", function)
        return self.then(name, lambda m, up: Narrow(MapBlocking(up, m, name, function), m.pace()))


def _check(parallelism: int) -> None:
    if parallelism < 1:
        raise ValueError(f"map_async needs a parallelism of 1 or more, not {parallelism}")


class MapBlocking(Through[A, B]):
    __slots__ = ("_calls", "_chunk", "_failure", "_function", "_m", "_name")

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[list[A]], Iterable[B]]
    ) -> None:
        super().__init__(upstream)
        self._m = m
        self._name = name
        self._function = function
        self._calls: OneCall[list[B]] = OneCall(m.runtime.threads)
        self._chunk: Chunk[A] | None = None
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[B] | None:
        while self._failure is None:
            if self._chunk is None:
                self._chunk = await self.upstream.pull(n)
            if self._chunk is None:
                return None
            given = await self._map(self._chunk)
            if given is not None:
                return given
        raise self._failure

    async def _map(self, chunk: Chunk[A]) -> Chunk[B] | None:
        try:
            data = await self._calls.call(self._call, list(chunk.data))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised with a note, now and later
            self._failure = explain(failure_of(error), self._name, chunk.data[0])
            chunk.nack(error)
            return None
        self._chunk = None
        account_change(chunk.tokens, len(chunk), len(data))
        if data:
            return Chunk(data, chunk.tokens)
        chunk.confirm()
        return None

    def _call(self, elements: list[A]) -> list[B]:
        return list(self._function(elements))

    async def on_close(self) -> None:
        await close_each(self._calls.settle, super().on_close)
