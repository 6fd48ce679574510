"""Acknowledgement: which records are done, and up to where a position may be committed.

Owns the window of un-confirmed spans (pure: no clock, no task). One token answers for the records of one chunk: a span
of them and the position at its end (`token`). Spans may be confirmed in any order; only the gap-free confirmed prefix
is given out for commit. A token carries the generation of its delivery, so what comes late or twice is counted and
ignored. Refuses to commit (an instance does) and to decide about age (`source_ack` does).

Source of the rule: the checkpointer of Benthos (a prefix never passes an unresolved record; a full window is
back-pressure), extended by generations, channels and accounts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.ledger import Account, Book, Ledger, closed_copies
from teleporter_lab.engine.token import Span, Token, settled_by
from teleporter_lab.errors import AckError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from teleporter_lab.engine.endpoints import Position

__all__ = ["Account", "AckStatistics", "AckWindow", "Ledger", "Progress", "Span", "Token"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What may be committed: everything up to `position` is done. `count` records since the start of the window."""

    position: Position
    count: int
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class AckStatistics:
    """A window now: elements un-confirmed, spans, when the oldest was delivered, and counts since the start."""

    unconfirmed: int
    spans: int
    oldest: float | None
    late: int
    refused: int
    redelivered: int


class AckWindow:
    """Spans from the first un-confirmed on, in the order they were read.

    `size` is the most elements held (the ancestor's cacheSize); `channels` the number of sinks that each confirm.
    `on_change` is called when a prefix was confirmed or a span refused: room and progress may have changed. A window
    serves one run of one source.
    """

    def __init__(self, size: int, channels: int = 1, on_change: Callable[[], None] | None = None) -> None:
        if size < 1 or channels < 1:
            raise AckError(f"An ack window needs size >= 1 and channels >= 1, not {size} and {channels}.")
        self.size = size
        self.channels = channels
        self.on_change = on_change
        self.late = 0
        self.refused = 0
        self.redelivered = 0
        self._spans: deque[Span] = deque()
        self._held = 0
        self._done = Ledger()
        self._position: Position = None
        self.exhausted = False
        """The source has ended: nothing more is opened."""
        self._on_room: Callable[[], None] | None = None
        self._on_nack: Callable[[Span, BaseException], None] | None = None

    def serve(self, on_room: Callable[[], None], on_nack: Callable[[Span, BaseException], None] | None = None) -> None:
        """Ties the window to one source, which is told when there may be room again, and what was given back to it.

        Raises AckError the second time: what an earlier run left un-confirmed would stand in front of everything.
        """
        if self._on_room is not None:
            raise AckError("This ack window serves another run; each run of a source needs a window of its own.")
        self._on_room = on_room
        self._on_nack = on_nack

    def bit(self, channel: int) -> int:
        """The channel's place in a mask. Raises AckError when there is no such channel."""
        if not 0 <= channel < self.channels:
            raise AckError(f"There is no channel {channel}: the window has {self.channels}.")
        return 1 << channel

    @property
    def progress(self) -> Progress | None:
        """What may be committed now; None as long as nothing was confirmed."""
        if self._done.read == 0:
            return None
        return Progress(self._position, self._done.read, self._done.copy())

    @property
    def confirmed(self) -> int:
        """Records that may be committed now."""
        return self._done.read

    @property
    def opened(self) -> int:
        """Records so far, confirmed or not."""
        return self._done.read + self._held

    @property
    def room(self) -> int:
        """Elements that may still be read before something is confirmed."""
        return self.size - self._held

    def open(self, count: int, position: Position, now: float, data: Any = None) -> Token:
        """A token for the next `count` records, which end at `position`. Raises AckError when there is no room."""
        if count < 1 or count > self.room:
            raise AckError(f"No room for {count} records: the window holds {self._held} of {self.size}.")
        everyone = (1 << self.channels) - 1
        span = Span(count, position, everyone, now, data)
        self._spans.append(span)
        self._held += count
        return Token(self, span, everyone)

    def settle(self, span: Span, generation: int, mask: int) -> None:
        """Confirms the channels of `mask` for one delivery of `span`; late and second ones change nothing."""
        if not mask:
            return
        if generation != span.generation or (span.pending & mask) != mask:
            self.late += 1
            return
        span.pending &= ~mask
        if span.pending or self._spans[0] is not span:
            return
        self._advance()

    def _advance(self) -> None:
        spans = self._spans
        while spans and not spans[0].pending:
            span = spans.popleft()
            self._held -= span.count
            ledger = span.ledger
            self._done.add(ledger if ledger.debts is None and not ledger.carried else ledger.closed())
            self._position = span.position
        self._changed()

    def _changed(self) -> None:
        if self._on_room is not None:
            self._on_room()
        if self.on_change is not None:
            self.on_change()

    def refuse(self, span: Span, generation: int, error: BaseException, ask: bool) -> None:
        """One delivery of `span` failed; it stays un-confirmed, so nothing after it can be committed.

        With `ask` the source is told, which decides about it.
        """
        if generation != span.generation:
            return
        self.refused += 1
        self._changed()
        if ask and self._on_nack is not None:
            self._on_nack(span, error)

    def unconfirmed(self) -> Iterator[Span]:
        """The spans that are not confirmed, in the order they were read."""
        return (span for span in list(self._spans) if span.pending)

    def expired(self, before: float) -> Iterator[Span]:
        """Those of them that were delivered at `before` or earlier."""
        return (span for span in self.unconfirmed() if span.since <= before)

    def redeliver(self, span: Span, now: float) -> Token:
        """A fresh token for the channels of `span` that are still open; older tokens of it count no more."""
        if not span.pending:
            raise AckError("A confirmed span is not delivered again.")
        span.generation += 1
        span.tries += 1
        span.since = now
        span.ledger = Book(span.count)
        self.redelivered += 1
        return Token(self, span, span.pending)

    def leave_out(self, span: Span, where: Account) -> None:
        """Confirms `span` in the place of its sinks; all its records count as `where`, older tokens count no more."""
        if not span.pending:
            raise AckError("A confirmed span cannot be left out.")
        span.generation += 1
        span.ledger = Book(span.count)
        span.ledger.count(where, span.count)
        span.pending = 0
        if self._spans[0] is span:
            self._advance()

    @property
    def placeless(self) -> bool:
        """Whether it is full of one read of its source, behind which nothing more fits: no position ever comes."""
        return self.room <= 0 and not any(span.whole for span in self._spans)

    def progress_with(self, tokens: Iterable[Token]) -> Progress | None:
        """What might be committed if these references were confirmed now, with the accounts as they are.

        None unless that confirmed every one of their spans, with no gap before them, and a position stands behind the
        last one. Changes nothing.
        """
        spans, masks = settled_by(tokens)
        prefix: list[Span] = []
        for span in self._spans:
            if span.pending & ~masks.get(span, 0):
                break
            prefix.append(span)
        while prefix and not prefix[-1].whole:
            prefix.pop()
        if not spans.issubset(prefix):
            return None
        if not prefix:
            return self.progress
        ledger = self._done.copy()
        ledger.add(closed_copies([span.ledger for span in prefix]))
        return Progress(prefix[-1].position, ledger.read, ledger)

    def ledger(self) -> Ledger:
        """Everything read through this window, settled or not."""
        whole = self._done.copy()
        for span in self._spans:
            whole.add(span.ledger)
        return whole

    def statistics(self) -> AckStatistics:
        oldest = min((span.since for span in self._spans if span.pending), default=None)
        return AckStatistics(self._held, len(self._spans), oldest, self.late, self.refused, self.redelivered)
