"""Batches that end where a position may be kept: with them stored, everything up to that position is.

Owns the waiting for it. A batch that is due ends behind the last record that has nothing before it still on its way,
and shares its place in the source with no record behind it; it grows until there is such a one, at the most until the
ack window is full. Refuses to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from teleporter_lab.engine.chunk import Held
from teleporter_lab.engine.columns import ColumnsMismatch
from teleporter_lab.engine.reservoir import Reservoir
from teleporter_lab.engine.stage import PLENTY
from teleporter_lab.errors import AckError

if TYPE_CHECKING:
    from teleporter_lab.engine.ack import AckWindow, Progress, Token
    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stage import Stage

T = TypeVar("T")

MARK_SECONDS = 10.0
"""How old a position may become that nothing was written for, as everything before it was left out."""

LINGER_SECONDS = 10.0
"""How long the end of the stream waits for a sink beside this one to confirm what they share."""

STUCK_SECONDS = 300.0
"""How long a batch that fills the ack window, and cannot be written, waits for what an operator above holds back."""

LOOK_SECONDS = 0.01
"""How long after a look in vain a batch is looked at again where nothing comes: n times as long after n of them, as
a sink beside this one may confirm what is lacking."""

MOST_LOOK_SECONDS = 0.5
"""The longest of these times."""

LOOKS = 64
"""So often a batch is looked at with each chunk that comes, after that when it has grown by a sixteenth; and so many
ends are tried at each look."""

NOWHERE = (
    "A sink that is exactly once needs a source that knows where it is, and this one has no position behind its "
    "records: give it an order, or a key."
)
STRANGERS = (
    "A sink that is exactly once got records that its source does not wait for: leave out what joins another source to "
    "the stream or confirms records on their way."
)
AGAIN = (
    "A source with a sink that is exactly once has delivered records again that are not written yet: its ack.maxAge "
    "must be Inf."
)
LACKING = (
    "The stream has ended, and records before those of its last batch are not confirmed: a sink that is exactly once "
    "has to be the only one that gets the records of its source."
)
TOO_LARGE = (
    "The source gives more records at once than the ack window holds: a sink that is exactly once needs an "
    "ack.cacheSize that is larger than that."
)
STUCK = (
    "The ack window is full, and an operator holds back records that belong with those of the last batch: a sink that "
    "is exactly once needs a larger ack.cacheSize, or a stream without groups and windows that overlap."
)


class Batch(NamedTuple, Generic[T]):
    """Records to be written, None for a position alone, and the progress there is when that is done."""

    chunk: Chunk[T] | None
    progress: Progress


class Tokened(Held[T]):
    """Chunks that wait, and what they answer for."""

    __slots__ = ()

    def tokens(self, n: int) -> list[Token]:
        """Of the chunks with the first `n` elements."""
        found: list[Token] = []
        for chunk in self._chunks:
            if n <= 0:
                break
            found += chunk.tokens
            n -= len(chunk)
        return found

    def ends(self) -> list[int]:
        """Behind how many elements no token is met again that was met before, the largest number first."""
        last = {token: i for i, chunk in enumerate(self._chunks) for token in chunk.tokens}
        found: list[int] = []
        elements = reach = 0
        for i, chunk in enumerate(self._chunks):
            elements += len(chunk)
            reach = max(reach, *(last[token] for token in chunk.tokens))
            if reach == i:
                found.append(elements)
        return found[::-1]


class WholeBatches(Reservoir[T, T], Generic[T]):
    """Batches of `size` elements, or `seconds` old, for the one sink that keeps the position of `window`.

    One may be smaller, or larger, where it has to be. The next one is gathered while one is written.
    """

    __slots__ = ("_again", "_came", "_count", "_deadline", "_held", "_looks", "_mark_at", "_patience", "_progress",
                 "_seconds", "_size", "_window", "_written")  # fmt: skip

    def __init__(self, upstream: Stage[T], m: Materializer, size: int, seconds: float, window: AckWindow) -> None:
        super().__init__(upstream, m)
        self._size = size
        self._seconds = seconds
        self._window = window
        self._held: Tokened[T] = Tokened()
        self._deadline = 0.0
        self._came = 0.0
        """When something came last."""
        self._looks = 0
        """At the batch at hand, in vain."""
        self._again = 0
        """Elements from which on it is looked at again."""
        self._count = 0
        """Elements of the batch that may be written."""
        self._progress: Progress | None = None
        self._written = 0
        """Records of the source that were done with the last batch."""
        self._mark_at = self.clock.now() + MARK_SECONDS
        self._patience: float | None = None
        """Until when the end of the stream waits for others."""

    async def batch(self) -> Batch[T] | None:
        """The next one, or a position alone; None at the end. Raises what a stage above failed with, or AckError."""
        self._progress = None
        chunk = await self.pull(self._size)
        if self._progress is None:
            return None
        self._written = self._progress.count
        self._mark_at = self.clock.now() + MARK_SECONDS
        return Batch(chunk, self._progress)

    def room(self) -> int:
        return PLENTY if self.asked and self._looks else self._size - self._held.count

    def keep(self, chunk: Chunk[T]) -> None:
        if not chunk.tokens or any(token.window is not self._window for token in chunk.tokens):
            self.over, self.failure = True, AckError(STRANGERS)
            chunk.refuse(self.failure)
            return
        self._came = self.clock.now()
        if not self._held.count:
            self._deadline = self._came + self._seconds
        self._held.add(chunk)

    async def give(self, n: int) -> Chunk[T] | None:
        while not self._ready():
            await self._wait()
        if not self._held.count:
            return self.end()
        await self.pace.turn()
        self._looks = self._again = 0
        self._deadline = self.clock.now() + self._seconds  # of what is left
        return self._held.take(self._count)

    def _ready(self) -> bool:
        """Whether there is a batch, a position, or the end."""
        if not self._held.count:
            return self._moved() or self.over
        return (self.over or self._due()) and self._held.count >= self._again and self._found()

    def _due(self) -> bool:
        return self._held.count >= self._size or self._window.room <= 0 or self.clock.now() >= self._deadline

    def _moved(self) -> bool:
        """Whether a position is to be kept that nothing is written for."""
        if self.failure is not None or not (self.over or self.clock.now() >= self._mark_at):
            return False
        progress = self._window.progress
        self._mark_at = self.clock.now() + MARK_SECONDS
        self._progress = progress if progress is not None and progress.count > self._written else None
        return self._progress is not None

    def _found(self) -> bool:
        """Looks for the largest batch that may be written. Raises ColumnsMismatch where columns stand against it."""
        held, alike = self._held.count, self._held.alike(self._held.count)
        mixed = False
        for end in self._held.ends()[:LOOKS]:
            self._progress = self._window.progress_with(self._held.tokens(end))
            if self._progress is not None and self._progress.position is None:
                raise AckError(NOWHERE)
            if self._progress is not None and end <= alike:
                self._count = end
                return True
            mixed = mixed or self._progress is not None
        if mixed:
            raise ColumnsMismatch("Records of one place in the source come with different columns.")
        self._looks += 1
        self._again = held + held // 16 if self._looks > LOOKS else 0
        if any(token.generation != token.span.generation for token in self._held.tokens(held)):
            raise AckError(AGAIN)
        self.read_on()  # what is lacking may stand above, beyond what there was room for
        return False

    async def _wait(self) -> None:
        now = self.clock.now()
        if not self._held.count:
            await self.more(self._mark_at - now)
        elif self.over:
            await self._linger(now)
        elif not self._looks:
            await self.more(self._deadline - now)
        elif self._window.placeless:
            raise AckError(TOO_LARGE)
        elif self._window.room <= 0 and now - self._came >= STUCK_SECONDS:
            raise AckError(STUCK)
        elif not await self.more(min(LOOK_SECONDS * self._looks, MOST_LOOK_SECONDS)):
            self._again = 0

    async def _linger(self, now: float) -> None:
        """Nothing more comes, and records are lacking."""
        self.end()
        if self._patience is None:
            self._patience = now + LINGER_SECONDS
        if now >= self._patience:
            raise AckError(LACKING)
        self._again = 0
        await self.clock.sleep(LOOK_SECONDS)
