"""What answers for records on their way: a span of them, and the tokens of its deliveries.

Owns the counting of references and of channels. Whoever takes a chunk settles each reference of its tokens once, or
gives it back unsettled; the last one confirms. Refuses to know the spans before and after (`ack` does).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.ledger import Book
from teleporter_lab.errors import AckError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.endpoints import Position
    from teleporter_lab.engine.ledger import Account


class Span:
    """The records of one chunk as the source gave them."""

    __slots__ = ("count", "data", "failures", "generation", "ledger", "pending", "position", "since", "tries", "whole")

    def __init__(self, count: int, position: Position, pending: int, now: float, data: Any) -> None:
        self.count = count
        self.position = position
        self.pending = pending
        """A bit for each channel that has not confirmed yet."""
        self.since = now
        """When it was delivered last."""
        self.data = data
        self.generation = 0
        self.tries = 1
        """Deliveries by now."""
        self.failures = 0
        """How often somebody had to decide about it."""
        self.ledger = Book(count)
        self.whole = True
        """Whether `position` is just behind its records; else it is before them, and what follows shares it."""


class Token:
    """One delivery of a span. References are counted: the last one settled confirms the token's channels."""

    __slots__ = ("_channels", "_mask", "_refs", "generation", "ledger", "span", "window")

    def __init__(self, window: AckWindow, span: Span, mask: int) -> None:
        self.window = window
        self.span = span
        self.generation = span.generation
        self.ledger = span.ledger
        self._mask = mask
        self._refs = 1
        self._channels: dict[int, _ChannelToken] | None = None

    @property
    def settled(self) -> bool:
        """Whether no reference is left."""
        return self._refs <= 0

    @property
    def references(self) -> int:
        """How many pieces answer for the records."""
        return self._refs

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
        """Gives one reference back unsettled: whoever supervises the source decides what becomes of the records.

        This delivery can no longer confirm its span.
        """
        self._unsettled(error, ask=True)

    def refuse(self, error: BaseException) -> None:
        """`nack` for a stage that fails the stream with `error`, or is started again: there is nothing to decide."""
        self._unsettled(error, ask=False)

    def _unsettled(self, error: BaseException, ask: bool) -> None:
        if self._refs <= 0:
            self.window.late += 1
            return
        self._refs -= 1
        self._refuse(error, ask)
        if self._refs == 0:
            self._finish()

    def wants(self, channel: int) -> bool:
        """Whether `channel` has not confirmed the records yet. Raises AckError where there is no such channel."""
        return bool(self.span.pending & self.window.bit(channel))

    def switch(self, channel: int) -> Token:
        """Moves one reference to `channel`; the token given back answers for that channel alone. Raises AckError.

        A channel is confirmed when every piece switched to it is settled and none is left that may still switch. One
        that an earlier delivery has confirmed has to be confirmed again when it gets a piece of this one.
        """
        token = self._switched(channel)
        self.confirm()
        return token

    def account(self, where: Account, n: int) -> None:
        """Adds `n` elements to the ledger of this delivery, which counts as long as there is no later one."""
        ledger = self.ledger
        setattr(ledger, where, getattr(ledger, where) + n)

    def carry(self, to: Token, n: int) -> None:
        """`to` accounts for `n` elements of this one from now on: they travel together."""
        to.account("carried", n)
        self.account("carried", -n)
        self.ledger.carry(to.ledger, n)

    @property
    def lender(self) -> Token | None:
        """The token that gets a reference back when this one is settled; None: it answers for the span itself."""
        return None

    def confirms(self, gone: Mapping[Token, int]) -> int:
        """The channels that are confirmed with the last reference, when those in `gone` are settled as well."""
        mask = self._mask
        for token in (self._channels or {}).values():
            if token.references <= gone.get(token, 0):
                mask |= token._mask
        return mask

    def _switched(self, channel: int) -> Token:
        """One more reference on the token of `channel`, which confirms nothing as long as this one has pieces."""
        if self._channels is None:
            self._channels = {}
        token = self._channels.get(channel)
        if token is None:
            bit = self.window.bit(channel)
            token = self._channels[channel] = _ChannelToken(self, channel, self._mask & bit or self._reopened(bit))
            self._mask &= ~bit
        token.retain()
        return token

    def _reopened(self, bit: int) -> int:
        """A channel that an earlier delivery confirmed gets the records once more."""
        span = self.span
        if span.generation != self.generation or span.pending & bit:
            return 0
        span.pending |= bit
        return bit

    def _refuse(self, error: BaseException, ask: bool) -> None:
        """What is left of this delivery confirms nothing: a refused piece may have been meant for any channel."""
        self._mask = 0
        for token in (self._channels or {}).values():
            token._mask = 0
        self.window.refuse(self.span, self.generation, error, ask)

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
        self.ledger = whole.ledger
        self._refs = 0
        self._channel = channel
        self._complete = False

    def complete(self) -> None:
        """No more pieces are switched to the channel."""
        self._complete = True
        if self._refs == 0:
            self._finish()

    def confirms(self, gone: Mapping[Token, int]) -> int:
        return self._mask if self._complete else 0

    def _finish(self) -> None:
        if self._complete:
            super()._finish()

    def _switched(self, channel: int) -> Token:
        if channel != self._channel:
            raise AckError(f"This piece answers for channel {self._channel}; it cannot move on to channel {channel}.")
        self.retain()
        return self


def settled_by(tokens: Iterable[Token]) -> tuple[set[Span], dict[Span, int]]:
    """The spans that these references answer for, and the channels of each that settling them would confirm."""
    spans: set[Span] = set()
    gone: Counter[Token] = Counter()
    settled: list[Token] = []
    waiting = list(tokens)
    while waiting:
        token = waiting.pop()
        spans.add(token.span)
        gone[token] += 1
        if gone[token] == token.references:
            settled.append(token)
            lender = token.lender
            if lender is not None:
                waiting.append(lender)
    masks: dict[Span, int] = {}
    for token in settled:
        if token.generation == token.span.generation:
            masks[token.span] = masks.get(token.span, 0) | token.confirms(gone)
    return spans, masks
