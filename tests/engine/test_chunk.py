"""Chunks: handing over, splitting and joining never lose, double or mis-account a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.engine.chunk import Chunk, Held, account_change, join
from teleporter_lab.testing.laws import Witness

if TYPE_CHECKING:
    from teleporter_lab.engine.ack import AckWindow


def opened(window: AckWindow, *data: Any) -> Chunk[Any]:
    return Chunk(list(data), (window.open(len(data), data[-1], 0.0),))


def test_both_halves_answer_for_the_same_records() -> None:
    window = Witness()
    first, rest = opened(window, 1, 2, 3).split(1)
    assert (first.data, rest.data) == ([1], [2, 3])
    first.written()
    assert window.progress is None
    rest.written()
    window.check_all_settled()


def test_a_refused_half_holds_back_the_whole() -> None:
    window = Witness()
    first, rest = opened(window, 1, 2).split(1)
    first.written()
    rest.nack(ValueError("no"))
    assert window.progress is None
    assert window.refused == 1


def test_one_chunk_joined_is_itself() -> None:
    chunk = Chunk([1])
    assert join([chunk]) is chunk


@given(st.data())
def test_what_is_held_comes_out_in_order_and_is_settled_once(data: st.DataObject) -> None:
    """Chunks with and without tokens, taken in any pieces, some of whose elements are filtered or multiplied."""
    window = Witness()
    held: Held[int] = Held()
    numbers = 0
    found: list[int] = []
    while data.draw(st.booleans(), "more") or held.count:
        if held.count == 0 or (numbers < 60 and data.draw(st.booleans(), "add")):
            size = data.draw(st.integers(1, 5), "size")
            elements = range(numbers, numbers + size)
            numbers += size
            held.add(opened(window, *elements) if data.draw(st.booleans(), "acked") else Chunk(list(elements)))
        else:
            chunk = held.take(data.draw(st.integers(1, held.count), "take"))
            found += chunk.data
            if data.draw(st.booleans(), "filtered"):
                account_change(chunk.tokens, len(chunk), 0)
                chunk.confirm()
            else:
                chunk.written()
        assert window.ledger().in_flight >= 0
    assert found == list(range(numbers))
    assert all(token.settled for token in window.tokens)
    assert window.late == 0
    whole = window.ledger()
    assert whole.in_flight == 0
    assert whole.carried >= 0, "elements without a token came in, none went out"


def test_the_ledger_survives_that_a_part_of_a_joined_chunk_is_delivered_again() -> None:
    """The old delivery, still on its way, is written as well: it counts for what it still answers for, not more."""
    window = Witness()
    held: Held[str] = Held()
    held.add(opened(window, "a"))
    held.add(opened(window, "b"))
    joined = held.take(2)
    span = next(window.expired(0.0))
    again = Chunk(["a"], (window.redeliver(span, 1.0),))
    again.written()
    joined.written()
    ledger = window.ledger()
    assert ledger.in_flight == 0
    assert window.progress is not None
    assert window.progress.count == 2


def test_the_ledger_of_a_committed_prefix_is_exact_although_a_later_span_accounts_for_it() -> None:
    window = Witness()
    held: Held[str] = Held()
    held.add(opened(window, "a", "b"))
    held.add(opened(window, "c", "d"))
    first = held.take(3)
    first.written()
    assert window.progress is not None
    assert window.progress.count == 2
    assert window.progress.ledger.in_flight == 0
    held.take(1).written()
    window.check_all_settled()
