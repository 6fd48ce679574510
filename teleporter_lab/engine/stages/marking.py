"""Where records go exactly once: write_exactly, write_exactly_blocking.

Owns the run of a sink that keeps the position of its source with the records. `whole_batches` has when a batch may be
written, `marked_storing` how.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakSet

from teleporter_lab.engine.graph import Sink
from teleporter_lab.engine.marked_storing import MarkedStoring, Marks
from teleporter_lab.engine.plain_writers import InThread
from teleporter_lab.engine.stage import Stage, Terminal, close_each, close_fully, give_up
from teleporter_lab.engine.stages.writing import BATCH_SECONDS, BATCH_SIZE, check_batch
from teleporter_lab.engine.whole_batches import WholeBatches
from teleporter_lab.errors import AckError, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.endpoints import BlockingWriter, Writer
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")


def write_exactly(
    name: str, make: Callable[[], Writer[T]], marks: Marks, size: int = BATCH_SIZE, seconds: float = BATCH_SECONDS
) -> Sink[T, None]:
    """Like `write_to`, for a writer that stores the position of the source in the transaction of the records.

    Each batch is written with a mark (`write_marked`) that says: everything up to here is stored. After a failure of
    any kind the stream goes on from the mark that is kept (`kept_mark`), so each record is stored once. Of the sinks of
    a stream one alone can keep a mark; what it shares with others is written when they have confirmed it. The source of
    `marks.window` must not deliver records again (`ack.maxAge` is Inf), and no other source may join it.

    A batch is written when it has `size` records or is `seconds` old. It ends where a position is: behind the last
    record of something the source has read at once, with nothing before it still on its way. Until there is such an
    end it grows, at the most to the size of the ack window; a stream whose groups never end where a read of the source
    does fails then. One batch is written at a time. Where nothing comes down for 10 s, and at the end, the position is
    stored alone when it has moved.

    A failed write may have been stored all the same: before another try, and before its records are left out, the
    writer is asked which mark it keeps. A Conflict, which means that another run has gone on, stops the stream,
    whatever the rules say. Batches are not halved: records that the writer names (RecordsRefused, or BadRecord with an
    `index`) are left out one by one, or else all records of the batch; dead letters are stored before the mark.

    Takes when: a batch has room, one being written and one being gathered.
    Tokens: confirmed when the batch is stored.
    Supervised: yes, by batch, like `write_to`; resume and deadLetter leave out the records that the writer names, or
        all of them.
    """
    check_batch(size, seconds)

    def end(m: Materializer, upstream: Stage[Any]) -> Terminal[None]:
        storing = MarkedStoring(m, name, lambda: _marking(name, make()), marks)
        return WriteMarked(WholeBatches(upstream, m, size, seconds, marks.window), storing, marks.window)

    return Sink(name, end)


def write_exactly_blocking(
    name: str,
    make: Callable[[], BlockingWriter[T]],
    marks: Marks,
    size: int = BATCH_SIZE,
    seconds: float = BATCH_SECONDS,
) -> Sink[T, None]:
    """Like `write_exactly`, for a writer that blocks: it works in a driver thread, a batch a call.

    Takes when: a batch has room, one being written and one being gathered.
    Tokens: confirmed when the batch is stored.
    Supervised: yes, by batch, like `write_exactly`.
    """
    check_batch(size, seconds)

    def end(m: Materializer, upstream: Stage[Any]) -> Terminal[None]:
        storing = MarkedStoring(m, name, lambda: InThread[Any](_marking(name, make()), m.runtime.threads), marks)
        return WriteMarked(WholeBatches(upstream, m, size, seconds, marks.window), storing, marks.window)

    return Sink(name, end)


def _marking(name: str, writer: Any) -> Any:
    """`writer`, when it can keep a mark. Raises ConnectorError when it cannot."""
    if not hasattr(writer, "write_marked") or not hasattr(writer, "marked"):
        raise ConnectorError(f"{name} cannot keep a position with its records, so it cannot be exactly once.")
    return writer


class WriteMarked(Terminal[None], Generic[T]):
    """Marked batches to a writer, one at a time; the next one is gathered meanwhile."""

    __slots__ = ("_batches", "_storing", "_window")

    def __init__(self, batches: WholeBatches[T], storing: MarkedStoring[T], window: AckWindow) -> None:
        self._batches = batches
        self._storing = storing
        self._window = window

    async def run(self) -> None:
        async def close() -> None:
            await close_each(self._batches.close, self._storing.close)

        try:
            with _alone(self._window):
                await self._storing.open()
                while (batch := await self._batches.batch()) is not None:
                    await self._storing.write(batch)
        except BaseException as error:
            await give_up(close, error)
            raise
        await close_fully(close)


_MARKED: WeakSet[AckWindow] = WeakSet()
"""Windows whose position a sink keeps."""


@contextmanager
def _alone(window: AckWindow) -> Generator[None]:
    """Raises AckError where another sink of the stream keeps the position already: each would wait for the other."""
    if window in _MARKED:
        raise AckError("A stream can have one sink that is exactly once, not two: one position cannot be kept by both.")
    _MARKED.add(window)
    try:
        yield
    finally:
        _MARKED.discard(window)
