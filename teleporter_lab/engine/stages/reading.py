"""Where records of a system outside come in: read_from, read_from_blocking.

Owns how a reader is driven: opened by the first pull, asked for no more than the pace allows, closed once, and what the
supervision says when it fails. Sources that get one element a call are readers too (`unfolding`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import FAILURES
from teleporter_lab.engine.graph import Source, source
from teleporter_lab.engine.stage import Stage, close_fully
from teleporter_lab.engine.supervision import Action, put_aside
from teleporter_lab.engine.trials import Trials, own_failure
from teleporter_lab.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.endpoints import BlockingReader, Position, Reader
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.supervision import Failure

T = TypeVar("T")


def read_from(name: str, make: Callable[[], Reader[T]], position: Position | None = None) -> Source[T]:
    """What a fresh reader made by `make` gives, from just after `position` (None: from the start).

    Knows its position, so that `source_ack` may stand below it. A reader with an attribute `columnar = True` may give
    batches of columns, of up to 65,536 rows.

    Emits when: the reader has given records.
    Waits when: nothing below asks, or the reader has none yet.
    Completes when: the reader says so.
    Supervised: yes. retry and resume read again, which is behind a record that could not be read (BadRecord);
        deadLetter puts that record aside, and reads again after other errors; reload closes the reader, opens a fresh
        one just after the last record and reads again.
    """
    return source(name, lambda m: ReadFrom(m, name, make, position, plain=True))


def read_from_blocking(name: str, make: Callable[[], BlockingReader[T]], position: Position | None = None) -> Source[T]:
    """Like `read_from`, for a reader that blocks: it works in a driver thread, a chunk a call.

    Emits when: the reader has given records.
    Waits when: nothing below asks, or the reader has none yet.
    Completes when: the reader says so.
    Supervised: yes, like `read_from`.
    """

    def attach(m: Materializer) -> ReadFrom[T]:
        return ReadFrom(m, name, lambda: _InThread(make(), m), position, plain=True)

    return source(name, attach)


class Reading(Stage[T]):
    """A reader as a stage. A failed one that is to be reloaded is closed, and a fresh one takes its place.

    An error that stops the stream gets a note that says at which position, unless it is a `plain` one.
    """

    __slots__ = (
        "_aside", "_held", "_m", "_make", "_opened", "_over", "_pace", "_position", "_reader", "_stale", "_trials",
    )  # fmt: skip

    def __init__(
        self, m: Materializer, name: str, make: Callable[[], Reader[T]], start: Position | None, plain: bool = False
    ) -> None:
        super().__init__()
        self._m = m
        self._make = make
        self._reader = make()
        self._pace = m.pace(columns=is_columnar(self._reader))
        self._trials = Trials(m, name, None if plain else "at")
        self._position = start
        self._opened = False
        self._stale = False
        """The reader is to be replaced before it is used again."""
        self._aside: Failure | None = None
        """A record that is to be stored as a dead letter before anything else is read."""
        self._over = False
        self._held: list[T] | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        n = self._pace.fit(n)
        while self._held is None:
            if self._over:
                return None
            await self._read(n)
            await self._pace.turn()
        data, self._held = self._held, None
        if len(data) > n:
            data, self._held = data[:n], data[n:]
        else:
            self._position = self._reader.position
        self._pace.gave(len(data))
        return Chunk(data)

    async def _read(self, n: int) -> None:
        """Reads once; what it fails with is decided about first when this is called again."""
        trials = self._trials
        if trials.failure is not None:
            await self._decide(trials, trials.failure)
        if self._aside is not None:
            await put_aside(self._m, self._aside)
            self._aside = None
        try:
            await self._open()
            data = await self._reader.read(n)
        except FAILURES as error:
            trials.failed(own_failure(error), self._position, at=self._position)
            self._stale = self._stale or not self._opened
            return
        trials.went_well()
        if data is None:
            self._over = True
        elif len(data):
            self._held = data

    async def _decide(self, trials: Trials, failure: Failure) -> None:
        """What is to be done about the last failure. Raises it on stop."""
        action = await trials.decided(failure)
        self._stale = self._stale or action is Action.RELOAD
        if action is Action.DEAD_LETTER and isinstance(failure.error, BadRecord):
            self._aside = replace(failure, element=failure.error.record)

    async def _open(self) -> None:
        if self._stale:
            await let_go(self._reader)
            self._reader, self._opened = self._make(), False
            self._stale = False
        if not self._opened:
            await self._reader.open(self._position)
            self._opened = True

    async def on_close(self) -> None:
        await self._reader.close()


class ReadFrom(Reading[T]):
    """A reader whose position means something to others, and whose errors say what is wrong by themselves."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """What its failures show."""
        return self._trials.name

    @property
    def position(self) -> Position:
        """Just after the last record of the last chunk, or before all that was read with it, when it `holds_back`."""
        return self._position

    @property
    def holds_back(self) -> bool:
        """Whether the reader gave more at once than was asked for, and a part of that is still to come."""
        return self._held is not None


def is_columnar(end: object) -> bool:
    """Whether a reader or writer says that it works on batches of columns."""
    return bool(getattr(end, "columnar", False))


async def let_go(end: Any) -> None:
    """Closes a reader or writer that is to be replaced. What a broken one still fails with concerns nobody."""
    try:
        await close_fully(end.close)
    except FAILURES as error:
        own_failure(error)


class _InThread(Generic[T]):
    """A blocking reader seen as a `Reader`. A cancelled read goes on in its thread and is given by the next one."""

    __slots__ = ("_calls", "_reader", "columnar", "position")

    def __init__(self, reader: BlockingReader[T], m: Materializer) -> None:
        self._reader = reader
        self._calls: OneCall[Any] = OneCall(m.runtime.threads)
        self.columnar = is_columnar(reader)
        self.position: Position = None

    async def open(self, position: Position | None) -> None:
        await self._calls.call(self._reader.open, position)

    async def read(self, n: int) -> list[T] | None:
        data, self.position = await self._calls.call(self._read, n)
        return data

    def _read(self, n: int) -> tuple[list[T] | None, Position]:
        data = self._reader.read(n)
        return data, self._reader.position

    async def close(self) -> None:
        await self._calls.settle()
        await self._calls.call(self._reader.close)
