"""Positions at a real broker: the committed prefix and its ledger, and who may commit."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.config.key import Key
from teleporter_lab.engine.ack import AckWindow, Ledger
from teleporter_lab.errors import Conflict, ConnectorError, StoreError
from teleporter_lab.instance.committer import Committer
from teleporter_lab.instance.positions import load, parse_record, position_key
from teleporter_lab.rpc.messages import KVSave, PositionCommit
from tests.instance.conftest import Desk
from tests.instance.seat import Seat, seat_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.client import Client

SOURCE = Key.parse("/source/test/task/copy/rows")
KEPT = position_key(SOURCE)


@pytest.fixture
async def seat(broker: Running, client: Client, tmp_path: Path) -> AsyncIterator[Seat]:
    """An instance that owns the partition of the stream."""
    async with seat_at(broker) as found:
        await Desk(client, tmp_path).prepare()
        await client.refresh("/group/test/all")
        assert found.epoch == 1
        yield found


async def committer(seat: Seat, window: AckWindow) -> Committer:
    return Committer(seat.link, SOURCE, window, await load(seat.link, SOURCE), lambda: seat.epoch)


def read(window: AckWindow, count: int, at: int, written: bool = True) -> Any:
    """The token of `count` records that end at `at`, confirmed when they were written."""
    token = window.open(count, {"offset": at}, 0.0)
    if written:
        token.account("written", count)
        token.confirm()
    return token


async def kept(client: Client) -> dict[str, Any]:
    return (await client.runtime_get(KEPT))["value"]


def test_the_key_is_that_of_the_source_in_another_table() -> None:
    assert KEPT == "/position/test/task/copy/rows"


async def test_without_a_record_a_source_is_at_its_start(seat: Seat) -> None:
    found = await load(seat.link, SOURCE)
    assert (found.position, found.ledger, found.text) == (None, Ledger(), None)


async def test_the_confirmed_prefix_is_committed_with_the_ledger_of_just_that(seat: Seat, client: Client) -> None:
    window = AckWindow(100)
    first = await committer(seat, window)
    read(window, 10, 10)
    read(window, 5, 15, written=False)
    read(window, 3, 18)
    assert await first.commit()
    record = await kept(client)
    assert record["position"] == {"offset": 10}
    assert record["epoch"] == 1
    assert (record["ledger"]["read"], record["ledger"]["written"]) == (10, 10)
    assert set(record) == {"position", "epoch", "ledger", "at"}
    assert first.ledger().as_dict() | {"read": 18, "written": 13} == first.ledger().as_dict()
    assert first.commits == 1


async def test_a_later_run_adds_to_what_was_committed(seat: Seat, client: Client) -> None:
    window = AckWindow(100)
    read(window, 10, 10)
    read(window, 5, 15, written=False)
    await (await committer(seat, window)).commit()
    window = AckWindow(100)
    second = await committer(seat, window)
    assert second.ledger() == Ledger(read=10, written=10)
    read(window, 7, 17)
    assert await second.commit()
    found = await load(seat.link, SOURCE)
    assert (found.position, found.ledger) == ({"offset": 17}, Ledger(read=17, written=17))


async def test_nothing_new_is_not_committed(seat: Seat, client: Client) -> None:
    window = AckWindow(100)
    idle = await committer(seat, window)
    assert not await idle.commit()
    read(window, 1, 1)
    assert await idle.commit()
    before = await client.runtime_get(KEPT)
    read(window, 1, 2, written=False)
    assert not await idle.commit()
    assert await client.runtime_get(KEPT) == before
    assert idle.commits == 1


async def test_of_two_committers_the_second_is_refused(seat: Seat, client: Client) -> None:
    one, two = AckWindow(100), AckWindow(100)
    first, second = await committer(seat, one), await committer(seat, two)
    read(one, 4, 4)
    read(two, 9, 9)
    assert await first.commit()
    for _ in range(2):
        with pytest.raises(Conflict):
            await second.commit()
    assert (await kept(client))["position"] == {"offset": 4}
    read(one, 1, 5)
    assert await first.commit()


async def test_a_record_deleted_by_a_person_is_a_conflict(seat: Seat, client: Client) -> None:
    window = AckWindow(100)
    one = await committer(seat, window)
    read(window, 1, 1)
    await one.commit()
    await client.runtime_delete(KEPT)
    read(window, 1, 2)
    with pytest.raises(Conflict):
        await one.commit()


async def test_an_old_epoch_is_refused(seat: Seat) -> None:
    window = AckWindow(10)
    old = Committer(seat.link, SOURCE, window, await load(seat.link, SOURCE), lambda: seat.epoch - 1)
    read(window, 1, 1)
    with pytest.raises(Conflict, match="as epoch 1"):
        await old.commit()


async def test_a_position_is_any_json_and_comes_back_as_it_was(seat: Seat) -> None:
    window = AckWindow(100)
    one = await committer(seat, window)
    for position in (0, "", [], {"größe": "π\u2028"}, 1e-9, 2**60, [{"a": [None, True]}], {"offset": 1.0}):
        for _ in range(2):
            window.open(1, position, 0.0).confirm()
            assert await one.commit()
        assert (await load(seat.link, SOURCE)).position == position


# ---- what somebody else has written there


GARBAGE: tuple[Any, ...] = (
    None,
    7,
    "text",
    [],
    ["position"],
    {},
    {"offset": 3},
    {"position": 1, "ledger": [1]},
    {"position": 1, "ledger": "many"},
    {"position": 1, "ledger": {"read": "many"}},
    {"position": 1, "ledger": {"read": None}},
    {"position": 1, "ledger": {"written": 1.5}},
)


async def test_a_record_of_another_making_is_one_sentence(seat: Seat) -> None:
    sentence = f'What is kept under {KEPT} is no position: write {{"position": …}} there, or delete it.'
    for value in GARBAGE:
        await seat.link.request(KVSave("runtime", KEPT, json.dumps(value)))
        with pytest.raises(ConnectorError) as caught:
            await load(seat.link, SOURCE)
        assert str(caught.value) == sentence, value


@pytest.mark.parametrize("text", ["", "{", "\0", "[" * 10_000])
def test_text_that_is_no_json_is_the_same_sentence(text: str) -> None:
    with pytest.raises(ConnectorError, match="is no position"):
        parse_record(text, KEPT)


async def test_a_position_without_a_ledger_is_enough(seat: Seat) -> None:
    await seat.link.request(KVSave("runtime", KEPT, '{"position": {"offset": 3}, "ledger": {"later": 1}}'))
    found = await load(seat.link, SOURCE)
    assert (found.position, found.ledger) == ({"offset": 3}, Ledger())


# ---- while the broker is away


async def test_a_commit_whose_answer_nobody_waited_for_is_no_conflict(seat: Seat, client: Client) -> None:
    window = AckWindow(100)
    one = await committer(seat, window)
    for at in range(1, 4):
        read(window, 1, at)
        left = asyncio.create_task(one.commit())
        await asyncio.sleep(0)  # it is sent by now
        left.cancel()
        await asyncio.wait([left])
    read(window, 1, 4)
    assert await one.commit()
    assert (await kept(client))["position"] == {"offset": 4}
    read(window, 1, 5)
    assert await one.commit()


async def test_a_position_that_a_person_set_meanwhile_is_still_a_conflict(seat: Seat, client: Client) -> None:
    window = AckWindow(100)
    one = await committer(seat, window)
    read(window, 1, 1)
    left = asyncio.create_task(one.commit())
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([left])
    await seat.link.request(KVSave("runtime", KEPT, '{"position": {"offset": 0}}'))
    read(window, 1, 2)
    with pytest.raises(Conflict):
        await one.commit()
    assert (await kept(client))["position"] == {"offset": 0}


class Deaf:
    """A link whose answers to commits are lost: of the first one that arrives, and, as its store is away, of more."""

    def __init__(self, link: Any, failures: int) -> None:
        self._link = link
        self.failures = failures
        self.sent: set[str] = set()

    async def request(self, message: Any) -> Any:
        if not isinstance(message, PositionCommit):
            return await self._link.request(message)
        first = not self.sent
        self.sent.add(message.update)
        if self.failures <= 0:
            return await self._link.request(message)
        self.failures -= 1
        if first:
            await self._link.request(message)
        raise StoreError("The store is away.")


async def test_a_commit_whose_answer_was_lost_is_no_conflict_however_often_it_was_tried_since(
    seat: Seat, client: Client
) -> None:
    link: Any = Deaf(seat.link, 1000)
    window = AckWindow(10_000)
    one = Committer(link, SOURCE, window, await load(seat.link, SOURCE), lambda: seat.epoch)
    for at in range(1, 1001):
        read(window, 1, at)
        with pytest.raises(StoreError):
            await one.commit()
    assert len(link.sent) == 1, "nobody has to remember more than one"
    read(window, 1, 1001)
    assert await one.commit()
    assert (await kept(client))["position"] == {"offset": 1001}
