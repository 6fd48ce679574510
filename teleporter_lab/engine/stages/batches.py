"""The ends of a columnar stream: from_batches, foreach_batch, to_table.

Owns them and their stages; `columnar` has what stands between. Connectors that give and take columns have their own.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.columns import ColumnsMismatch, alike, arrow, batches_of, one_batch
from teleporter_lab.engine.failure import FAILURES, failure_of
from teleporter_lab.engine.graph import Sink, Source, source
from teleporter_lab.engine.operators import named
from teleporter_lab.engine.stage import PLENTY, Stage, Terminal, close_fully, give_up
from teleporter_lab.engine.stages.columnar import Batch, Batched
from teleporter_lab.engine.stages.sinks import Drain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from teleporter_lab.engine.run import Materializer


def from_batches(batches: Iterable[Batch]) -> Source[Batch]:
    """The rows of record batches or tables, in batches no larger than those given, asked for anew in each run.

    Emits when: the iterable has a batch with rows; a large one goes out in slices, without copying.
    Completes when: the iterable ends. An error of the iterable fails the stream.
    """
    return source("from_batches", lambda m: FromBatches(m, batches))


def foreach_batch(function: Callable[[Batch], object]) -> Sink[Batch, None]:
    """Calls `function(batch)` for each batch of columns.

    Takes when: there is input.
    Tokens: a batch is confirmed when the function has returned.
    Supervised: yes, by row; a failing row is found by halving its batch.
    """
    name = named("foreach_batch", function)

    def called(batch: Any) -> Any:
        function(batch)
        return batch

    return Sink(name, lambda m, up: Drain(Batched(up, m, name, called)))


def to_table() -> Sink[Batch, Any]:
    """All rows as one pyarrow Table, None when there was none; for streams that end and fit into memory.

    Takes when: there is input.
    Tokens: a batch is confirmed when it was taken.
    """
    return Sink("to_table", lambda m, up: _ToTable(Batched(up, m, "to_table", one_batch)))


class FromBatches(Stage[Any]):
    __slots__ = ("_at", "_batch", "_batches", "_failure", "_over", "_owned", "_pace", "_ready")

    def __init__(self, m: Materializer, batches: Iterable[Any]) -> None:
        super().__init__()
        self._pace = m.pace(columns=True)
        self._batches: Iterator[Any] = iter(batches)
        self._owned = self._batches is not batches
        self._ready: deque[Any] = deque()
        """Batches of one table that wait."""
        self._batch: Any = None
        self._at = 0
        self._over = False
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[Any] | None:
        n = self._pace.fit(n)
        await self._pace.turn()
        while self._batch is None and (self._ready or not self._over):
            if self._ready:
                self._batch = self._ready.popleft()
            else:
                self._next()
        if self._batch is None:
            if self._failure is not None:
                raise self._failure
            return None
        batch, at = self._batch, self._at
        self._at += n
        if self._at >= len(batch):
            self._batch, self._at = None, 0
        data = batch if n >= len(batch) and at == 0 else batch[at : at + n]
        self._pace.gave(len(data))
        return Chunk(data)

    def _next(self) -> None:
        try:
            self._ready.extend(batches_of(next(self._batches)))
        except StopIteration:
            self._over = True
        except FAILURES as error:
            self._over, self._failure = True, failure_of(error)

    async def on_close(self) -> None:
        close = getattr(self._batches, "close", None)
        if self._owned and close is not None:
            close()


class _ToTable(Terminal[Any]):
    __slots__ = ("_upstream",)

    def __init__(self, upstream: Stage[Any]) -> None:
        self._upstream = upstream

    async def run(self) -> Any:
        batches: list[Any] = []
        try:
            while (chunk := await self._upstream.pull(PLENTY)) is not None:
                if batches and not alike(batches[0], chunk.data):
                    mismatch = ColumnsMismatch("Batches of different schemas do not make one table.")
                    chunk.refuse(mismatch)
                    raise mismatch
                batches.append(chunk.data)
                chunk.written()
        except BaseException as error:
            await give_up(self._upstream.close, error)
            raise
        await close_fully(self._upstream.close)
        return arrow().Table.from_batches(batches) if batches else None
