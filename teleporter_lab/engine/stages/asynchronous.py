"""Operators whose function waits: map_async (ordered, unordered) and map_blocking.

Owns the worker pool: a fixed number of workers take elements as they get free; there is no task per element (measured:
twice the speed). Whatever has finished goes out as one chunk. Tokens: pieces of a chunk share its tokens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.chunk import Chunk, account_change, join
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import Stage, Through, close_each
from teleporter_lab.engine.stages.transform import Narrow
from teleporter_lab.engine.supervision import Action, cancel_requested, explain, failure_of, supervise

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
A = TypeVar("A")
B = TypeVar("B")

WINDOW = 1024
"""Elements a worker pool may hold, waiting, in work or finished."""


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


class _Origin:
    """The chunk some elements came from: its tokens go out with the last of them."""

    __slots__ = ("left", "tokens")

    def __init__(self, tokens: tuple[Token, ...], left: int) -> None:
        self.tokens = tokens
        self.left = left


class _Slot:
    """One element on its way through the pool."""

    __slots__ = ("done", "element", "error", "origin", "skipped", "value")

    def __init__(self, element: Any, origin: _Origin) -> None:
        self.element = element
        self.origin = origin
        self.value: Any = None
        self.error: Exception | None = None
        self.done = False
        self.skipped = False


class _Pool(Through[A, B], Generic[A, B]):
    """Workers over one queue. Subclasses say which slots may go out."""

    __slots__ = (
        "_ahead", "_failure", "_function", "_idle", "_m", "_name", "_pace", "_parallelism", "_todo", "_wake",
        "_workers", "held",
    )  # fmt: skip

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[A], Awaitable[B]], parallelism: int
    ) -> None:
        super().__init__(upstream)
        self._m = m
        self._name = name
        self._function = function
        self._parallelism = parallelism
        self._pace = m.pace()
        self._ahead = Ahead(upstream, m.spawn)
        self._todo: deque[_Slot] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._workers: list[asyncio.Task[None]] = []
        self._wake: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self.held = 0

    def admitted(self, slot: _Slot) -> None:
        """A slot has entered the pool."""

    def finished(self, slot: _Slot) -> bool:
        """A slot is done; whether something may go out now."""
        raise AssertionError("the order is a subclass's matter")

    def releasable(self) -> bool:
        """Whether `release` has something to give."""
        raise AssertionError("the order is a subclass's matter")

    def release(self, n: int) -> list[_Slot]:
        """Up to `n` slots that may go out; a failed one comes alone."""
        raise AssertionError("the order is a subclass's matter")

    async def pull(self, n: int) -> Chunk[B] | None:
        fit = self._pace.fit(n)
        self._feed(n)
        while self._failure is None:
            if self.releasable():
                await self._pace.turn()
                chunk = self._emit(self.release(fit))
                if chunk is not None:
                    self._pace.gave(len(chunk))
                    return chunk
            elif self._ahead.ended and self.held == 0:
                self._ahead.take(1)  # raises what the stage above failed with
                return None
            else:
                self._feed(n)
                if self.held or not self._ahead.ended:
                    await self._something()
        raise self._failure

    def _feed(self, n: int) -> None:
        """Takes what was read, and reads on while there is demand for it and too little to do."""
        ahead = self._ahead
        if ahead.ready and not ahead.ended:
            outcome = ahead.outcome(WINDOW)
            if isinstance(outcome, Chunk):
                self._admit(outcome)
        room = min(n, WINDOW) - self.held
        if room > 0 and not ahead.started and len(self._todo) < self._parallelism:
            ahead.start(room).add_done_callback(self._rouse)

    def _admit(self, chunk: Chunk[A]) -> None:
        origin = _Origin(chunk.tokens, len(chunk))
        for element in chunk.data:
            slot = _Slot(element, origin)
            self.admitted(slot)
            self._todo.append(slot)
        self.held += len(chunk)
        for _ in range(min(len(chunk), len(self._idle))):
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)
        for _ in range(min(len(self._todo), self._parallelism - len(self._workers))):
            self._workers.append(self._m.spawn(self._work()))

    async def _something(self) -> None:
        """Waits until a slot may go out, a worker has nothing to do, or an outstanding pull is there."""
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def _rouse(self, _: object = None) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _work(self) -> None:
        todo = self._todo
        while True:
            while todo:
                slot = todo.popleft()
                try:
                    slot.value = await self._function(slot.element)
                except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - goes to the supervision
                    await self._supervise(slot, error)
                slot.done = True
                if self.finished(slot):
                    self._rouse()
            if self._ahead.ended:
                return
            idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            self._rouse()
            await idle

    async def _supervise(self, slot: _Slot, error: BaseException) -> None:
        async def again() -> None:
            try:
                slot.value = await self._function(slot.element)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised again
                failed = _own(error)
                raise failed from failed.__cause__

        try:
            failure = _own(error)
            slot.skipped = await supervise(self._m, self._name, again, slot.element, failure) is Action.RESUME
        except Exception as final:  # noqa: BLE001 - raised in its place by pull
            slot.error = final

    def _emit(self, slots: list[_Slot]) -> Chunk[B] | None:
        """The chunk of some finished slots, None when all of them were skipped. Raises a slot's error."""
        error = slots[0].error
        if error is not None:
            self._failure = error
            for token in slots[0].origin.tokens:
                token.nack(error)
            raise error
        self.held -= len(slots)
        parts: list[Chunk[B]] = []
        for origin, run in groupby(slots, attrgetter("origin")):
            part = _part(origin, list(run))
            if part is not None:
                parts.append(part)
        return join(parts) if parts else None

    async def on_close(self) -> None:
        await close_each(self._end_workers, self._ahead.close)

    async def _end_workers(self) -> None:
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)


