"""Batches to a writer that keeps the position of the source with them, so that each record is stored exactly once.

Owns the mark of each batch, and the question whether a batch is stored whose writing has ended with an error: the mark
that is kept tells. Refuses to halve a batch, as its parts have no position: what a writer does not name by its place
goes with the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.ack import Progress
from teleporter_lab.engine.failure import FAILURES, RowsNeeded
from teleporter_lab.engine.judge import Judge
from teleporter_lab.engine.left_out import LeftOut
from teleporter_lab.engine.part import Failed, Part, named
from teleporter_lab.engine.plain_writers import InThread
from teleporter_lab.engine.stage import close_fully
from teleporter_lab.engine.stages.reading import is_columnar
from teleporter_lab.engine.supervision import AGAIN, Action, explain
from teleporter_lab.engine.trials import own_failure
from teleporter_lab.engine.writer_slot import WriterSlot
from teleporter_lab.errors import AckError, Conflict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.blocking import DriverThreads
    from teleporter_lab.engine.endpoints import Holding, Mark, Writer
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.supervision import Failure
    from teleporter_lab.engine.whole_batches import Batch

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Marks:
    """The position that a sink keeps with its records."""

    window: AckWindow
    """Of the one source of the stream."""
    key: str
    """What the position is kept under, `/position/ns/task/stream/source`."""
    record: Callable[[Progress], Mark]
    """Makes the mark of a progress; its `expect` is set here. No two of a run may have the same text."""
    kept: str | None
    """What was kept when the source's position was taken from it; None where nothing was."""


