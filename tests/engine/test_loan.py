"""Loans to a part that may fail: what is returned, what is settled inside, what is lost."""

from __future__ import annotations

import pytest

from teleporter_lab.engine.loan import Loans, returned
from teleporter_lab.errors import AckError
from teleporter_lab.testing.laws import Witness

AWAY = OSError("away")


def test_what_is_settled_inside_is_settled() -> None:
    window, loans = Witness(), Loans()
    (loan,) = loans.lend((window.open(2, 2, 0.0),))
    loan.retain()
    loan.account("filtered", 1)
    loan.confirm()
    assert window.progress is None
    loan.account("written", 1)
    loan.confirm()
    assert loans.open == {}
    loans.lose(AWAY)
    window.check_all_settled()


def test_what_leaves_answers_with_the_token_itself_and_cannot_be_lost() -> None:
    window, loans = Witness(), Loans()
    token = window.open(1, 1, 0.0)
    (out,) = returned(loans.lend((token,)))
    assert out is token
    loans.lose(AWAY)
    token.account("written", 1)
    token.confirm()
    window.check_all_settled()


def test_what_is_inside_is_lost_with_the_part_and_stays_unconfirmed() -> None:
    window, loans = Witness(), Loans()
    token = window.open(2, 2, 0.0)
    (loan,) = loans.lend((token,))
    loan.retain()
    (out,) = returned((loan,))
    loans.lose(AWAY)
    out.confirm()
    assert (window.refused, window.late, window.progress) == (1, 0, None)
    assert token.settled
    loan.confirm()
    loan.nack(AWAY)
    assert (window.refused, window.late) == (1, 0), "what comes after that changes nothing"


def test_a_piece_that_was_refused_inside_is_refused_once() -> None:
    window, loans = Witness(), Loans()
    (loan,) = loans.lend((window.open(3, 3, 0.0),))
    loan.retain(2)
    loan.nack(AWAY)
    loan.nack(AWAY)
    loans.lose(AWAY)
    assert (window.refused, window.late, window.progress) == (1, 0, None)
    assert loans.open == {}


def test_each_channel_is_a_loan_of_its_own() -> None:
    window, loans = Witness(channels=2), Loans()
    token = window.open(2, 2, 0.0)
    (loan,) = loans.lend((token,))
    loan.retain()
    first, second = loan.switch(0), loan.switch(1)
    (out,) = returned((first,))
    out.confirm()
    assert window.progress is None
    loans.lose(AWAY)
    second.confirm()
    assert (window.refused, window.late, window.progress) == (1, 0, None)
    with pytest.raises(AckError, match="no channel 5"):
        loans.lend((window.open(1, 3, 0.0),))[0].switch(5)


def test_tokens_that_were_made_inside_stay() -> None:
    inner = Witness().open(1, 1, 0.0)
    assert returned((inner,)) == (inner,)
