"""Shared clients: made by the first user, closed by the last, whatever happens in between."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.engine.blocking import DriverThreads
from teleporter_lab.errors import AddressUnreachable
from teleporter_lab.instance.addresses import Addresses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BIND = ("/address/ns/db", "content")


class Plain:
    """Its close is a plain function, called in a thread."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.made_in = threading.current_thread().name

    async def check(self) -> None: ...

    def close(self) -> None:
        self.closed.append(threading.current_thread().name)


class Slow(Plain):
    """Its close waits until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = asyncio.Event()
        self.may_close = asyncio.Event()

    async def close(self) -> None:  # type: ignore[override]
        self.closing.set()
        await self.may_close.wait()
        self.closed.append("loop")


@pytest.fixture
async def threads() -> AsyncIterator[DriverThreads]:
    async with DriverThreads() as found:
        yield found


@pytest.fixture
def addresses(threads: DriverThreads) -> Addresses:
    return Addresses(threads)


async def test_users_of_one_bind_share_one_object(addresses: Addresses) -> None:
    first = await addresses.lease(BIND, Plain)
    assert await addresses.lease(BIND, Plain) is first
    assert addresses.statistics() == {"/address/ns/db": 2}
    assert "/address/ns/db" in addresses
    await addresses.release(BIND)
    assert first.closed == []
    await addresses.release(BIND)
    assert len(first.closed) == 1
    assert addresses.statistics() == {}
    assert "/address/ns/db" not in addresses


async def test_drivers_are_made_and_closed_in_threads(addresses: Addresses) -> None:
    made: Any = await addresses.lease(BIND, Plain)
    await addresses.release(BIND)
    assert made.made_in.startswith("teleporter-driver")
    assert made.closed[0].startswith("teleporter-driver")


async def test_an_asynchronous_close_runs_in_the_loop(addresses: Addresses) -> None:
    made: Any = await addresses.lease(BIND, Slow)
    made.may_close.set()
    await addresses.release(BIND)
    assert made.closed == ["loop"]


async def test_after_a_change_new_users_get_a_new_object(addresses: Addresses) -> None:
    changed = (BIND[0], "other content")
    old: Any = await addresses.lease(BIND, Plain)
    new: Any = await addresses.lease(changed, Plain)
    assert new is not old
    assert addresses.statistics() == {"/address/ns/db": 2}
    await addresses.release(BIND)
    assert (len(old.closed), len(new.closed)) == (1, 0)
    await addresses.release(changed)
    assert len(new.closed) == 1


async def test_closed_is_closed_and_the_next_user_gets_another(addresses: Addresses) -> None:
    first = await addresses.lease(BIND, Plain)
    await addresses.release(BIND)
    assert await addresses.lease(BIND, Plain) is not first


class Together:
    """Makes objects for two users who are in `make` at the same moment."""

    def __init__(self, kind: type[Plain]) -> None:
        self._kind = kind
        self._both = threading.Barrier(2, timeout=10)
        self.made: list[Plain] = []

    def __call__(self) -> Any:
        self._both.wait()
        self.made.append(self._kind())
        return self.made[-1]


async def test_of_two_first_users_one_object_survives(addresses: Addresses) -> None:
    make = Together(Plain)
    one, two = await asyncio.gather(addresses.lease(BIND, make), addresses.lease(BIND, make))
    assert one is two
    assert sorted(len(made.closed) for made in make.made) == [0, 1]
    assert addresses.statistics() == {BIND[0]: 2}
    await addresses.release(BIND)
    assert one.closed == []
    await addresses.release(BIND)
    assert len(one.closed) == 1


async def test_a_user_who_is_still_closing_his_spare_counts_already(addresses: Addresses) -> None:
    make = Together(Slow)
    leasing = {asyncio.create_task(addresses.lease(BIND, make)) for _ in range(2)}
    while len(make.made) < 2:
        await asyncio.sleep(0)
    closing = [asyncio.create_task(made.closing.wait()) for made in make.made]  # type: ignore[attr-defined]
    await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
    (first,) = (task for task in leasing if task.done())
    (second,) = leasing - {first}
    shared: Any = first.result()
    await addresses.release(BIND)
    assert addresses.statistics() == {BIND[0]: 1}
    for made in make.made:
        made.may_close.set()  # type: ignore[attr-defined]
    assert await second is shared
    assert shared.closed == []
    await addresses.release(BIND)
    assert [len(made.closed) for made in make.made] == [1, 1]
    await asyncio.wait(closing)


async def test_one_whose_spare_does_not_close_is_no_user(addresses: Addresses) -> None:
    class Stubborn(Plain):
        def close(self) -> None:
            super().close()
            raise AddressUnreachable("It does not answer.")

    make = Together(Stubborn)
    outcomes = await asyncio.gather(addresses.lease(BIND, make), addresses.lease(BIND, make), return_exceptions=True)
    assert sorted(isinstance(outcome, AddressUnreachable) for outcome in outcomes) == [False, True]
    assert addresses.statistics() == {BIND[0]: 1}


async def test_one_that_cannot_be_made_leaves_nothing_behind(addresses: Addresses) -> None:
    def make() -> Plain:
        raise AddressUnreachable("It does not answer.")

    for _ in range(2):
        with pytest.raises(AddressUnreachable, match="does not answer"):
            await addresses.lease(BIND, make)
        assert addresses.statistics() == {}
    assert isinstance(await addresses.lease(BIND, Plain), Plain)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), max_size=30))
def test_any_order_of_users_keeps_the_count(steps: list[tuple[bool, int]]) -> None:
    """Against a plain count: an object is open exactly while it has users."""

    async def play() -> None:
        async with DriverThreads(2) as threads:
            addresses = Addresses(threads)
            users: dict[int, list[Plain]] = {0: [], 1: [], 2: []}
            for takes, n in steps:
                bind = (f"/address/ns/{n}", "")
                if takes:
                    made: Any = await addresses.lease(bind, Plain)
                    assert users[n] == [] or made is users[n][0]
                    users[n].append(made)
                elif users[n]:
                    await addresses.release(bind)
                    left = users[n].pop()
                    assert bool(left.closed) == (users[n] == [])
                expected = {f"/address/ns/{n}": len(held) for n, held in users.items() if held}
                assert addresses.statistics() == expected

    asyncio.run(play())