class MarkedStoring(Generic[T]):
    """A writer of marked batches under supervision. It is asked which mark it keeps before anything is read."""

    __slots__ = ("_columnar", "_judge", "_kept", "_last", "_m", "_marks", "_slot", "_tried")

    def __init__(self, m: Materializer, name: str, make: Callable[[], Writer[T]], marks: Marks) -> None:
        self._m = m
        self._judge = Judge(m, name)
        self._slot = WriterSlot(make)
        self._columnar = is_columnar(self._slot.writer)
        self._marks = marks
        self._kept = marks.kept
        self._last: Mark | None = None
        """The last one that this run has stored."""
        self._tried: dict[str, tuple[Mark, int, int]] = {}
        """The marks that were tried for the batch at hand, and how many records each one skips and puts aside."""

    async def open(self) -> None:
        """Opens the writer; where a rule lets a failure pass, it is opened with the first batch.

        Raises Conflict where another run has gone on since the source's position was taken.
        """
        part = Part(None)
        while isinstance(failed := await self._call(self._found), Failed):
            action = await self._judge.about(part.failed(failed.error, self._judge.name))
            if action is Action.RELOAD:
                self._slot.replace(failed.writer)
            if action not in AGAIN:
                return

    async def write(self, batch: Batch[T]) -> None:
        """Stores the batch and its mark, and confirms it. Raises what the supervision stops with, or Conflict."""
        chunk = batch.chunk
        try:
            if chunk is not None and type(chunk.data) is not list and not self._columnar:
                raise RowsNeeded(self._judge.name)
            left = await self._store(batch)
        except Exception as error:
            if chunk is not None:
                chunk.refuse(error)
            raise
        if chunk is not None:
            left.settle(chunk)

    async def close(self) -> None:
        await self._slot.close()

    async def _store(self, batch: Batch[T]) -> LeftOut:
        """Stores the batch with its mark; what was left out of it, all letters of which were stored before."""
        part = Part([]) if batch.chunk is None else Part(batch.chunk.data, batch.chunk.tokens)
        left = LeftOut(self._m)
        self._tried.clear()
        doubt = False
        while True:
            mark = self._mark(batch.progress, len(part), left)
            outcome = await self._call(self._written, part.data if len(part) else [], mark, doubt)
            if not isinstance(outcome, Failed):
                break
            refused = named(outcome.error, len(part))
            doubt = not refused
            part = await self._next(part, outcome, refused, left)
            await left.put_aside()
        self._kept = outcome
        self._last, left.skipped, left.aside = self._tried[outcome]
        return left

    def _mark(self, progress: Progress, written: int, left: LeftOut) -> Mark:
        """That of a batch of which so many records are written. Raises AckError for one that is kept already."""
        ledger = progress.ledger.copy()
        ledger.written += written
        ledger.skipped += left.skipped
        ledger.dead_lettered += left.aside
        made = self._marks.record(Progress(progress.position, progress.count, ledger))
        if made.text == self._kept:
            raise AckError("Two marks of a sink that is exactly once are the same, so none tells which batch it is of.")
        mark = replace(made, expect=self._kept)
        self._tried[mark.text] = mark, left.skipped, left.aside
        return mark

    async def _call(self, work: Callable[..., Awaitable[R]], *args: Any) -> R | Failed:
        """What `work` gives for the writer, open. No rule decides about a Conflict: it is raised."""
        writer = None
        try:
            writer = await self._slot.ready()
            return await work(writer, *args)
        except Conflict:
            raise
        except FAILURES as error:
            return Failed(own_failure(error), writer)

    async def _written(self, writer: Any, data: Any, mark: Mark, doubt: bool) -> str:
        """The text of the mark that the batch is stored with; with `doubt` it is asked for before another try."""
        found = await self._found(writer) if doubt else None
        if found is not None:
            return found
        try:
            await writer.write_marked(data, mark)
        except Conflict:
            if hasattr(writer, "holds"):
                raise  # to ask would shut out the run that has gone on
            found = await self._found(writer)  # a try whose connection was lost may have come through since
            if found is None:
                raise
            return found
        return mark.text

    async def _found(self, writer: Any) -> str | None:
        """The one of the tried marks that is kept; None where it is the last one. Raises Conflict for any other."""
        kept = await writer.marked(self._marks.key)
        if hasattr(writer, "holds"):
            return await self._held_by(writer)
        if kept == self._kept:
            return None
        if kept in self._tried:
            return kept
        raise self._overtaken()

    def _overtaken(self) -> Conflict:
        return Conflict(
            f"Another run has gone on from where this one is: {self._judge.name} keeps another position under "
            f"{self._marks.key} than this run has stored or begun with."
        )

    async def _held_by(self, writer: Holding) -> str | None:
        """The same for a writer whose system keeps positions of groups, and fences other runs by itself."""
        for text, (mark, _, _) in self._tried.items():
            if await writer.holds(mark):
                return text
        if self._last is not None and not await writer.holds(self._last):
            raise self._overtaken()
        return None

    async def _next(self, part: Part, failed: Failed, refused: dict[int, Exception], left: LeftOut) -> Part:
        """What is to be written now in place of a part that has failed; adds to `left` what is left out."""
        failure = part.failed(failed.error, self._judge.name)
        if refused:
            verdict = await self._judge.about_each(part, refused, left)
            reload = verdict.reload
            places = [place for place in range(len(part)) if place not in verdict.out]
            part = part.at(places, part.tries if verdict.again else 0)
        else:
            action = await self._judge.about(failure)
            reload = action is Action.RELOAD
            if action not in AGAIN and not await self._stored_after_all(failure):
                left.add(part.data, action, failure)
                part = Part([], part.tokens)
        if reload:
            self._slot.replace(failed.writer)
        return part

    async def _stored_after_all(self, failure: Failure) -> bool:
        """Whether a batch that is to be left out is kept. Raises its error where that cannot be told.

        It is raised for a mark alone, too: a mark cannot be left out.
        """
        for _ in range(2):  # the second time of a fresh writer
            found = await self._call(self._found)
            if not isinstance(found, Failed):
                if found is None and not len(failure.element):
                    break
                return found is not None
            self._slot.replace(found.writer)
        failure.error.add_note("The records are left out only with a mark, and it cannot be stored.")
        raise explain(failure.error, self._judge.name, failure.element)


async def kept_mark(writer: Any, key: str, threads: DriverThreads | None = None) -> str | None:
    """What a fresh writer keeps under `key`, where a run begins. Opens and closes it. Raises a ConnectorError.

    A writer that blocks is called in one of `threads`.
    """
    if threads is not None:
        writer = InThread[Any](writer, threads)
    try:
        await writer.open()
        return await writer.marked(key)
    finally:
        await close_fully(writer.close)
