"""Where a batch may end: behind a chunk none of whose records is met again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.whole_batches import Tokened
from teleporter_lab.testing.laws import Witness

if TYPE_CHECKING:
    from teleporter_lab.engine.ack import Token


def held(window: Witness, chunks: list[list[int]]) -> Tokened[Any]:
    """Chunks of one element, each with the references it has on the spans of those numbers."""
    spans = sorted({span for chunk in chunks for span in chunk})
    tokens: dict[int, Token] = {span: window.open(1, span, 0.0) for span in spans}
    uses = [span for chunk in chunks for span in chunk]
    for span, token in tokens.items():
        token.retain(uses.count(span) - 1)
    waiting: Tokened[Any] = Tokened()
    for chunk in chunks:
        waiting.add(Chunk(["x"], tuple(tokens[span] for span in chunk)))
    return waiting


@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=3), max_size=10))
def test_every_end_at_which_a_prefix_is_complete_is_among_them(chunks: list[list[int]]) -> None:
    window = Witness()
    waiting = held(window, chunks)
    complete = [n for n in range(len(chunks), 0, -1) if window.progress_with(waiting.tokens(n)) is not None]
    ends = waiting.ends()
    assert ends == sorted(set(ends), reverse=True)
    assert set(complete) <= set(ends)
    assert ends[:1] == ([len(chunks)] if chunks else [])


def test_a_chunk_of_two_spans_ties_them_together() -> None:
    assert held(Witness(), [[0], [0, 1], [1], [2], [2]]).ends() == [5, 3]
    assert held(Witness(), [[0], [1], [2]]).ends() == [3, 2, 1]
    assert held(Witness(), []).ends() == []
