"""A pool of workers: the stage behind map_async, ordered and unordered.

A fixed number of workers take elements as they get free; there is no task per element (measured: twice the speed).
Whatever has finished goes out as one chunk, an element at a time at low rates. Owns the workers and the order of their
results. Refuses to decide about failures: `supervision` does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from operator import length_hint
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.awaited import Failed, mended
from teleporter_lab.engine.chunk import Chunk, join
from teleporter_lab.engine.failure import FAILURES
from teleporter_lab.engine.lone_call import LEFT_OUT, PUT_ASIDE
from teleporter_lab.engine.stage import Stage, Through, close_each, stop
from teleporter_lab.engine.supervision import Failure
from teleporter_lab.engine.trials import own_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from teleporter_lab.engine.run import Materializer

A = TypeVar("A")
B = TypeVar("B")

WINDOW = 1024
"""Elements a pool may hold, waiting, in work or finished."""

_WORKING: Any = object()


class _Batch:
    """One chunk on its way through a pool: the workers share what is `todo`, its results go out in pieces."""

    __slots__ = ("_left", "elements", "fails", "results", "skips", "todo", "tokens")

    def __init__(self, chunk: Chunk[Any]) -> None:
        self._left = len(chunk)
        self.tokens = chunk.tokens
        self.elements = iter(chunk.data)
        self.todo = enumerate(self.elements)
        self.results: list[Any] = []
        self.skips = False
        """Whether results may hold marks of elements that were left out."""
        self.fails = False
        """Whether one of the results is a failure."""

    def piece(self, results: list[Any]) -> Chunk[Any] | None:
        """Some results with their share of the tokens; None when all were skipped."""
        self._left -= len(results)
        if self._left:
            for token in self.tokens:
                token.retain()
        data = results
        if self.skips:
            data = [value for value in results if value is not LEFT_OUT and value is not PUT_ASIDE]
            if self.tokens and len(data) < len(results):
                aside = sum(value is PUT_ASIDE for value in results)
                self.tokens[-1].account("skipped", len(results) - len(data) - aside)
                self.tokens[-1].account("dead_lettered", aside)
        chunk = Chunk(data, self.tokens)
        if data:
            return chunk
        chunk.confirm()
        return None

    def refuse(self, error: Exception) -> None:
        for token in self.tokens:
            token.refuse(error)


class _Pool(Through[A, B], Generic[A, B]):
    """Workers over one queue. Subclasses keep the results and say which may go out."""

    __slots__ = (
        "_ahead", "_failure", "_function", "_held", "_idle", "_m", "_name", "_pace", "_parallelism", "_workers",
        "queue", "wake",
    )  # fmt: skip

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[A], Awaitable[B]], parallelism: int
    ) -> None:
        super().__init__(upstream)
        self._m = m
        self._name = m.name or name
        self._function = function
        self._parallelism = parallelism
        self._pace = m.pace()
        self._ahead = Ahead(upstream, m.spawn)
        self.queue: deque[_Batch] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._workers: list[asyncio.Task[None]] = []
        self.wake: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._held = 0

    def admit(self, batch: _Batch, count: int) -> None:
        """A batch of `count` elements has entered the pool."""

    def failed(self) -> tuple[_Batch, Exception] | None:
        """The failure that is next to go out."""
        raise AssertionError("the order is a subclass's matter")

    def release(self, n: int) -> list[tuple[_Batch, list[Any]]]:
        """Up to `n` results that may go out, none of them a failure."""
        raise AssertionError("the order is a subclass's matter")

    def releasable(self) -> bool:
        """Whether `release` or `failed` has something to give."""
        raise AssertionError("the order is a subclass's matter")

    async def pull(self, n: int) -> Chunk[B] | None:
        fit = self._pace.fit(n)
        while self._failure is None:
            if self.releasable():
                await self._pace.turn()
                chunk = self._emit(fit)
                if chunk is not None:
                    self._pace.gave(len(chunk))
                    return chunk
            elif self._ahead.ended and self._held == 0:
                self._ahead.take(1)  # raises what the stage above failed with
                return None
            else:
                self._feed(n)
                if not self.releasable() and (self._held or not self._ahead.ended):
                    await self._something()
        raise self._failure

    def _emit(self, n: int) -> Chunk[B] | None:
        """A chunk of finished elements; None when all of them were skipped, or after a failure."""
        failed = self.failed()
        if failed is not None:
            batch, self._failure = failed
            batch.refuse(self._failure)
            return None
        parts: list[Chunk[B]] = []
        for batch, results in self.release(n):
            self._held -= len(results)
            part = batch.piece(results)
            if part is not None:
                parts.append(part)
        return join(parts) if parts else None

    def _feed(self, n: int) -> None:
        """Takes what was read, and reads on while there is demand for it and too little to do."""
        ahead = self._ahead
        if ahead.ready and not ahead.ended:
            outcome = ahead.outcome(WINDOW)
            if isinstance(outcome, Chunk):
                self._admit(outcome)
        room = min(n, WINDOW) - self._held
        if room > 0 and not ahead.started and not self._enough_to_do():
            ahead.start(room).add_done_callback(self.rouse)

    def _enough_to_do(self) -> bool:
        todo = 0
        for batch in self.queue:
            todo += length_hint(batch.elements)
            if todo >= self._parallelism:
                return True
        return False

    def _admit(self, chunk: Chunk[A]) -> None:
        batch = _Batch(chunk)
        self.admit(batch, len(chunk))
        self.queue.append(batch)
        self._held += len(chunk)
        for _ in range(min(len(chunk), len(self._idle))):
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)
        for _ in range(min(len(chunk), self._parallelism - len(self._workers))):
            self._workers.append(self._m.spawn(self.work(self._function)))

    async def _something(self) -> None:
        """Waits until a result may go out, a worker has nothing to do, or an outstanding pull is there."""
        self.wake = asyncio.get_running_loop().create_future()
        try:
            await self.wake
        finally:
            self.wake = None

    def rouse(self, _: object = None) -> None:
        """Lets the one who pulls look again; once, until it waits again."""
        wake, self.wake = self.wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)

    async def work(self, function: Callable[[A], Awaitable[B]]) -> None:
        """What each worker does: takes elements of the first batch in the queue, keeps the results, until told to end.

        Written out in the subclasses, as a call more for each element is a tenth of what it costs.
        """
        raise AssertionError("the order is a subclass's matter")

    async def more(self) -> bool:
        """Waits for a batch in the queue; False when there will be none."""
        if not self.queue:
            if self._ahead.ended:
                return False
            idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            self.rouse()
            await idle
        return True

    def emptied(self, batch: _Batch) -> None:
        """All elements of `batch` have been taken by workers."""
        if self.queue and self.queue[0] is batch:
            self.queue.popleft()

    async def mend(self, batch: _Batch, element: A, error: BaseException) -> Any:
        """The result of an element whose first try failed, or a mark for it."""
        result = await mended(
            self._m, self._function, Failure(own_failure(error), self._name, element, 1, batch.tokens)
        )
        batch.fails = batch.fails or isinstance(result, Failed)
        batch.skips = batch.skips or result is LEFT_OUT or result is PUT_ASIDE
        return result

    async def on_close(self) -> None:
        await close_each(self._end_workers, self._ahead.close)

    async def _end_workers(self) -> None:
        for worker in self._workers:
            stop(worker)
        if self._workers:
            await asyncio.wait(self._workers)


class MapAsync(_Pool[A, B]):
    """Results go out in the order of the input: `_out` of the first batch have gone."""

    __slots__ = ("_order", "_out")

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[A], Awaitable[B]], parallelism: int
    ) -> None:
        super().__init__(upstream, m, name, function, parallelism)
        self._order: deque[_Batch] = deque()
        self._out = 0

    def admit(self, batch: _Batch, count: int) -> None:
        batch.results = [_WORKING] * count
        self._order.append(batch)

    async def work(self, function: Callable[[A], Awaitable[B]]) -> None:
        queue = self.queue
        while await self.more():
            while queue:
                batch = queue[0]
                results = batch.results
                for i, element in batch.todo:
                    try:
                        results[i] = await function(element)
                    except FAILURES as error:
                        results[i] = await self.mend(batch, element, error)
                    if self.wake is not None and i == self._out and batch is self._order[0]:
                        self.rouse()
                self.emptied(batch)

    def failed(self) -> tuple[_Batch, Exception] | None:
        batch = self._order[0]
        result = batch.results[self._out]
        return (batch, result.error) if isinstance(result, Failed) else None

    def releasable(self) -> bool:
        return bool(self._order) and self._order[0].results[self._out] is not _WORKING

    def release(self, n: int) -> list[tuple[_Batch, list[Any]]]:
        pieces: list[tuple[_Batch, list[Any]]] = []
        while n > 0 and self._order:
            batch, start = self._order[0], self._out
            results = batch.results[start : start + n]
            ready = _finished(results)
            if ready:
                pieces.append((batch, results[:ready]))
            n -= ready
            self._out += ready
            if self._out < len(batch.results):
                break
            self._order.popleft()
            self._out = 0
        return pieces


def _finished(results: list[Any]) -> int:
    """How many of the first results are there and none a failure."""
    for i, result in enumerate(results):
        if result is _WORKING or isinstance(result, Failed):
            return i
    return len(results)


class MapAsyncUnordered(_Pool[A, B]):
    """Results go out as they come, by chunks of the input; a failure when it is the first that is left."""

    __slots__ = ("_ready",)

    def __init__(
        self, upstream: Stage[A], m: Materializer, name: str, function: Callable[[A], Awaitable[B]], parallelism: int
    ) -> None:
        super().__init__(upstream, m, name, function, parallelism)
        self._ready: deque[_Batch] = deque()

    async def work(self, function: Callable[[A], Awaitable[B]]) -> None:
        queue = self.queue
        while await self.more():
            while queue:
                batch = queue[0]
                results = batch.results
                for element in batch.elements:
                    try:
                        result = await function(element)
                    except FAILURES as error:
                        result = await self.mend(batch, element, error)
                    results.append(result)
                    if len(results) == 1:
                        self._ready.append(batch)
                    if self.wake is not None:
                        self.rouse()
                self.emptied(batch)

    def failed(self) -> tuple[_Batch, Exception] | None:
        """Seen when it is the first that is left: what finished before it has gone."""
        if not self._ready:
            return None
        batch = self._ready[0]
        first = batch.results[0]
        return (batch, first.error) if isinstance(first, Failed) else None

    def releasable(self) -> bool:
        return bool(self._ready)

    def release(self, n: int) -> list[tuple[_Batch, list[Any]]]:
        pieces: list[tuple[_Batch, list[Any]]] = []
        while n > 0 and self._ready:
            batch = self._ready[0]
            results = batch.results[:n]
            if batch.fails:
                results = results[: _finished(results)]
            if not results:
                break
            pieces.append((batch, results))
            del batch.results[: len(results)]
            n -= len(results)
            if not batch.results:
                self._ready.popleft()
        return pieces
