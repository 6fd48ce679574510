"""The ledger of every committed prefix is exact, however chunks were joined, cut, multiplied, lost and sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.engine.ack import AckWindow, Ledger
from teleporter_lab.engine.chunk import Chunk, account_change, join
from teleporter_lab.engine.ledger import Book

if TYPE_CHECKING:
    from collections.abc import Callable

NO = ValueError("no")


class Stream:
    """Chunks of two sources on their way. Whatever has been confirmed at any time has to add up."""

    def __init__(self) -> None:
        self.windows = AckWindow(60), AckWindow(60)
        self.chunks: list[Chunk[Any]] = []

    def chosen(self, pick: int) -> Chunk[Any] | None:
        return self.chunks.pop(pick % len(self.chunks)) if self.chunks else None

    def open(self, pick: int, which: int) -> None:
        window = self.windows[which % 4 == 0]
        if window.room:
            count = 1 + pick % min(6, window.room)
            self.chunks.append(Chunk([None] * count, (window.open(count, window.opened + count, 0.0),)))

    def split(self, pick: int, at: int) -> None:
        chunk = self.chosen(pick)
        if chunk is not None:
            n = 1 + at % len(chunk)
            self.chunks += chunk.split(n) if n < len(chunk) else (chunk,)

    def join(self, pick: int, other: int) -> None:
        """In any order: what is asynchronous may overtake."""
        first, second = self.chosen(pick), self.chosen(other)
        parts = [chunk for chunk in (first, second) if chunk is not None]
        if parts:
            self.chunks.append(join(parts))

    def group(self, pick: int, _: int) -> None:
        chunk = self.chosen(pick)
        if chunk is not None:
            chunk.tokens[-1].account("merged", len(chunk) - 1)
            self.chunks.append(Chunk([chunk.data], chunk.tokens))

    def change(self, pick: int, after: int) -> None:
        chunk = self.chosen(pick)
        if chunk is None:
            return
        after %= 2 * len(chunk) + 1
        account_change(chunk.tokens, len(chunk), after)
        if after:
            self.chunks.append(Chunk([None] * after, chunk.tokens))
        else:
            chunk.confirm()

    def end(self, pick: int, how: int) -> None:
        chunk = self.chosen(pick)
        if chunk is not None:
            (chunk.written, chunk.skipped, chunk.written, lambda: chunk.nack(NO))[how % 4]()

    def again(self, pick: int, how: int) -> None:
        window = self.windows[how % 4 == 0]
        spans = list(window.unconfirmed())
        if not spans:
            return
        span = spans[pick % len(spans)]
        if how % 3:
            self.chunks.append(Chunk([None] * span.count, (window.redeliver(span, 1.0),)))
        else:
            window.leave_out(span, "dead_lettered")

    def check(self) -> None:
        for window in self.windows:
            progress = window.progress
            ledger = Ledger() if progress is None else progress.ledger
            assert (ledger.in_flight, ledger.carried, ledger.read) == (0, 0, window.confirmed)
            assert window.ledger().in_flight >= 0

    def finish(self) -> None:
        """Everything that is still on its way arrives; what was lost is delivered again, and arrives."""
        while self.chunks:
            self.chunks.pop().written()
            self.check()
        for window in self.windows:
            for span in list(window.unconfirmed()):
                Chunk([None] * span.count, (window.redeliver(span, 1.0),)).written()
                self.check()
            assert window.room == window.size


STEPS: tuple[Callable[[Stream, int, int], None], ...] = (
    Stream.open, Stream.open, Stream.open, Stream.split, Stream.join, Stream.join, Stream.join, Stream.group,
    Stream.change, Stream.end, Stream.end, Stream.end, Stream.again,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(st.lists(st.binary(min_size=3, max_size=3), min_size=10, max_size=50))
def test_the_ledger_of_every_committed_prefix_is_exact(program: list[bytes]) -> None:
    stream = Stream()
    for step, pick, more in program:
        STEPS[step % len(STEPS)](stream, pick, more)
        stream.check()
    stream.finish()


def test_what_was_joined_is_counted_where_it_belongs_when_only_a_part_is_committed() -> None:
    """The stream is stopped hard in the middle of a group: half of the second span has not arrived."""
    window = AckWindow(100)
    first, second = (Chunk([1, 2, 3], (window.open(3, at, 0.0),)) for at in (3, 6))
    early, late = second.split(1)
    group = join([first, early])
    account_change(group.tokens, 4, 2)
    Chunk(group.data[:2], group.tokens).written()
    assert window.progress is not None
    assert window.progress.ledger == Ledger(read=3, written=2, filtered=1), "its neighbour accounted for them"
    assert window.ledger().in_flight == 2
    late.written()
    assert window.progress is not None
    assert window.progress.ledger == Ledger(read=6, written=4, filtered=2)


def test_a_book_follows_its_elements_through_others() -> None:
    first, second, third = Book(3), Book(5), Book(7)
    for owner, to, n in ((first, second, 3), (second, third, 8)):
        owner.count("carried", -n)
        to.count("carried", n)
        owner.carry(to, n)
    third.count("filtered", 10)
    third.count("written", 5)
    assert [book.closed() for book in (first, second, third)] == [
        Ledger(read=3, written=3), Ledger(read=5, written=2, filtered=3), Ledger(read=7, filtered=7)
    ]  # fmt: skip


def test_a_ledger_in_words() -> None:
    assert Ledger(read=12_000, written=11_990, filtered=4).sentence() == (
        "12,000 read = 11,990 written + 4 filtered + 6 in flight"
    )
    assert Ledger(read=2, expanded=3, dead_lettered=1, skipped=1, merged=1).sentence() == (
        "2 read + 3 made of them = 0 written + 1 skipped + 1 dead-lettered + 1 merged + 2 in flight"
    )
