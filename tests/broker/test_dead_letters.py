from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.dead_letters import PAGE, SWEEP_SECONDS, DeadLetters, LetterBounds
from teleporter_lab.broker.documents import Documents
from teleporter_lab.broker.letter_filter import LetterFilter
from teleporter_lab.broker.stores.base import open_stores
from teleporter_lab.broker.stores.memory import MemoryStore
from teleporter_lab.errors import Conflict, DeadLettersFull, InvalidInput, InvalidKey, NotFound, StoreError
from tests.broker.conftest import ManualClock, settled
from tests.broker.letters import STREAM, letter, letters, names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from teleporter_lab.broker.stores.base import Store

ALL = LetterFilter()
OTHER = "/stream/ns/t/s1"


class Shelf:
    """Dead letters over a store, and the time they go by."""

    def __init__(self, store: Store, **bounds: Any) -> None:
        self.now = 1_700_000_000.0
        self.runtime = Documents(store)
        self.letters = DeadLetters(self.runtime, LetterBounds(**bounds), lambda: self.now)

    async def count(self, stream: str = STREAM) -> int:
        """As it is in memory; and it is what the store has."""
        number = await self.letters.tally.count(stream)
        assert len(await self.runtime.below(f"/deadletter/{stream.removeprefix('/stream/')}/")) == number
        return number

    async def tally(self, stream: str = STREAM) -> dict[str, int]:
        return (await self.letters.tally.all(stream))[stream]


