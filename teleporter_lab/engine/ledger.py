"""Where records went: counts of elements, and the books they are counted in while they are on their way.

Owns `Ledger`, the counts, and `Book`, the ledger of one delivery of a span. Elements of several spans that travel as
one chunk are accounted in one of their books; the others note how many of theirs went there and fetch them back when
their span is committed. So the ledger of every committed prefix is exact by construction, wherever the stream was
stopped. Refuses to know when a span is done (`ack` does).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final, Literal

Account = Literal["written", "filtered", "skipped", "dead_lettered", "expanded", "merged", "carried"]

GONE: Final = ("written", "skipped", "dead_lettered", "merged", "filtered")
"""Accounts that say where an element went, in the order in which they are handed over: most joins are a sink's."""

DEEPEST: Final = 100
"""Books through which elements are followed; beyond, they count as written."""


@dataclass(slots=True)
class Ledger:
    """Counts of records, in elements. `read + expanded` is what came in, the others say where it went.

    The ledger of a committed prefix is exact: nothing of it is in flight, and nothing is carried.
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
    """Elements accounted here that belong to another span; below 0 where they are accounted elsewhere. Sum: 0."""

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

    def count(self, where: Account, n: int) -> None:
        """`n` elements more."""
        setattr(self, where, getattr(self, where) + n)

    def copy(self) -> Ledger:
        whole = Ledger()
        whole.add(self)
        return whole

    def as_dict(self) -> dict[str, int]:
        return asdict(self)

    def sentence(self) -> str:
        """The counts in words."""
        came = f"{self.read:,} read" + (f" + {self.expanded:,} made of them" if self.expanded else "")
        went = {
            "written": self.written, "filtered": self.filtered, "skipped": self.skipped,
            "dead-lettered": self.dead_lettered, "merged": self.merged, "in flight": self.in_flight,
        }  # fmt: skip
        return f"{came} = " + " + ".join(f"{n:,} {where}" for where, n in went.items() if n or where == "written")


class Book(Ledger):
    """The ledger of one delivery, and the books that account for some of its elements."""

    __slots__ = ("debts",)

    def __init__(self, read: int) -> None:
        super().__init__(read)
        self.debts: list[tuple[Book, int]] | None = None

    def carry(self, to: Book, n: int) -> None:
        """`to` accounts for `n` elements of this book from now on, and both have counted that."""
        if to is self:
            return
        if self.debts is None:
            self.debts = []
        elif self.debts and self.debts[-1][0] is to:
            n += self.debts.pop()[1]
        self.debts.append((to, n))

    def closed(self) -> Ledger:
        """What is committed with the span: its own elements, wherever they were accounted, and no others.

        Those of other spans stay here for them. What was fetched from elsewhere is missing there now, so a book that
        is still in use may have counted less than nothing as written for a while; the sums are right at any time.
        """
        while self.carried < 0 and self.debts:  # again, where books owe each other
            self._fetch(-self.carried, set())
        kept = self.carried
        own = self.copy()
        self.read = self.expanded = 0
        for where in GONE:
            setattr(self, where, 0)
        self.carried = 0
        if kept > 0:
            _move(own, self, kept)
        return own

    def _fetch(self, n: int, seen: set[int]) -> None:
        """Takes `n` elements back from the books that account for them."""
        seen.add(id(self))
        while n > 0 and self.debts:
            book, owed = self.debts.pop()
            part = min(n, owed)
            if owed > part:
                self.debts.append((book, owed - part))
            book._give_back(self, part, seen)
            n -= part

    def _give_back(self, to: Book, n: int, seen: set[int]) -> None:
        counted = sum(max(0, getattr(self, where)) for where in GONE)
        if counted < n and id(self) not in seen and len(seen) < DEEPEST:
            self._fetch(n - counted, seen)
        _move(self, to, n)


def _move(source: Ledger, to: Ledger, n: int) -> None:
    """Hands `n` accounted elements over; where so many are not counted, the rest counts as written."""
    source.carried -= n
    to.carried += n
    for where in GONE:
        part = min(n, max(0, getattr(source, where)))
        setattr(source, where, getattr(source, where) - part)
        setattr(to, where, getattr(to, where) + part)
        n -= part
    source.written -= n
    to.written += n


def closed_copies(books: list[Book]) -> Ledger:
    """What closing `books` one after the other would give together. Changes none of them."""
    originals: dict[int, Book] = {}
    waiting = list(books)
    while waiting:
        book = waiting.pop()
        if id(book) not in originals:
            originals[id(book)] = book
            waiting += [other for other, _ in book.debts or ()]
    copies = {name: Book(0) for name in originals}
    for name, book in originals.items():
        copies[name].add(book)
        copies[name].debts = [(copies[id(other)], n) for other, n in book.debts or ()]
    whole = Ledger()
    for book in books:
        whole.add(copies[id(book)].closed())
    return whole
