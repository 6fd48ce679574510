"""Batches to a writer, under supervision: what is stored is confirmed, what fails goes through the rules.

Owns the search for the records that are to blame. A batch that a rule lets pass is halved until they are found, so that
their neighbours are stored; a writer that names them saves the search. Nothing of this costs anything while nothing
fails. Refuses to gather batches (`stages.writing` does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.failure import FAILURES, RowsNeeded
from teleporter_lab.engine.judge import Judge
from teleporter_lab.engine.left_out import LeftOut
from teleporter_lab.engine.part import Failed, Part, named
from teleporter_lab.engine.stages.reading import is_columnar
from teleporter_lab.engine.supervision import AGAIN, Action
from teleporter_lab.engine.trials import own_failure
from teleporter_lab.engine.writer_slot import WriterSlot
from teleporter_lab.errors import RecordsRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.endpoints import Writer
    from teleporter_lab.engine.lanes import Keys
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")


class Storing(Generic[T]):
    """A writer under supervision. A failed one that is to be reloaded is closed, and a fresh one takes its place."""

    __slots__ = ("_columnar", "_judge", "_m", "_slot", "parallel")

    def __init__(self, m: Materializer, name: str, make: Callable[[], Writer[T]]) -> None:
        self._m = m
        self._judge = Judge(m, name)
        self._slot = WriterSlot(make)
        self._columnar = is_columnar(self._slot.writer)
        self.parallel: int = max(1, getattr(self._slot.writer, "parallel", 1))
        """How many `write`s the writer allows at once."""

    async def open(self) -> None:
        """Opens the writer; where a rule lets a failure pass, it is opened with the first batch."""
        part = Part(None)
        while True:
            try:
                await (self._slot.open() if not part.tries else self._slot.ready())
            except FAILURES as error:
                failure = part.failed(own_failure(error), self._judge.name)
            else:
                return
            if await self._judge.about(failure) not in AGAIN:
                return

    async def write(self, chunk: Chunk[T]) -> None:
        """Stores the chunk and confirms it, or does with it what the supervision says. Raises what it stops with."""
        try:
            if type(chunk.data) is not list and not self._columnar:
                raise RowsNeeded(self._judge.name)
            failed = await self._try(chunk.data)
            if failed is None:
                chunk.written()
            else:
                await self._sort_out(chunk, failed)
        except Exception as error:
            chunk.refuse(error)
            raise

    def keys_of(self, chunk: Chunk[T]) -> Keys:
        """The keys of a batch, as the writer says; None, which stands for any, where it does not or cannot say."""
        keys_of = getattr(self._slot.writer, "keys_of", None)
        if keys_of is None:
            return None
        try:
            return keys_of(chunk.data)
        except FAILURES as error:
            own_failure(error)  # `write` meets the same record, and fails where the rules decide about it
            return None

    async def close(self) -> None:
        await self._slot.close()

    async def _try(self, data: Any) -> Failed | None:
        """None when `data` is stored."""
        writer = None
        try:
            writer = await self._slot.ready()
            await self._slot.write(writer, data)
        except FAILURES as error:
            return Failed(own_failure(error), writer)
        return None

    async def _sort_out(self, chunk: Chunk[T], failed: Failed) -> None:
        """Stores what can be stored of a chunk that has failed, from its first record to its last, and settles it."""
        left = LeftOut(self._m)
        parts = await self._next(Part(chunk.data, chunk.tokens), failed, left)
        while parts:
            part = parts.pop(0)
            again = await self._try(part.data)
            if again is not None:
                parts = await self._next(part, again, left) + parts
        await left.put_aside()
        left.settle(chunk)

    async def _next(self, part: Part, failed: Failed, left: LeftOut) -> list[Part]:
        """What is to be tried now of a part that has failed, in order; adds to `left` what is left out."""
        error = failed.error
        failure = part.failed(error, self._judge.name)
        refused = named(error, len(part))
        if refused:
            return await self._next_of(part, refused, failed, left)
        waited = part.like_before(error)
        divides = len(part) > 1 and not failed.away
        if divides and waited:
            return [*part.halves(failure)]
        action = await self._judge.about(failure, waited)
        if action is Action.RELOAD:
            self._slot.replace(failed.writer)
        if action in AGAIN:
            return [part]
        if divides:
            return [*part.halves(failure)]
        left.add(part.data, action, failure)
        return []

    async def _next_of(self, part: Part, refused: dict[int, Exception], failed: Failed, left: LeftOut) -> list[Part]:
        """The same where the writer has named the records: all others are stored, or, of a bad record, none is."""
        verdict = await self._judge.about_each(part, refused, left)
        if verdict.reload:
            self._slot.replace(failed.writer)
        if isinstance(failed.error, RecordsRefused):
            return [part.at(verdict.again, part.tries)] if verdict.again else []
        places = [place for place in range(len(part)) if place not in verdict.out]
        return [part.at(places, part.tries if verdict.again else 0)] if places else []
