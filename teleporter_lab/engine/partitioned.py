"""A pool of workers that lets few elements of one key in at a time: the stage behind map_async_partitioned.

Owns the lanes, one for each key that has elements, and the order of the results, which is that of the input. An
element whose lane is busy waits there and holds no worker, so elements of other keys overtake it in work, though not
in the output. Refuses to decide about failures: `supervision` does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.awaited import Failed, mended
from teleporter_lab.engine.chunk import Chunk, join
from teleporter_lab.engine.failure import FAILURES
from teleporter_lab.engine.lone_call import Missing
from teleporter_lab.engine.reservoir import rouse
from teleporter_lab.engine.stage import Through, close_each, stop
from teleporter_lab.engine.stages.transform import Calling
from teleporter_lab.engine.supervision import Failure
from teleporter_lab.engine.trials import own_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterator

    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.run import Materializer

A = TypeVar("A")
B = TypeVar("B")

WINDOW = 1024
"""Elements that are held at the most, waiting, in work or finished."""

_WORKING: Any = object()


class Keyed(Calling[A, "tuple[A, Hashable]"]):
    """Each element together with its key."""

    __slots__ = ()

    def work(self, elements: Iterator[A], out: list[tuple[A, Hashable]]) -> None:
        key_of, add = self.function, out.append
        for element in elements:
            key = key_of(element)
            hash(key)
            add((element, key))


class _Lane:
    """The elements of one key: how many have been let in, and those that wait."""

    __slots__ = ("key", "open", "waiting")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.open = 0
        self.waiting: deque[_Job] = deque()


class _Job:
    """One element, and the place of its result."""

    __slots__ = ("batch", "element", "i", "lane")

    def __init__(self, batch: _Batch, i: int, element: Any, lane: _Lane) -> None:
        self.batch = batch
        self.i = i
        self.element = element
        self.lane = lane


class _Batch:
    """One chunk on its way: the results of its elements, and how many of them have gone out."""

    __slots__ = ("_rest", "given", "results")

    def __init__(self, chunk: Chunk[Any]) -> None:
        self._rest = chunk
        self.results: list[Any] = [_WORKING] * len(chunk)
        self.given = 0

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Of the chunk."""
        return self._rest.tokens

    @property
    def first(self) -> Any:
        """The next result to go out."""
        return self.results[self.given]

    def finished(self, n: int) -> int:
        """How many of the next `n` results are there before one that is not, or a failure."""
        count = 0
        for result in self.results[self.given : self.given + n]:
            if result is _WORKING or isinstance(result, Failed):
                break
            count += 1
        return count

    def piece(self, n: int) -> Chunk[Any] | None:
        """The next `n` results with their share of the tokens; None when nothing is left of them."""
        results = self.results[self.given : self.given + n]
        self.given += n
        chunk = self._rest
        if n < len(chunk):
            chunk, self._rest = chunk.split(n)
        data = [result for result in results if not isinstance(result, Missing)]
        if chunk.tokens and len(data) < n:
            for result in results:
                if isinstance(result, Missing):
                    chunk.tokens[-1].account(result.account, 1)
        if data:
            return Chunk(data, chunk.tokens)
        chunk.confirm()
        return None

    def refuse(self, error: Exception) -> None:
        self._rest.refuse(error)


