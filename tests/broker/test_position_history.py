from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.broker.background import Background
from teleporter_lab.broker.documents import Documents
from teleporter_lab.broker.position_history import CHANGES, FRESH, SAMPLES, History, commit_entry, read_of, surplus
from teleporter_lab.broker.stores.memory import MemoryStore
from teleporter_lab.errors import StoreError
from tests.broker.conftest import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "/position/ns/t/s/in"


class Broken(MemoryStore):
    """Writes nothing while it is told so."""

    broken = False

    async def write(self, key: str, value: str, expect: Any = None) -> None:
        if self.broken:
            raise StoreError("The disk is full.")
        await super().write(key, value)


class Watch:
    """A history and the time it goes by."""

    def __init__(self, store: Broken, background: Background) -> None:
        self.now = 1000.0
        self.store = store
        self.history = History(Documents(store), background, lambda: self.now)

    async def commit(self, read: int, seconds: float = 0.0) -> None:
        self.now += seconds
        self.history.committed(KEY, {"position": {"offset": read}, "ledger": {"read": read}, "epoch": 3})
        await settled()

    async def reads(self) -> list[int]:
        return [entry["read"] for entry in await self.history.entries(KEY)]


@pytest.fixture
async def background() -> AsyncIterator[Background]:
    async with Background() as found:
        yield found


@pytest.fixture
def watch(background: Background) -> Watch:
    return Watch(Broken(), background)


async def test_a_commit_has_an_entry_at_most_once_a_minute(watch: Watch) -> None:
    for read in range(1, 200):
        await watch.commit(read, 1.0)
    assert await watch.reads() == [1, 61, 121, 181]
    entry = (await watch.history.entries(KEY))[0]
    assert entry == commit_entry(entry["id"], {"position": {"offset": 1}, "ledger": {"read": 1}, "epoch": 3}, 1001.0)


async def test_a_restart_of_the_broker_is_no_reason_for_another_entry(watch: Watch, background: Background) -> None:
    await watch.commit(1)
    again = Watch(watch.store, background)
    await again.commit(2, 30.0)
    assert await again.reads() == [1]
    await again.commit(3, 61.0)
    assert await again.reads() == [1, 3]


async def test_sources_whose_keys_look_alike_have_histories_of_their_own(watch: Watch) -> None:
    for key in ("/position/ns/t/s.1/in", "/position/ns/t/sx1/in", "/position/ns/t/s.1/in2"):
        watch.history.committed(key, {"position": key})
    await settled()
    for key in ("/position/ns/t/s.1/in", "/position/ns/t/sx1/in", "/position/ns/t/s.1/in2"):
        assert [entry["position"] for entry in await watch.history.entries(key)] == [key]


async def test_a_history_stays_small_and_keeps_what_people_did(watch: Watch) -> None:
    change: dict[str, Any] = {"kind": "set", "at": 0.0, "position": 1, "read": -1}
    await watch.history.add(KEY, change | {"id": watch.history.new_id()})
    for read in range(1000):
        await watch.commit(read, 61.0)
    reads = await watch.reads()
    assert len(reads) <= SAMPLES
    assert reads[0] == -1
    assert reads[-FRESH:] == list(range(1000 - FRESH, 1000))
    assert reads[1] < 100, "something of the beginning is there"


async def test_a_store_that_fails_harms_nobody(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    watch.store.broken = True
    await watch.commit(1)
    assert "The disk is full" in caplog.text
    watch.store.broken = False
    await watch.commit(2, 61.0)
    assert await watch.reads() == [2]


async def test_what_is_no_entry_is_not_shown(watch: Watch) -> None:
    await watch.store.write("/positionlog/ns/t/s/in/x", '"nonsense"')
    await watch.store.write("/positionlog/ns/t/s/in/y", '{"kind":"set"}')
    await watch.commit(1)
    assert await watch.reads() == [1]


async def test_it_can_be_forgotten(watch: Watch) -> None:
    await watch.commit(1)
    await watch.history.forget(KEY)
    assert await watch.reads() == []


async def test_ids_sort_in_the_order_of_their_making_also_when_the_clock_stands(watch: Watch) -> None:
    names = [watch.history.new_id() for _ in range(50)]
    watch.now -= 500
    names.append(watch.history.new_id())
    assert names == sorted(names)


@pytest.mark.parametrize("record", [{}, {"ledger": 5}, {"ledger": {"read": "x"}}, {"ledger": {}}])
def test_a_ledger_that_says_nothing_is_0(record: dict[str, Any]) -> None:
    assert read_of(record) == 0


@given(st.lists(st.sampled_from(["commit", "commit", "commit", "set", "reset"]), max_size=900))
def test_what_is_left_is_within_the_bounds_and_in_order(kinds: list[str]) -> None:
    entries = [{"id": f"{place:04d}", "kind": kind} for place, kind in enumerate(kinds)]
    gone = set(surplus(entries))
    left = [entry for entry in entries if entry["id"] not in gone]
    changes = [entry for entry in left if entry["kind"] != "commit"]
    assert len(changes) == min(CHANGES, sum(kind != "commit" for kind in kinds))
    if len(entries) > SAMPLES:
        assert len(left) < len(entries)
    commits = [entry for entry in left if entry["kind"] == "commit"]
    recent = [
        entry for entry in entries if entry["kind"] == "commit" and (not changes or entry["id"] > changes[0]["id"])
    ]
    assert commits[-FRESH:][-len(recent[-FRESH:]) :] == recent[-FRESH:] or not recent