def _own(error: BaseException) -> Exception:
    """The element's error; raises a cancellation that is meant for the worker."""
    if isinstance(error, asyncio.CancelledError) and cancel_requested():
        raise error
    return failure_of(error)


def _part(origin: _Origin, slots: list[_Slot]) -> Chunk[Any] | None:
    """The results of some slots that come from one chunk; None when all were skipped."""
    tokens = origin.tokens
    origin.left -= len(slots)
    if origin.left:
        for token in tokens:
            token.retain()
    data = [slot.value for slot in slots if not slot.skipped]
    if tokens and len(data) < len(slots):
        tokens[-1].account("skipped", len(slots) - len(data))
    chunk = Chunk(data, tokens)
    if data:
        return chunk
    chunk.confirm()
    return None


class MapAsync(_Pool[A, B]):
    __slots__ = ("_order",)

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[A], Awaitable[B]], parallelism: int
    ) -> None:
        super().__init__(upstream, m, name, function, parallelism)
        self._order: deque[_Slot] = deque()

    def admitted(self, slot: _Slot) -> None:
        self._order.append(slot)

    def finished(self, slot: _Slot) -> bool:
        return slot is self._order[0]

    def releasable(self) -> bool:
        return bool(self._order) and self._order[0].done

    def release(self, n: int) -> list[_Slot]:
        order = self._order
        slots = [order.popleft()]
        while slots[0].error is None and len(slots) < n and order and order[0].done and order[0].error is None:
            slots.append(order.popleft())
        return slots


class MapAsyncUnordered(_Pool[A, B]):
    __slots__ = ("_done",)

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[A], Awaitable[B]], parallelism: int
    ) -> None:
        super().__init__(upstream, m, name, function, parallelism)
        self._done: list[_Slot] = []

    def finished(self, slot: _Slot) -> bool:
        self._done.append(slot)
        return True

    def releasable(self) -> bool:
        return bool(self._done)

    def release(self, n: int) -> list[_Slot]:
        done = self._done
        failed = next((i for i, slot in enumerate(done) if slot.error is not None), n)
        n = min(n, failed or 1)
        out, self._done = done[:n], done[n:]
        return out


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
        except Exception as error:  # noqa: BLE001 - raised with a note, now and later
            self._failure = explain(error, self._name, chunk.data[0])
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
