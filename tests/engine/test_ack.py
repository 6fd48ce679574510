"""The ack window against a model that knows nothing of deques and generations: sets of what is confirmed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from teleporter_lab.engine.ack import AckWindow, Ledger, Token
from teleporter_lab.errors import AckError

SIZE = 40


class Piece:
    """One reference of a delivery, and whether the model says that it counts."""

    def __init__(self, token: Token, span: int, channels: frozenset[int], delivery: int) -> None:
        self.token = token
        self.span = span
        self.channels = channels
        self.delivery = delivery


class Window(RuleBasedStateMachine):
    """Opens, confirms in any order, late and twice, splits, refuses, redelivers; two channels."""

    def __init__(self) -> None:
        super().__init__()
        self.window = AckWindow(SIZE, channels=2)
        self.counts: list[int] = []
        self.left: list[set[int]] = []
        self.delivery: list[int] = []
        self.poisoned: set[tuple[int, int]] = set()
        self.held: dict[tuple[int, int, frozenset[int]], int] = {}
        self.pieces: list[Piece] = []
        self.settled: list[Piece] = []

    def prefix(self) -> int:
        done = 0
        while done < len(self.left) and not self.left[done]:
            done += 1
        return done

    def hold(self, piece: Piece, n: int = 1) -> None:
        key = (piece.span, piece.delivery, piece.channels)
        self.held[key] = self.held.get(key, 0) + n
        self.pieces += [piece] * n

    @precondition(lambda self: self.window.room > 0)
    @rule(data=st.data())
    def open(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, self.window.room))
        span = len(self.counts)
        self.counts.append(count)
        self.left.append({0, 1})
        self.delivery.append(0)
        token = self.window.open(count, sum(self.counts), now=float(span))
        self.hold(Piece(token, span, frozenset({0, 1}), 0))

    @rule()
    def open_too_many(self) -> None:
        with pytest.raises(AckError):
            self.window.open(self.window.room + 1, None, 0.0)

    @precondition(lambda self: self.pieces)
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        piece = data.draw(st.sampled_from(self.pieces))
        piece.token.retain()
        self.hold(piece)

    @precondition(lambda self: self.pieces)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        piece = self.pieces.pop(data.draw(st.integers(0, len(self.pieces) - 1)))
        piece.token.confirm()
        self.settle(piece)

    def settle(self, piece: Piece) -> None:
        key = (piece.span, piece.delivery, piece.channels)
        self.held[key] -= 1
        current = piece.delivery == self.delivery[piece.span]
        whole = self.held[key] == 0 and (piece.span, piece.delivery) not in self.poisoned
        if whole and current:
            self.left[piece.span] -= piece.channels
        if self.held[key] == 0:
            self.settled.append(piece)

    @precondition(lambda self: self.settled)
    @rule(data=st.data())
    def confirm_once_more(self, data: st.DataObject) -> None:
        """A second ack of a delivery that is settled: nothing changes but the count."""
        late = self.window.late
        data.draw(st.sampled_from(self.settled)).token.confirm()
        assert self.window.late == late + 1

    @precondition(lambda self: self.pieces)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        piece = self.pieces.pop(data.draw(st.integers(0, len(self.pieces) - 1)))
        piece.token.nack(ValueError("no"))
        key = (piece.span, piece.delivery, piece.channels)
        self.held[key] -= 1
        self.poisoned.add((piece.span, piece.delivery))
        if self.held[key] == 0:
            self.settled.append(piece)

    @precondition(lambda self: any(left for left in self.left))
    @rule(data=st.data(), before=st.floats(0, 30))
    def redeliver(self, data: st.DataObject, before: float) -> None:
        expired = list(self.window.expired(before))
        if not expired:
            return
        span = data.draw(st.sampled_from(expired))
        number = next(i for i, end in enumerate(self.ends()) if end == span.position)
        assert self.left[number]
        token = self.window.redeliver(span, before + 1)
        self.delivery[number] += 1
        self.hold(Piece(token, number, frozenset(self.left[number]), self.delivery[number]))
        assert span.tries == self.delivery[number] + 1

    def ends(self) -> list[int]:
        total = 0
        return [total := total + count for count in self.counts]

    @invariant()
    def exactly_the_gap_free_prefix_may_be_committed(self) -> None:
        done = self.prefix()
        progress = self.window.progress
        assert (progress.position if progress else 0) == sum(self.counts[:done])
        assert (progress.count if progress else 0) == sum(self.counts[:done])

    @invariant()
    def room_is_what_is_left_behind_the_prefix(self) -> None:
        assert self.window.room == SIZE - sum(self.counts[self.prefix() :])

    @invariant()
    def everything_read_is_in_the_ledger(self) -> None:
        assert self.window.ledger().read == sum(self.counts)


TestWindow = Window.TestCase
TestWindow.settings = settings(max_examples=1000, stateful_step_count=40, deadline=None)


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
