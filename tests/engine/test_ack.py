"""The ack window against a model that knows nothing of deques and generations: sets of what is confirmed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.engine.ack import AckWindow, Ledger, Span, Token
from teleporter_lab.errors import AckError

SIZE = 40
CHANNELS = 2
NO = ValueError("no")


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


class Model:
    """Opens, splits, switches, confirms in any order, late and twice, refuses, leaves out and delivers again.

    Each step is a number of `STEPS` and two numbers that choose among what there is.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.window = AckWindow(SIZE, CHANNELS)
        self.window.serve(lambda: None, lambda _span, _error: self.ask())
        self.counts: list[int] = []
        self.left: list[set[int]] = []
        """For each span the channels that have not confirmed."""
        self.newest: list[int] = []
        self.pieces: list[Piece] = []
        self.gone: list[Token] = []
        """Tokens of which no reference is left."""
        self.late = 0
        self.refused = 0
        self.nacked = 0

    def ask(self) -> None:
        self.asked += 1

    def prefix(self, left: list[set[int]]) -> int:
        return next((i for i, channels in enumerate(left) if channels), len(left))

    def is_newest(self, delivery: Delivery) -> bool:
        return self.newest[delivery.span] == delivery.number

    def open(self, pick: int, _: int) -> None:
        if self.window.room == 0:
            with pytest.raises(AckError):
                self.window.open(1, None, 0.0)
            return
        count = 1 + pick % min(8, self.window.room)
        span = len(self.counts)
        self.counts.append(count)
        self.left.append(set(range(CHANNELS)))
        self.newest.append(1)
        token = self.window.open(count, sum(self.counts), now=float(span))
        self.pieces.append(Piece(token, Delivery(span, 1, self.left[span])))

    def split(self, pick: int, _: int) -> None:
        if self.pieces:
            piece = self.pieces[pick % len(self.pieces)]
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

    def switch(self, pick: int, channel: int) -> None:
        pieces = [piece for piece in self.pieces if piece.channel is None]
        if not pieces:
            return
        piece, channel = pieces[pick % len(pieces)], channel % CHANNELS
        delivery = piece.delivery
        left = self.left[delivery.span]
        assert piece.token.wants(channel) == (channel in left)
        if channel not in delivery.switched and channel not in left and self.is_newest(delivery):
            left.add(channel)  # it was confirmed by an earlier delivery, and gets the records once more
            delivery.open.add(channel)
        token = piece.token.switch(channel)
        self.gone = [gone for gone in self.gone if gone is not token]
        self.add(Piece(token, delivery, channel))
        self.remove(piece)
        self.count_late(delivery)

    def confirm(self, pick: int, _: int) -> None:
        if self.pieces:
            piece = self.pieces[pick % len(self.pieces)]
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

    def settle_once_more(self, pick: int, how: int) -> None:
        """What nothing is left of: a second answer changes nothing but the count."""
        if not self.gone:
            return
        late = self.window.late
        token = self.gone[pick % len(self.gone)]
        (token.confirm, lambda: token.nack(NO), lambda: token.refuse(NO))[how % 3]()
        assert self.window.late == late + 1
        self.late += 1

    def give_back(self, pick: int, how: int) -> None:
        if not self.pieces:
            return
        piece = self.pieces[pick % len(self.pieces)]
        delivery = piece.delivery
        if how % 2:
            piece.token.nack(NO)
            self.nacked += self.is_newest(delivery)
        else:
            piece.token.refuse(NO)
        if piece.channel is None:
            delivery.open.clear()
        else:
            delivery.open.discard(piece.channel)
        self.remove(piece)
        self.count_late(delivery)
        self.refused += self.is_newest(delivery)

    def redeliver(self, pick: int, before: int) -> None:
        expired = list(self.window.expired(before % 16))
        if expired:
            span = expired[pick % len(expired)]
            number = self.number(span)
            token = self.window.redeliver(span, before + 1.0)
            self.newest[number] += 1
            assert span.tries == self.newest[number]
            self.pieces.append(Piece(token, Delivery(number, span.tries, self.left[number])))

    def leave_out(self, pick: int, where: int) -> None:
        left = list(self.window.unconfirmed())
        if left:
            span = left[pick % len(left)]
            number = self.number(span)
            self.window.leave_out(span, ("skipped", "dead_lettered")[where % 2])
            self.newest[number] += 1
            self.left[number] = set()

    def number(self, span: Span) -> int:
        number = next(i for i, end in enumerate(itertools.accumulate(self.counts)) if end == span.position)
        assert self.left[number]
        return number

    def account(self, pick: int, n: int) -> None:
        """As operators do: never more than the span has in flight. What an old delivery accounts changes nothing."""
        if not self.pieces:
            return
        piece = self.pieces[pick % len(self.pieces)]
        before, flying = self.window.ledger(), piece.token.ledger.in_flight
        if flying:
            where = ("written", "filtered", "skipped", "dead_lettered", "merged")[n % 5]
            piece.token.account(where, 1 + n % flying)
            assert self.is_newest(piece.delivery) or self.window.ledger() == before

    def progress_with(self, pick: int, more: int) -> None:
        """What it says is what it would be."""
        bits = pick << 8 | more
        some = [piece for i, piece in enumerate(self.pieces) if bits >> i % 16 & 1]
        left = [set(channels) for channels in self.left]
        for delivery in {id(piece.delivery): piece.delivery for piece in some}.values():
            mine = [piece.channel for piece in some if piece.delivery is delivery]
            if self.is_newest(delivery) and delivery.pieces == mine.count(None):
                kept = {c for c, pieces in delivery.switched.items() if pieces > mine.count(c)}
                left[delivery.span] -= delivery.open - kept
        done = self.prefix(left)
        whole = all(piece.delivery.span < done for piece in some)
        whole = whole and all(piece.delivery.span >= self.prefix(self.left) for piece in some)
        found = self.window.progress_with(piece.token for piece in some)
        end = sum(self.counts[:done]) if some or done == self.prefix(self.left) else 0
        expected = (end, end) if whole and end else None
        assert (None if found is None else (found.position, found.count)) == expected
        assert found is None or (found.ledger.read, found.ledger.carried) == (end, 0)

    def check(self) -> None:
        done = self.prefix(self.left)
        end = sum(self.counts[:done])
        progress = self.window.progress
        assert ((progress.position, progress.count) if progress else (0, 0)) == (end, end)
        assert self.window.room == SIZE - sum(self.counts[done:])
        assert (self.window.confirmed, self.window.opened) == (end, sum(self.counts))
        assert sum(map(bool, self.left)) == len(list(self.window.unconfirmed()))
        ledger = self.window.ledger()
        assert ledger.read == sum(self.counts)
        assert 0 <= ledger.in_flight <= ledger.read
        assert (self.window.refused, self.asked) == (self.refused, self.nacked)
        assert self.window.late >= self.late
        assert self.late or self.window.late == 0


STEPS = (
    Model.open, Model.open, Model.split, Model.switch, Model.confirm, Model.confirm, Model.confirm,
    Model.settle_once_more, Model.give_back, Model.redeliver, Model.leave_out, Model.account, Model.progress_with,
    Model.progress_with,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(st.lists(st.binary(min_size=3, max_size=3), min_size=10, max_size=40))
def test_the_window_does_what_the_model_says(program: list[bytes]) -> None:
    model = Model()
    for step, pick, more in program:
        STEPS[step % len(STEPS)](model, pick, more)
        model.check()


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


def test_a_confirmed_span_cannot_be_left_out() -> None:
    window, token = opened()
    span = next(window.unconfirmed())
    window.leave_out(span, "skipped")
    assert window.progress is not None
    assert window.progress.ledger == Ledger(read=10, skipped=10)
    token.confirm()
    assert window.late == 1
    with pytest.raises(AckError, match="cannot be left out"):
        window.leave_out(span, "skipped")
