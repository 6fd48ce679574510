"""What a part of a stream answers for that may fail alone: a loan of a token, which is returned or lost.

Owns loans and the list of those that are open. A loan is one reference of a token; pieces inside the part share it.
What leaves the part answers with the token itself again. What is still inside when the part has failed was not
handled: its loans are lost, and their records stay un-confirmed. Refuses to know why a part ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from teleporter_lab.engine.ack import Token

if TYPE_CHECKING:
    from teleporter_lab.engine.ack import Account


class Loan(Token):
    """One reference of a token, given back when all pieces of the loan are settled."""

    __slots__ = ("_of", "_refused")

    def __init__(self, of: Token) -> None:
        super().__init__(of.window, of.span, 0)
        self.generation = of.generation
        self.ledger = of.ledger
        self._of = of
        self._refused = False

    @property
    def lender(self) -> Token:
        return self._of

    def account(self, where: Account, n: int) -> None:
        self._of.account(where, n)

    def _refuse(self, error: BaseException, ask: bool) -> None:
        if not self._refused:
            self._refused = True
            self._of._unsettled(error, ask)

    def _finish(self) -> None:
        if not self._refused:
            self._of.confirm()


class PartLoan(Loan):
    """A loan to a part that may fail."""

    __slots__ = ("_loans", "_lost")

    def __init__(self, of: Token, loans: Loans) -> None:
        super().__init__(of)
        self._loans = loans
        self._lost = False
        loans.open[self] = None

    def returned(self) -> Token:
        """A piece leaves the part: it answers with the token itself."""
        self._of.retain()
        self.confirm()
        return self._of

    def lost(self, error: Exception) -> None:
        """What is left inside the part was not handled, because of `error`. What comes of it later changes nothing."""
        self._lost = True
        self._refuse(error, ask=False)

    def confirm(self) -> None:
        if not self._lost:
            super().confirm()

    def _unsettled(self, error: BaseException, ask: bool) -> None:
        if not self._lost:
            super()._unsettled(error, ask)

    def _switched(self, channel: int) -> Token:
        return PartLoan(self._of._switched(channel), self._loans)

    def _finish(self) -> None:
        self._loans.open.pop(self, None)
        super()._finish()


class Loans:
    """The open loans to one part."""

    __slots__ = ("open",)

    def __init__(self) -> None:
        self.open: dict[PartLoan, None] = {}

    def lend(self, tokens: tuple[Token, ...]) -> tuple[Token, ...]:
        """What goes into the part in the place of `tokens`."""
        return tuple(PartLoan(token, self) for token in tokens)

    def lose(self, error: Exception) -> None:
        """The part has failed with `error`: what it has not settled or given stays un-confirmed."""
        loans, self.open = self.open, {}
        for loan in loans:
            loan.lost(error)


def returned(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """What goes out of the part in the place of `tokens`; those that were made inside stay."""
    return tuple(token.returned() if isinstance(token, PartLoan) else token for token in tokens)
