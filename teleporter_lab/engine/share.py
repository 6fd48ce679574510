"""What one of several branches answers for: its share of the tokens of a chunk.

Owns shares and the list of those a branch has not settled yet, so that a branch whose sink has enough can leave the
rest out and stands in nobody's way. Refuses to know who gets which elements; `junction` and `hubs` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from teleporter_lab.engine.ack import Token

if TYPE_CHECKING:
    from teleporter_lab.engine.ack import Account
    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.ends import Ends


class Shares:
    """The shares of one branch that are not settled yet; left out when every sink below the branch is done."""

    __slots__ = ("_closed", "_ends", "_noted", "_open")

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._open: dict[Share, None] = {}
        self._noted = False
        self._closed = False

    def of(self, tokens: tuple[Token, ...], count: int) -> tuple[Token, ...]:
        """What the branch answers with for `count` elements; takes over a reference of each token.

        The last one accounts for the elements, as always.
        """
        if not tokens:
            return tokens
        last = len(tokens) - 1
        return tuple(Share(token, count if i == last else 0, self) for i, token in enumerate(tokens))

    def add(self, share: Share) -> None:
        if not self._noted:
            self._noted = True
            self._ends.at_end(self.leave_out)
        self._open[share] = None

    def settled(self, share: Share) -> None:
        self._open.pop(share, None)
        self._let_go()

    def leave_out(self) -> None:
        """The sinks of this branch want no more: what they have not settled counts as filtered."""
        for share in list(self._open):
            share.leave_out()

    def close(self) -> None:
        """No more is given to the branch."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        """A branch that has nothing left to leave out is remembered no longer."""
        if self._closed and self._noted and not self._open:
            self._noted = False
            self._ends.forget(self.leave_out)


class Share(Token):
    """One reference of a token, given back when the branch has settled all pieces of it."""

    __slots__ = ("_counts", "_left", "_of", "_refused", "_shares")

    def __init__(self, of: Token, elements: int, shares: Shares, counts: Share | None = None) -> None:
        super().__init__(of.window, of.span, 0)
        self.generation = of.generation
        self.ledger = of.ledger
        self._of = of
        self._left = elements
        self._counts = counts or self
        """Which share knows how many elements are left: pieces that switch channels have shares of their own."""
        self._refused = False
        self._shares = shares
        shares.add(self)

    def account(self, where: Account, n: int) -> None:
        self._counts._left += n if where in ("expanded", "carried") else -n
        self._of.account(where, n)

    @property
    def lender(self) -> Token:
        return self._of

    def leave_out(self) -> None:
        """What is not settled counts as filtered. What was refused stays refused."""
        if self._refs > 0:
            self._refs = 0
            self.account("filtered", self._counts._left)
            self._finish()

    def give_back(self, elements: int) -> Token:
        """Takes a piece of `elements` back, which the branch has not begun with: the token it has a share of."""
        self._of.retain()
        self._counts._left -= elements
        self.confirm()
        return self._of

    def _switched(self, channel: int) -> Token:
        return Share(self._of._switched(channel), 0, self._shares, self._counts)

    def _refuse(self, error: BaseException, ask: bool) -> None:
        if self._refused:
            self.window.refuse(self.span, self.generation, error, ask)
        else:
            self._refused = True
            self._of._unsettled(error, ask)

    def _finish(self) -> None:
        if not self._refused:
            self._of.confirm()
        self._shares.settled(self)


def give_back(chunk: Chunk[object]) -> tuple[Token, ...]:
    """The tokens that the shares of `chunk` are of; what has no shares keeps its tokens."""
    last = len(chunk.tokens) - 1
    return tuple(
        token.give_back(len(chunk) if i == last else 0) if isinstance(token, Share) else token
        for i, token in enumerate(chunk.tokens)
    )
