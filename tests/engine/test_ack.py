"""The ack window against a model that knows nothing of deques and generations: sets of what is confirmed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from teleporter_lab.engine.ack import AckWindow, Ledger, Token
from teleporter_lab.errors import AckError

SIZE = 40
CHANNELS = 3


class Delivery:
    """The model of one delivery: how many pieces answer for it, and for which channels."""

    def __init__(self, span: int, number: int, channels: set[int]) -> None:
        self.span = span
        self.number = number
        self.open = set(channels)
        """Channels that it may still confirm."""
        self.pieces = 1
        """References that were not switched."""
        self.switched: dict[int, int] = {}

    def confirmed(self) -> set[int]:
        """Channels of which every piece is settled. None can be, while one is left that may still be switched."""
        if self.pieces:
            return set()
        return {channel for channel in self.open if not self.switched.get(channel)}


class Piece:
    """One reference: its token, its delivery, and the channel it was switched to."""

    def __init__(self, token: Token, delivery: Delivery, channel: int | None = None) -> None:
        self.token = token
        self.delivery = delivery
        self.channel = channel


class Window(RuleBasedStateMachine):
    """Opens, splits, switches, confirms in any order, late and twice, refuses and redelivers."""

    def __init__(self) -> None:
        super().__init__()
        self.window = AckWindow(SIZE, CHANNELS)
        self.counts: list[int] = []
        self.left: list[set[int]] = []
        """For each span the channels that have not confirmed."""
        self.newest: list[int] = []
        self.pieces: list[Piece] = []
        self.gone: list[Token] = []
        """Tokens of which no reference is left."""
        self.late = 0
        self.refused = 0

    def prefix(self) -> int:
        done = 0
        while done < len(self.left) and not self.left[done]:
            done += 1
        return done

    def is_newest(self, delivery: Delivery) -> bool:
        return self.newest[delivery.span] == delivery.number

    @precondition(lambda self: self.window.room > 0)
    @rule(data=st.data())
    def open(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, min(8, self.window.room)))
        span = len(self.counts)
        self.counts.append(count)
        self.left.append(set(range(CHANNELS)))
        self.newest.append(1)
        token = self.window.open(count, sum(self.counts), now=float(span))
        self.pieces.append(Piece(token, Delivery(span, 1, self.left[span])))

    @rule()
    def open_too_many(self) -> None:
        with pytest.raises(AckError):
            self.window.open(self.window.room + 1, None, 0.0)

    @precondition(lambda self: self.pieces)
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        piece = data.draw(st.sampled_from(self.pieces))
        piece.token.retain()
        self.add(Piece(piece.token, piece.delivery, piece.channel))

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        delivery, channel = piece.delivery, piece.channel
        if channel is None:
            delivery.pieces += 1
        else:
            delivery.switched[channel] = delivery.switched.get(channel, 0) + 1

    def remove(self, piece: Piece) -> None:
        self.pieces.remove(piece)
        delivery, channel = piece.delivery, piece.channel
        if channel is None:
            delivery.pieces -= 1
        else:
            delivery.switched[channel] -= 1
        if not any(other.token is piece.token for other in self.pieces):
            self.gone.append(piece.token)

    @precondition(lambda self: any(piece.channel is None for piece in self.pieces))
    @rule(data=st.data(), channel=st.integers(0, CHANNELS - 1))
    def switch(self, data: st.DataObject, channel: int) -> None:
        piece = data.draw(st.sampled_from([piece for piece in self.pieces if piece.channel is None]))
        token = piece.token.switch(channel)
        self.gone = [gone for gone in self.gone if gone is not token]
        self.add(Piece(token, piece.delivery, channel))
        self.remove(piece)
        self.count_late(piece.delivery)

    @precondition(lambda self: self.pieces)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        piece = data.draw(st.sampled_from(self.pieces))
        piece.token.confirm()
        self.remove(piece)
        self.count_late(piece.delivery)

    def count_late(self, delivery: Delivery) -> None:
        confirmed = delivery.confirmed()
        delivery.open -= confirmed
        if self.is_newest(delivery):
            self.left[delivery.span] -= confirmed
        elif confirmed:
            self.late += 1  # at least: a window counts it once for each token

    @precondition(lambda self: self.gone)
    @rule(data=st.data(), refuse=st.booleans())
    def settle_once_more(self, data: st.DataObject, refuse: bool) -> None:
        """What nothing is left of: a second answer changes nothing but the count."""
        late = self.window.late
        token = data.draw(st.sampled_from(self.gone))
        if refuse:
            token.nack(ValueError("no"))
        else:
            token.confirm()
        assert self.window.late == late + 1
        self.late += 1

    @precondition(lambda self: self.pieces)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        piece = data.draw(st.sampled_from(self.pieces))
        piece.token.nack(ValueError("no"))
        delivery = piece.delivery
        if piece.channel is None:
            delivery.open.clear()
        else:
            delivery.open.discard(piece.channel)
        self.remove(piece)
        self.count_late(delivery)
        self.refused += self.is_newest(delivery)

    @precondition(lambda self: any(self.left))
    @rule(data=st.data(), before=st.floats(0, 30))
    def redeliver(self, data: st.DataObject, before: float) -> None:
        expired = list(self.window.expired(before))
        if not expired:
            return
        span = data.draw(st.sampled_from(expired))
        number = next(i for i, end in enumerate(itertools.accumulate(self.counts)) if end == span.position)
        assert self.left[number]
        token = self.window.redeliver(span, before + 1)
        self.newest[number] += 1
        assert span.tries == self.newest[number]
        self.pieces.append(Piece(token, Delivery(number, span.tries, self.left[number])))

    @precondition(lambda self: any(not self.is_newest(piece.delivery) for piece in self.pieces))
    @rule(data=st.data())
    def account_late(self, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from([piece for piece in self.pieces if not self.is_newest(piece.delivery)]))
        before = self.window.ledger()
        old.token.account("written", 1)
        assert self.window.ledger() == before

    @precondition(lambda self: any(self.is_newest(piece.delivery) for piece in self.pieces))
    @rule(data=st.data())
    def account(self, data: st.DataObject) -> None:
        """As operators do: never more than the span has in flight."""
        piece = data.draw(st.sampled_from([piece for piece in self.pieces if self.is_newest(piece.delivery)]))
        ledger = piece.token.span.ledger
        where = data.draw(st.sampled_from(["written", "filtered", "skipped", "dead_lettered", "merged"]))
        if ledger.in_flight:
            piece.token.account(where, data.draw(st.integers(1, ledger.in_flight)))

    @invariant()
    def exactly_the_gap_free_prefix_may_be_committed(self) -> None:
        end = sum(self.counts[: self.prefix()])
        progress = self.window.progress
        assert ((progress.position, progress.count) if progress else (0, 0)) == (end, end)

    @invariant()
    def room_is_what_is_left_behind_the_prefix(self) -> None:
        assert self.window.room == SIZE - sum(self.counts[self.prefix() :])

    @invariant()
    def what_is_open_is_what_waits_to_expire(self) -> None:
        assert sum(map(bool, self.left)) == len(list(self.window.expired(float("inf"))))

    @invariant()
    def everything_read_is_in_the_ledger_once(self) -> None:
        ledger = self.window.ledger()
        assert ledger.read == sum(self.counts)
        assert 0 <= ledger.in_flight <= ledger.read

    @invariant()
    def late_and_refused_are_counted(self) -> None:
        assert self.window.refused == self.refused
        assert self.window.late >= self.late
        assert self.late or self.window.late == 0


TestWindow = Window.TestCase
TestWindow.settings = settings(max_examples=1000, stateful_step_count=25, deadline=None)


def opened(channels: int = 1) -> tuple[AckWindow, Token]:
    window = AckWindow(100, channels)
    return window, window.open(10, "end", 0.0)


def test_each_channel_confirms_for_itself() -> None:
    window, token = opened(channels=2)
    token.retain()
    first, second = token.switch(0), token.switch(1)
    first.confirm()
    assert window.progress is None
    second.confirm()
    assert window.progress is not None
    assert window.progress.position == "end"


def test_several_pieces_may_go_to_one_channel_which_then_waits_for_all_of_them() -> None:
    window, token = opened(channels=2)
    token.retain(2)
    first, second, third = token.switch(0), token.switch(0), token.switch(1)
    first.confirm()
    third.confirm()
    assert window.progress is None
    second.confirm()
    assert window.progress is not None


def test_a_piece_stays_on_its_channel() -> None:
    _, token = opened(channels=2)
    token.retain()
    piece = token.switch(0)
    with pytest.raises(AckError, match="cannot move on to channel 1"):
        piece.switch(1)


def test_only_the_open_channels_are_delivered_again() -> None:
    window, token = opened(channels=2)
    token.retain()
    token.switch(0).confirm()
    span = next(window.expired(0.0))
    again = window.redeliver(span, 5.0)
    again.confirm()
    assert window.progress is not None
    with pytest.raises(AckError, match="not delivered again"):
        window.redeliver(span, 6.0)


def test_an_old_delivery_neither_confirms_nor_accounts() -> None:
    window, old = opened()
    window.redeliver(next(window.expired(0.0)), 1.0)
    old.account("written", 10)
    old.confirm()
    assert window.progress is None
    assert window.late == 1
    assert window.ledger().written == 0


def test_the_committed_ledger_is_that_of_the_prefix() -> None:
    window = AckWindow(100)
    first, second = window.open(10, 10, 0.0), window.open(5, 15, 0.0)
    second.account("written", 5)
    second.confirm()
    assert window.progress is None
    first.account("written", 7)
    first.account("filtered", 3)
    first.confirm()
    assert window.progress is not None
    assert window.progress.ledger == Ledger(read=15, written=12, filtered=3)
    assert window.progress.ledger.in_flight == 0


def test_a_change_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    window = AckWindow(10, on_change=lambda: told.append(window.room))
    token = window.open(4, 4, 0.0)
    token.confirm()
    window.open(2, 6, 0.0).nack(ValueError("no"))
    assert told == [10, 8]
    assert window.statistics().refused == 1


@pytest.mark.parametrize(("size", "channels"), [(0, 1), (1, 0), (-1, 1)])
def test_a_window_without_room_or_channels_is_refused(size: int, channels: int) -> None:
    with pytest.raises(AckError, match="size >= 1"):
        AckWindow(size, channels)
