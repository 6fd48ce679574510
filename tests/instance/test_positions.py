"""Positions at a real broker: the committed prefix and its ledger, and who may commit."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.daemon import Options, running
from teleporter_lab.client import Client
from teleporter_lab.config.key import Key
from teleporter_lab.engine.ack import AckWindow, Ledger
from teleporter_lab.errors import Conflict, ConnectorError, StoreError
from teleporter_lab.instance.link import Link
from teleporter_lab.instance.positions import Committer, load, parse_record, position_key
from teleporter_lab.rpc.messages import Done, KVSave, PositionCommit, Welcome
from teleporter_lab.rpc.peer import Listener
from teleporter_lab.testing.clock import FakeClock
from tests.instance.conftest import Desk
from tests.instance.seat import Seat, hello, seat_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.rpc.messages import Message

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


@asynccontextmanager
async def link_to(handler: Callable[[Message], Awaitable[Message]]) -> AsyncIterator[Link]:
    """A link to a listener that answers as `handler` says."""

    async def authorize(_: object) -> Welcome:
        return Welcome("/broker/test/b", "session", 30.0)

    async def accept(_: object) -> Callable[[Message], Awaitable[Message]]:
        return handler

    async def linked(_: object) -> None:
        return

    async with Listener("127.0.0.1", 0, authorize, accept) as listener:
        link = Link([("127.0.0.1", listener.port)], hello("t"), handler, linked, FakeClock())
        keeping = asyncio.create_task(link.run())
        await link.wait_ready(5.0)
        yield link
        keeping.cancel()
        await asyncio.wait([keeping])


async def test_a_store_that_does_not_answer_only_delays() -> None:
    failures = [StoreError("The database is away."), StoreError("The database is away.")]
    committed: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    asked = 0

    async def answer(message: Message) -> Message:
        nonlocal asked
        assert isinstance(message, PositionCommit)
        asked += 1
        if failures:
            raise failures.pop()
        committed.put_nowait(json.loads(message.update))
        return Done()

    clock, window = FakeClock(), AckWindow(10)
    async with link_to(answer) as link:
        one = Committer(link, SOURCE, window, parse_record('{"position": null}', KEPT), lambda: 3)
        keeping = asyncio.create_task(one.keep_committing(clock, 1.5))
        read(window, 1, 1)
        async with asyncio.timeout(5):
            for tries in range(1, 4):
                while len(clock.sleeps) < tries:
                    await asyncio.sleep(0)
                await clock.advance(1.5)
            record = await committed.get()
        assert (record["position"], record["epoch"]) == ({"offset": 1}, 3)
        assert (asked, set(clock.sleeps)) == (3, {1.5})
        keeping.cancel()
        await asyncio.wait([keeping])


async def test_the_last_commit_of_a_run_waits_for_the_store() -> None:
    failures = [StoreError("The database is away.")] * 2
    committed: list[str] = []

    async def answer(message: Message) -> Message:
        assert isinstance(message, PositionCommit)
        if failures:
            raise failures.pop()
        committed.append(message.update)
        return Done()

    clock, window = FakeClock(), AckWindow(10)
    async with link_to(answer) as link:
        one = Committer(link, SOURCE, window, parse_record('{"position": null}', KEPT), lambda: 3)
        read(window, 1, 1)
        finishing = asyncio.create_task(one.finish(clock))
        while not finishing.done():
            await clock.advance(1.0)
        await finishing
        assert len(committed) == 1
        assert not await one.commit()


async def test_an_error_that_is_no_absence_ends_the_commit_loop() -> None:
    async def answer(message: Message) -> Message:
        raise Conflict("Another one has committed.")

    clock, window = FakeClock(), AckWindow(10)
    async with link_to(answer) as link:
        one = Committer(link, SOURCE, window, parse_record('{"position": null}', KEPT), lambda: 3)
        read(window, 1, 1)
        keeping = asyncio.create_task(one.keep_committing(clock, 1.0))
        while not keeping.done():
            await clock.advance(1.0)
        with pytest.raises(Conflict):
            await keeping


async def test_a_broker_that_was_away_gets_what_was_confirmed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    options = Options(port=0, rpc_port=0, store=f"sqlite:{tmp_path / 'store.sqlite'}", drain=1.0)
    clock, window = FakeClock(), AckWindow(10)
    async with running(options) as broker, Client(broker.url, broker.token) as client:
        ports = {"port": int(broker.url.rpartition(":")[2]), "rpc_port": int(broker.rpc.rpartition(":")[2])}
        seat = await (entered := seat_at(broker)).__aenter__()
        await Desk(client, tmp_path).prepare()
        await client.refresh("/group/test/all")
        one = await committer(seat, window)
        keeping = asyncio.create_task(one.keep_committing(clock, 1.0))
        read(window, 1, 1)
        await clock.advance(1.0)
    read(window, 1, 2)
    await clock.advance(5.0)
    async with running(replace(options, **ports)) as broker, Client(broker.url, broker.token) as client:
        await seat.link.wait_ready(5.0)
        async with asyncio.timeout(5):
            while one.commits == 0 or (await kept(client))["position"] != {"offset": 2}:
                await clock.advance(1.0)
        keeping.cancel()
        await asyncio.wait([keeping])
        await entered.__aexit__(None, None, None)
