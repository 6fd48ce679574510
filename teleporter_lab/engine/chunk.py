"""What travels between stages: a chunk of elements and the tokens that answer for them.

The data is a list, or a batch of columns (a pyarrow RecordBatch, whose elements are its rows), carried and split as it
is. Owns the rules of handing over. A chunk is never empty, its data is never changed once it was handed over (a source
may keep it to deliver it again), and it owns one reference on each of its tokens: whoever takes the chunk passes each
reference on, or settles it, exactly once. What a stage still holds when it is closed is never settled, so that those
records stay un-confirmed. Refuses to know positions or windows; `ack` does.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.columns import ColumnsMismatch, alike, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.engine.ack import Token

T = TypeVar("T")

NO_TOKENS: tuple[Token, ...] = ()


class Chunk(Generic[T]):
    """1 to n elements in order, and the tokens of the records they come from (none where nobody acknowledges)."""

    __slots__ = ("data", "tokens")

    def __init__(self, data: list[T], tokens: tuple[Token, ...] = NO_TOKENS) -> None:
        self.data = data
        self.tokens = tokens

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"Chunk({len(self.data)} elements, {len(self.tokens)} tokens)"

    def split(self, n: int) -> tuple[Chunk[T], Chunk[T]]:
        """The first `n` elements and the rest, 0 < n < len; both answer for the same records."""
        for token in self.tokens:
            token.retain()
        return Chunk(self.data[:n], self.tokens), Chunk(self.data[n:], self.tokens)

    def confirm(self) -> None:
        """Settles the references: these elements need nothing more."""
        for token in self.tokens:
            token.confirm()

    def written(self) -> None:
        """A sink has stored all elements: counts them in the ledger and settles."""
        if self.tokens:
            self.tokens[-1].account("written", len(self.data))
            self.confirm()

    def skipped(self) -> None:
        """A rule allowed to leave all elements out: counts them in the ledger and settles."""
        if self.tokens:
            self.tokens[-1].account("skipped", len(self.data))
            self.confirm()

    def nack(self, error: BaseException) -> None:
        """Gives the references back unsettled: these elements were not handled, because of `error`.

        Whoever supervises the source decides what becomes of their records; without acks they are lost.
        """
        for token in self.tokens:
            token.nack(error)

    def refuse(self, error: BaseException) -> None:
        """`nack` for a stage that fails the stream with `error`: there is nothing to decide."""
        for token in self.tokens:
            token.refuse(error)


def account_change(tokens: tuple[Token, ...], before: int, after: int) -> None:
    """Tells the ledger that an operator made `after` elements out of `before`."""
    if tokens and before != after:
        if after < before:
            tokens[-1].account("filtered", before - after)
        else:
            tokens[-1].account("expanded", after - before)


def join(parts: Sequence[Chunk[T]]) -> Chunk[T]:
    """One chunk of all elements, answering for the records of all `parts`; the last token accounts for everything."""
    if len(parts) == 1:
        return parts[0]
    tokens: list[Token] = []
    for part in parts:
        tokens += part.tokens
    data = joined([part.data for part in parts])
    if tokens:
        for part in parts:
            _carry(part, tokens[-1])
    return Chunk(data, tuple(tokens))


def _carry(part: Chunk[T], to: Token) -> None:
    """Tells the ledgers that `to` accounts for the elements of `part` from now on, also where no record answered."""
    owner = part.tokens[-1] if part.tokens else None
    if owner is None:
        to.account("expanded", len(part))
    elif owner is not to:
        owner.carry(to, len(part))


class Held(Generic[T]):
    """Chunks that wait to go out as one."""

    __slots__ = ("_chunks", "count")

    def __init__(self) -> None:
        self._chunks: deque[Chunk[T]] = deque()
        self.count = 0
        """Elements in all of them."""

    def add(self, chunk: Chunk[T]) -> None:
        self._chunks.append(chunk)
        self.count += len(chunk)

    def alike(self, n: int) -> int:
        """How many of the first `n` elements can go out as one: up to where columns of another schema begin."""
        first, found = self._chunks[0].data, 0
        for chunk in self._chunks:
            if found >= n or not alike(first, chunk.data):
                break
            found += len(chunk)
        return min(n, found)

    def take(self, n: int) -> Chunk[T]:
        """The first `n` elements, 0 < n <= count; the rest keeps the tokens of the chunks it comes from.

        Raises ColumnsMismatch, and keeps them all, when they cannot go out as one.
        """
        if self.alike(n) < n:
            raise ColumnsMismatch("Columns of different schemas, or rows and columns, meet here and cannot be joined.")
        parts: list[Chunk[T]] = []
        self.count -= n
        while n > 0:
            chunk = self._chunks.popleft()
            if len(chunk) > n:
                chunk, rest = chunk.split(n)
                self._chunks.appendleft(rest)
            parts.append(chunk)
            n -= len(chunk)
        return join(parts)
