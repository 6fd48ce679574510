"""Acknowledgement: which records are done, and up to where a position may be committed.

Owns the window of un-confirmed spans (pure: no clock, no task) and the ledger. One token answers for the records of
one chunk: a span of sequence numbers and the position at its end. Spans may be confirmed in any order; only the
gap-free confirmed prefix is given out for commit. A token carries the generation of its delivery, so what comes late
or twice is counted and ignored. Refuses to commit (an instance does) and to decide about age (`delivery` does).

Source of the rule: the checkpointer of Benthos (a prefix never passes an unresolved record; a full window is
back-pressure), extended by generations, channels and accounts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from teleporter_lab.errors import AckError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.endpoints import Position

Account = Literal["written", "filtered", "skipped", "dead_lettered", "expanded", "merged", "carried"]


@dataclass(slots=True)
class Ledger:
    """Counts of records, in elements. `read + expanded` is what came in, the others say where it went.

    The ledger of a committed prefix is exact: nothing of it is in flight.
    """

    read: int = 0
    written: int = 0
    filtered: int = 0
    skipped: int = 0
    dead_lettered: int = 0
    expanded: int = 0
    """Elements that operators made on top (one record into many, one chunk to many sinks)."""
    merged: int = 0
    """Elements that went into a group and now travel as one."""
    carried: int = 0
    """Elements that a joined chunk answers for with the token of a later span; below 0 where they left. Sum: 0."""

    @property
    def in_flight(self) -> int:
        """What is neither written nor accounted for; 0 when everything was settled. Never negative in a true ledger."""
        gone = self.written + self.filtered + self.skipped + self.dead_lettered + self.merged
        return self.read + self.expanded + self.carried - gone

    def add(self, other: Ledger) -> None:
        self.read += other.read
        self.written += other.written
        self.filtered += other.filtered
        self.skipped += other.skipped
        self.dead_lettered += other.dead_lettered
        self.expanded += other.expanded
        self.merged += other.merged
        self.carried += other.carried

    def copy(self) -> Ledger:
        whole = Ledger()
        whole.add(self)
        return whole

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class Span:
    """The records of one chunk as the source gave them."""

    __slots__ = ("count", "data", "generation", "ledger", "pending", "position", "since", "tries")

    def __init__(self, count: int, position: Position, pending: int, now: float, data: Any) -> None:
        self.count = count
        self.position = position
        self.pending = pending
        """A bit for each channel that has not confirmed yet."""
        self.since = now
        self.data = data
        self.generation = 0
        self.tries = 1
        self.ledger = Ledger(read=count)


class Token:
    """One delivery of a span. References are counted: the last one settled confirms the token's channels."""

    __slots__ = ("_channels", "_mask", "_refs", "generation", "span", "window")

    def __init__(self, window: AckWindow, span: Span, mask: int) -> None:
        self.window = window
        self.span = span
        self.generation = span.generation
        self._mask = mask
        self._refs = 1
        self._channels: dict[int, _ChannelToken] | None = None

    @property
    def settled(self) -> bool:
        """Whether no reference is left."""
        return self._refs <= 0

    def retain(self, n: int = 1) -> None:
        """`n` more pieces answer for the same records."""
        self._refs += n

    def confirm(self) -> None:
        """Settles one reference; one too many is counted as late and changes nothing."""
        if self._refs <= 0:
            self.window.late += 1
            return
        self._refs -= 1
        if self._refs == 0:
            self._finish()

    def nack(self, error: BaseException) -> None:
        """Gives one reference back unsettled, so that this delivery can no longer confirm its span."""
        if self._refs <= 0:
            self.window.late += 1
            return
        self._refs -= 1
        self._refuse(error)
        if self._refs == 0:
            self._finish()

    def switch(self, channel: int) -> Token:
        """Moves one reference to `channel`; the token given back answers for that channel alone. Raises AckError.

        A channel is confirmed when every piece switched to it is settled and none is left that may still switch. One
        that an earlier delivery has confirmed is not confirmed again.
        """
        token = self._switched(channel)
        self.confirm()
        return token

    def account(self, where: Account, n: int) -> None:
        """Adds `n` elements to the span's ledger, unless this delivery is an old one."""
        span = self.span
        if span.generation == self.generation:
            setattr(span.ledger, where, getattr(span.ledger, where) + n)

    def _switched(self, channel: int) -> Token:
        """One more reference on the token of `channel`, which confirms nothing as long as this one has pieces."""
        if self._channels is None:
            self._channels = {}
        token = self._channels.get(channel)
        if token is None:
            bit = self.window.bit(channel)
            token = self._channels[channel] = _ChannelToken(self, channel, self._mask & bit)
            self._mask &= ~bit
        token.retain()
        return token

    def _refuse(self, error: BaseException) -> None:
        """What is left of this delivery confirms nothing: a refused piece may have been meant for any channel."""
        self._mask = 0
        for token in (self._channels or {}).values():
            token._mask = 0
        self.window.refuse(self.span, self.generation, error)

    def _finish(self) -> None:
        """The last reference is gone."""
        self.window.settle(self.span, self.generation, self._mask)
        if self._channels is not None:
            for token in self._channels.values():
                token.complete()