@pytest.fixture(params=["memory", "sqlite", "leveldb"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "leveldb":
        pytest.importorskip("plyvel")
    async with await open_stores(f"{request.param}:{tmp_path if request.param != 'memory' else ''}") as stores:
        yield stores.runtime


@pytest.fixture
def shelf(store: Store) -> Shelf:
    return Shelf(store)


async def test_letters_are_kept_listed_and_counted(shelf: Shelf) -> None:
    await shelf.letters.put(STREAM, letters(3))
    await shelf.letters.put(OTHER, letters(2, stream=OTHER))
    assert (await shelf.count(), await shelf.count(OTHER)) == (3, 2)
    page = await shelf.letters.page(STREAM, ALL)
    assert (names(page), page["next"]) == ([0, 1, 2], None)
    assert page["letters"][1]["excerpt"] == '{"n":1}'
    assert len((await shelf.letters.page("/stream/ns/", ALL))["letters"]) == 5
    assert len((await shelf.letters.page("/stream/ns/t/s[01]", ALL))["letters"]) == 5
    assert await shelf.letters.tally.all("/stream/") == {
        STREAM: {"kept": 3, "expired": 0, "dropped": 0, "redriven": 0},
        OTHER: {"kept": 2, "expired": 0, "dropped": 0, "redriven": 0},
    }


async def test_a_letter_put_twice_is_one_and_stays_as_it_was_edited(shelf: Shelf) -> None:
    await shelf.letters.put(STREAM, letters(2))
    name = letter(0)[0]
    await shelf.letters.edit(STREAM, name, {"n": "edited"})
    await shelf.letters.put(STREAM, [*letters(3), *letters(3)])
    assert await shelf.count() == 3
    assert (await shelf.letters.get(STREAM, name))["record"] == {"n": "edited"}


async def test_a_restart_keeps_letters_and_their_number(shelf: Shelf, store: Store) -> None:
    await shelf.letters.put(STREAM, letters(PAGE + 7))
    again = Shelf(store)
    assert again.letters.tally.known(STREAM) == 0
    assert await again.count() == PAGE + 7
    assert again.letters.tally.known(STREAM) == PAGE + 7


async def test_pages_of_a_long_list(shelf: Shelf) -> None:
    await shelf.letters.put(STREAM, letters(PAGE + 20))
    page = await shelf.letters.page(STREAM, ALL, PAGE - 2, 5)
    assert (names(page), page["next"]) == ([PAGE - 2, PAGE - 1, PAGE, PAGE + 1, PAGE + 2], PAGE + 3)
    last = await shelf.letters.page(STREAM, ALL, PAGE + 18, 5)
    assert (names(last), last["next"]) == ([PAGE + 18, PAGE + 19], None)
    few = await shelf.letters.page(STREAM, LetterFilter(since=1_700_000_000.0 + PAGE), 1, 2)
    assert (names(few), few["next"]) == ([PAGE + 1, PAGE + 2], 3)
    assert (await shelf.letters.page(STREAM, ALL, 0, 0)) == {"letters": [], "next": 0}


async def test_a_full_place_refuses_and_keeps_nothing_of_what_is_refused(store: Store) -> None:
    shelf = Shelf(store, count=5)
    await shelf.letters.put(STREAM, letters(4))
    with pytest.raises(DeadLettersFull, match=r"has 4 dead letters; at most 5 are kept: redrive or drop some"):
        await shelf.letters.put(STREAM, [letter(10), letter(11)])
    assert await shelf.count() == 4
    await shelf.letters.put(STREAM, [letter(10)])
    await shelf.letters.put(STREAM, [letter(10), *letters(4)])
    assert await shelf.count() == 5
    await shelf.letters.put(OTHER, letters(5, stream=OTHER))
    await shelf.letters.drop(STREAM, [letter(0)[0]])
    await shelf.letters.put(STREAM, [letter(12)])


async def test_a_record_that_somebody_deleted_is_not_counted_for_ever(store: Store) -> None:
    shelf = Shelf(store, count=2)
    await shelf.letters.put(STREAM, letters(2))
    key = f"/deadletter/ns/t/s0/{letter(0)[0]}"
    await shelf.runtime.delete(key)
    shelf.letters.tally.forget(key)
    assert await shelf.count() == 1
    await shelf.letters.put(STREAM, [letter(5)])


async def test_old_letters_are_dropped_and_counted(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(store, count=1000, age=100.0)
    await shelf.letters.put(STREAM, letters(PAGE + 300))
    await shelf.letters.put(OTHER, letters(3, stream=OTHER))
    shelf.now += 100 + PAGE + 50
    await shelf.letters.put(STREAM, [letter(number) for number in range(2000, 2201)])
    assert await shelf.tally() == {"kept": 250 + 201, "expired": PAGE + 50, "dropped": 0, "redriven": 0}
    assert f"{STREAM}: {PAGE} dead letters older than" in caplog.text
    again = Shelf(store, age=100.0)
    assert (await again.tally())["expired"] == PAGE + 50
    assert await again.count(OTHER) == 3


async def test_age_is_looked_at_once_in_a_while(store: Store) -> None:
    shelf = Shelf(store, age=100.0)
    await shelf.letters.put(STREAM, letters(2))
    clock = ManualClock()
    swept = asyncio.Event()
    inner = clock.sleep

    async def sleep(seconds: float) -> None:
        swept.set()
        await inner(seconds)

    clock.sleep = sleep  # type: ignore[method-assign]
    sweeping = asyncio.create_task(shelf.letters.keep_sweeping(clock))
    await swept.wait()
    assert await shelf.count() == 2
    shelf.now += 101.0
    swept.clear()
    await clock.advance(SWEEP_SECONDS)
    await swept.wait()
    sweeping.cancel()
    with suppress(asyncio.CancelledError):
        await sweeping
    assert await shelf.tally() == {"kept": 1, "expired": 1, "dropped": 0, "redriven": 0}


async def test_edit_is_a_compare_and_set(shelf: Shelf) -> None:
    name = letter(0)[0]
    await shelf.letters.put(STREAM, letters(1))
    tag = (await shelf.letters.get(STREAM, name))["etag"]
    first = await shelf.letters.edit(STREAM, name, {"n": 1}, tag)
    assert (first["record"], first["edited"]) == ({"n": 1}, True)
    with pytest.raises(Conflict, match="another one by now"):
        await shelf.letters.edit(STREAM, name, {"n": 2}, tag)
    again = await shelf.letters.edit(STREAM, name, {"n": 2}, first["etag"])
    assert (await shelf.letters.get(STREAM, name)) == again
    with pytest.raises(InvalidInput, match="JSON"):
        await shelf.letters.edit(STREAM, name, float("inf"))


async def test_of_two_edits_at_once_one_wins(shelf: Shelf) -> None:
    name = letter(0)[0]
    await shelf.letters.put(STREAM, letters(1))
    tag = (await shelf.letters.get(STREAM, name))["etag"]
    edits = [shelf.letters.edit(STREAM, name, {"n": number}, tag) for number in range(5)]
    outcomes = await asyncio.gather(*edits, return_exceptions=True)
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 4
    won = next(outcome for outcome in outcomes if isinstance(outcome, dict))
    assert (await shelf.letters.get(STREAM, name))["record"] == won["record"]


async def test_drop_throws_away_what_is_meant(shelf: Shelf) -> None:
    await shelf.letters.put(STREAM, [*letters(5), letter(9, place="csv(in)")])
    assert await shelf.letters.drop(STREAM, [letter(1)[0], letter(7)[0]]) == {"dropped": 1, "missing": [letter(7)[0]]}
    assert (await shelf.letters.drop(STREAM, LetterFilter(place="csv")))["dropped"] == 1
    assert names(await shelf.letters.page(STREAM, ALL)) == [0, 2, 3, 4]
    assert (await shelf.letters.drop(STREAM, ALL))["dropped"] == 4
    assert await shelf.tally() == {"kept": 0, "expired": 0, "dropped": 6, "redriven": 0}
    with pytest.raises(InvalidKey):
        await shelf.letters.drop("/task/ns/t", [])


async def test_unknown_ids_are_said(shelf: Shelf) -> None:
    for name in (letter(3)[0], "a/b", "../x"):
        with pytest.raises((NotFound, InvalidKey)):
            await shelf.letters.get(STREAM, name)
        with pytest.raises((NotFound, InvalidKey)):
            await shelf.letters.edit(STREAM, name, {})
    with pytest.raises(InvalidInput, match="no id"):
        await shelf.letters.put(STREAM, [("a/b", "{}")])


async def test_many_at_once_are_all_kept_and_counted(shelf: Shelf) -> None:
    pages = [[letter(page * 100 + number) for number in range(100)] for page in range(20)]
    await asyncio.gather(*(shelf.letters.put(STREAM, page) for page in pages), *(shelf.count() for _ in range(5)))
    assert await shelf.count() == 2000


async def test_whole_letters_come_in_pages_that_are_not_too_long(shelf: Shelf) -> None:
    huge = "x" * 7_000_000
    for number in range(4):
        await shelf.letters.put(STREAM, [letter(number, huge)])
    first = await shelf.letters.page(STREAM, ALL, whole=True)
    assert (names(first), first["next"]) == ([0, 1], 2)
    rest = await shelf.letters.page(STREAM, ALL, 2, whole=True)
    assert (names(rest), rest["next"]) == ([2, 3], None)
    assert len((await shelf.letters.page(STREAM, ALL))["letters"]) == 4


class Failing(MemoryStore):
    """Refuses to write keys that contain `refused`."""

    refused = ""

    async def write(self, key: str, value: str, expect: Any = None) -> None:
        if self.refused and self.refused in key:
            raise StoreError("The disk is full.")
        await super().write(key, value, expect)


async def test_a_store_that_fails_half_way_keeps_the_count_right() -> None:
    store = Failing()
    shelf = Shelf(store)
    store.refused = letter(2)[0]
    with pytest.raises(StoreError):
        await shelf.letters.put(STREAM, letters(5))
    assert await shelf.count() == 4
    store.refused = ""
    await shelf.letters.put(STREAM, letters(5))
    assert await shelf.count() == 5
    await settled()
    assert json.loads((await shelf.runtime.get("/deadlettertally/ns/t/s0")).text)["expired"] == 0


async def test_age_is_looked_at_again_after_the_store_was_away(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await shelf.letters.put(STREAM, letters(1))
    shelf.now += 365 * 86_400
    clock = ManualClock()
    inner, away = shelf.runtime.below, [True]

    async def below(*args: Any) -> Any:
        if away and away.pop():
            raise StoreError("The store is away.")
        return await inner(*args)

    monkeypatch.setattr(shelf.runtime, "below", below)
    sweeping = asyncio.create_task(shelf.letters.keep_sweeping(clock))
    while "stay for now" not in caplog.text:
        await asyncio.sleep(0)
    assert await shelf.count() == 1
    await clock.advance(SWEEP_SECONDS)
    while "1 dead letters older" not in caplog.text:
        await asyncio.sleep(0)
    assert await shelf.count() == 0
    sweeping.cancel()
    with suppress(asyncio.CancelledError):
        await sweeping
