"""What would be confirmed if some references were settled now, through channels and everything that stands between."""

from __future__ import annotations

from teleporter_lab.engine.ack import AckWindow, Ledger
from teleporter_lab.engine.loan import Loans
from tests.engine.test_ack import NO, opened


def test_progress_with_counts_each_reference_and_every_proxy() -> None:
    window = AckWindow(100)
    first, second, third = (window.open(10, at, 0.0) for at in (10, 20, 30))
    first.retain()
    third.confirm()
    assert window.progress_with([]) is None
    assert window.progress_with([first]) is None, "another piece answers for it"
    assert window.progress_with([second]) is None, "there is a gap before it"
    found = window.progress_with([first, second, first])
    assert found is not None
    assert (found.position, found.count) == (30, 30), "what was confirmed behind them is included"
    loans = Loans()
    (lent,) = loans.lend((second,))
    lent.retain()
    assert window.progress_with([first, first, lent]) is None
    whole = window.progress_with([first, lent, first, lent])
    assert whole is not None
    assert whole.count == 30
    assert window.progress is None, "nothing was changed"


def test_progress_with_pieces_of_channels_waits_for_those_that_may_still_be_switched() -> None:
    window, token = opened(channels=2)
    token.retain(2)
    pieces = [token.switch(0), token.switch(1)]
    assert window.progress_with(pieces) is None
    assert window.progress_with([*pieces, token]) is not None
    pieces[0].nack(NO)
    assert window.progress_with([*pieces[1:], token]) is None


def test_progress_with_an_older_delivery_or_another_window_is_none() -> None:
    window, token = opened()
    _, stranger = opened()
    assert window.progress_with([token, stranger]) is None
    window.redeliver(next(window.unconfirmed()), 1.0)
    assert window.progress_with([token]) is None


def test_progress_with_tells_the_ledger_as_it_is_accounted() -> None:
    window = AckWindow(100)
    done, token = window.open(5, 5, 0.0), window.open(10, 15, 0.0)
    done.account("written", 5)
    done.confirm()
    token.account("filtered", 4)
    found = window.progress_with([token])
    assert found is not None
    assert found.ledger == Ledger(read=15, written=5, filtered=4)
