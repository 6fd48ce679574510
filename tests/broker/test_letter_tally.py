from __future__ import annotations

import pytest

from teleporter_lab.broker.documents import Documents
from teleporter_lab.broker.letter_tally import LetterTally
from teleporter_lab.broker.stores.memory import MemoryStore
from teleporter_lab.errors import InvalidKey

STREAM = "/stream/ns/t/s"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_what_is_gone_is_on_disk(store: MemoryStore) -> None:
    tally = LetterTally(Documents(store))
    await tally.begin(STREAM)
    tally.shift(STREAM, 10)
    await tally.gone(STREAM, 3, "redriven")
    await tally.gone(STREAM, 2, "expired")
    await tally.gone(STREAM, 0, "dropped")
    expected = {"kept": 5, "expired": 2, "dropped": 0, "redriven": 3}
    assert await tally.all(STREAM) == {STREAM: expected}
    again = LetterTally(Documents(store))
    assert await again.all("/stream/ns/") == {STREAM: expected | {"kept": 0}}
    assert await again.streams() == [STREAM]
    await again.begin(STREAM)
    assert (await again.all(STREAM))[STREAM]["redriven"] == 3


async def test_a_tally_of_another_making_counts_from_0(store: MemoryStore) -> None:
    await store.write("/deadlettertally/ns/t/s", '"nonsense"')
    tally = LetterTally(Documents(store))
    assert await tally.all(STREAM) == {STREAM: {"kept": 0, "expired": 0, "dropped": 0, "redriven": 0}}
    await tally.gone(STREAM, 1, "dropped")
    assert (await tally.all(STREAM))[STREAM]["dropped"] == 1


async def test_a_count_is_made_anew_when_somebody_else_changed_something(store: MemoryStore) -> None:
    tally = LetterTally(Documents(store))
    for number in range(3):
        await store.write(f"/deadletter/ns/t/s/{number}", "{}")
    assert (tally.known(STREAM), await tally.count(STREAM), tally.known(STREAM)) == (0, 3, 3)
    await store.delete("/deadletter/ns/t/s/1")
    tally.forget("/position/ns/t/s/in")
    assert await tally.count(STREAM) == 3
    tally.forget("/deadletter/ns/t/s/1")
    tally.shift(STREAM, 100)
    assert await tally.count(STREAM) == 2
    with pytest.raises(InvalidKey):
        tally.forget("/deadletter/short")