class _ChannelToken(Token):
    """What pieces of one delivery answer with after they were switched to a channel."""

    __slots__ = ("_channel", "_complete")

    def __init__(self, whole: Token, channel: int, mask: int) -> None:
        super().__init__(whole.window, whole.span, mask)
        self.generation = whole.generation
        self._refs = 0
        self._channel = channel
        self._complete = False

    def complete(self) -> None:
        """No more pieces are switched to the channel."""
        self._complete = True
        if self._refs == 0:
            self._finish()

    def _finish(self) -> None:
        if self._complete:
            super()._finish()

    def _switched(self, channel: int) -> Token:
        if channel != self._channel:
            raise AckError(f"This piece answers for channel {self._channel}; it cannot move on to channel {channel}.")
        self.retain()
        return self


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
        self._on_room: Callable[[], None] | None = None

    def serve(self, on_room: Callable[[], None]) -> None:
        """Ties the window to one source, which is told when there may be room again. Raises AckError the second time.

        What an earlier run left un-confirmed would stand in front of everything a later one confirms.
        """
        if self._on_room is not None:
            raise AckError("This ack window serves another run; each run of a source needs a window of its own.")
        self._on_room = on_room

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
            self._done.add(span.ledger)
            self._position = span.position
        self._changed()

    def _changed(self) -> None:
        if self._on_room is not None:
            self._on_room()
        if self.on_change is not None:
            self.on_change()

    def refuse(self, span: Span, generation: int, error: BaseException) -> None:
        """One delivery of `span` failed; it stays un-confirmed, so nothing after it can be committed."""
        if generation == span.generation:
            self.refused += 1
            self._changed()

    def expired(self, before: float) -> Iterator[Span]:
        """The un-confirmed spans that were delivered at `before` or earlier, oldest first."""
        return (span for span in list(self._spans) if span.pending and span.since <= before)

    def redeliver(self, span: Span, now: float) -> Token:
        """A fresh token for the channels of `span` that are still open; older tokens of it count no more."""
        if not span.pending:
            raise AckError("A confirmed span is not delivered again.")
        span.generation += 1
        span.tries += 1
        span.since = now
        span.ledger = Ledger(read=span.count)
        self.redelivered += 1
        return Token(self, span, span.pending)

    def ledger(self) -> Ledger:
        """Everything read through this window, settled or not."""
        whole = self._done.copy()
        for span in self._spans:
            whole.add(span.ledger)
        return whole

    def statistics(self) -> AckStatistics:
        oldest = min((span.since for span in self._spans if span.pending), default=None)
        return AckStatistics(self._held, len(self._spans), oldest, self.late, self.refused, self.redelivered)