class Partitioned(Through["tuple[A, Hashable]", B], Generic[A, B]):
    """Workers over the elements that their lanes have let in."""

    __slots__ = (
        "_ahead", "_failure", "_function", "_held", "_idle", "_lanes", "_m", "_name", "_order", "_pace",
        "_parallelism", "_per_lane", "_ready", "_wake", "_workers",
    )  # fmt: skip

    def __init__(
        self, upstream: Keyed[A], m: Materializer, name: str, function: Callable[[A], Awaitable[B]],
        limits: tuple[int, int],
    ) -> None:  # fmt: skip
        super().__init__(upstream)
        self._m = m
        self._name = m.name or name
        self._function = function
        self._parallelism, self._per_lane = limits
        self._pace = m.pace()
        self._ahead = Ahead(upstream, m.spawn)
        self._order: deque[_Batch] = deque()
        self._lanes: dict[Hashable, _Lane] = {}
        self._ready: deque[_Job] = deque()
        self._workers: list[asyncio.Task[None]] = []
        self._idle: deque[asyncio.Future[None]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._held = 0
        self._failure: Exception | None = None

    def _releasable(self) -> bool:
        return bool(self._order) and self._order[0].first is not _WORKING

    async def pull(self, n: int) -> Chunk[B] | None:
        fit = self._pace.fit(n)
        while self._failure is None:
            if self._releasable():
                await self._pace.turn()
                chunk = self._emit(fit)
                if chunk is not None:
                    self._pace.gave(len(chunk))
                    return chunk
            elif self._ahead.ended and not self._held:
                self._ahead.take(1)  # raises what the stage above failed with
                return None
            else:
                self._feed(n)
                if not self._releasable() and (self._held or not self._ahead.ended):
                    await self._something()
        raise self._failure

    def _emit(self, n: int) -> Chunk[B] | None:
        """A chunk of finished elements; None when nothing is left of them, or after a failure."""
        first = self._order[0].first
        if isinstance(first, Failed):
            self._failure = first.error
            self._order[0].refuse(first.error)
            return None
        parts: list[Chunk[B]] = []
        while n > 0 and self._order:
            batch = self._order[0]
            count = batch.finished(n)
            if count:
                part = batch.piece(count)
                parts += () if part is None else (part,)
            n -= count
            self._held -= count
            if batch.given < len(batch.results):
                break
            self._order.popleft()
        return join(parts) if parts else None

    def _feed(self, n: int) -> None:
        """Takes what was read, and reads on while there is demand for it and too little to do."""
        ahead = self._ahead
        if ahead.ready and not ahead.ended:
            outcome = ahead.outcome(WINDOW)
            if isinstance(outcome, Chunk):
                self._admit(outcome)
        room = min(n, WINDOW) - self._held
        if room > 0 and not ahead.started and len(self._ready) < self._parallelism:
            ahead.start(room).add_done_callback(lambda _: rouse(self._wake))

    def _admit(self, chunk: Chunk[tuple[A, Hashable]]) -> None:
        batch = _Batch(chunk)
        self._order.append(batch)
        self._held += len(chunk)
        before = len(self._ready)
        for i, (element, key) in enumerate(chunk.data):
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = _Lane(key)
            lane.waiting.append(_Job(batch, i, element, lane))
            self._let_in(lane)
        new = len(self._ready) - before
        for _ in range(min(new, len(self._idle))):
            rouse(self._idle.popleft())
        for _ in range(min(new, self._parallelism - len(self._workers))):
            self._workers.append(self._m.spawn(self._work()))

    def _let_in(self, lane: _Lane) -> None:
        """The next element of `lane` is ready for a worker, if not too many of it are already."""
        if lane.open < self._per_lane and lane.waiting:
            lane.open += 1
            self._ready.append(lane.waiting.popleft())

    async def _something(self) -> None:
        """Waits until a result may go out, a worker has nothing to do, or an outstanding pull is there."""
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    async def _work(self) -> None:
        while True:
            while self._ready:
                job = self._ready.popleft()
                job.batch.results[job.i] = await self._result(job)
                self._leave(job.lane)
                if self._order[0].first is not _WORKING:
                    rouse(self._wake)
            if self._ahead.ended:
                return
            idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            rouse(self._wake)
            await idle

    def _leave(self, lane: _Lane) -> None:
        """One element of `lane` is done."""
        lane.open -= 1
        self._let_in(lane)
        if not lane.open:
            del self._lanes[lane.key]

    async def _result(self, job: _Job) -> Any:
        try:
            return await self._function(job.element)
        except FAILURES as error:
            failure = Failure(own_failure(error), self._name, job.element, 1, job.batch.tokens)
            return await mended(self._m, self._function, failure)

    async def on_close(self) -> None:
        await close_each(self._end_workers, self._ahead.close)

    async def _end_workers(self) -> None:
        for worker in self._workers:
            stop(worker)
        if self._workers:
            await asyncio.wait(self._workers)
