"""The link to brokers: found, lost, found again; with two of them nobody waits long."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.daemon import Options, running
from teleporter_lab.client import Client
from teleporter_lab.engine.clock import LoopClock
from teleporter_lab.errors import Conflict, ConnectionLost, NotFound, StoreError, Unauthorized, Unreachable
from teleporter_lab.instance.link import FIRST_DELAY, LONGEST_DELAY, Link, LinkStatistics, parse_brokers
from teleporter_lab.rpc.messages import Done, KeyValue, KVGet, Welcome
from teleporter_lab.rpc.peer import Listener
from teleporter_lab.testing.clock import FakeClock
from tests.instance.seat import hello

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.rpc.answers import Handler
    from teleporter_lab.rpc.messages import Hello, Message
    from teleporter_lab.rpc.peer import Peer

GET = KVGet("config", "/namespace/test")


class Door:
    """A listener that lets everybody in, and keeps who came and why they left."""

    def __init__(self, name: str = "one", port: int = 0) -> None:
        self.name = name
        self.port = port
        self.peers: list[Peer] = []
        self.refusal: Exception | None = None
        self.pause: asyncio.Event | None = None
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        listener = Listener("127.0.0.1", self.port, self._authorize, self._accept)
        self.port = (await self._stack.enter_async_context(listener)).port

    async def close(self) -> None:
        await self._stack.aclose()

    @property
    def place(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    async def _authorize(self, _: Hello) -> Welcome:
        if self.refusal is not None:
            raise self.refusal
        return Welcome(f"/broker/test/{self.name}", "session", 30.0)

    async def _accept(self, peer: Peer) -> Handler:
        self.peers.append(peer)
        return self._answer

    async def _answer(self, message: Message) -> Message:
        if self.pause is not None:
            await self.pause.wait()
        return KeyValue(self.name, "")


async def nothing(_: object) -> Any:
    return Done()


@asynccontextmanager
async def link_to(*doors: Door, clock: Clock | None = None, linked: Any = nothing) -> AsyncIterator[Link]:
    link = Link([door.place for door in doors], hello("token"), nothing, linked, clock or LoopClock())
    keeping = asyncio.create_task(link.run())
    yield link
    keeping.cancel()
    await asyncio.wait([keeping])


@pytest.fixture
async def doors() -> AsyncIterator[tuple[Door, Door]]:
    found = Door("one"), Door("two")
    for door in found:
        await door.open()
    yield found
    for door in found:
        await door.close()


async def answerer(link: Link) -> str:
    answer = await link.request(GET, timeout=5.0)
    assert isinstance(answer, KeyValue)
    return answer.key


async def until(holds: Any) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


# ---- addresses of brokers


@pytest.mark.parametrize(
    ("text", "brokers"),
    [
        ("127.0.0.1:9022", [("127.0.0.1", 9022)]),
        (" a:1 , b.example:65535,", [("a", 1), ("b.example", 65535)]),
        ("[::1]:9022", [("::1", 9022)]),
    ],
)
def test_brokers_are_hosts_and_ports(text: str, brokers: list[tuple[str, int]]) -> None:
    assert parse_brokers(text) == brokers


@pytest.mark.parametrize(
    "text", ["", " , ", "host", "host:", ":9022", "host:0", "host:65536", "host:x", "a:1,b", "a:²"]
)
def test_what_is_no_broker_says_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="write host:port, for example"):
        parse_brokers(text)


# ---- one broker


async def test_a_request_that_comes_early_waits_for_the_broker(doors: tuple[Door, Door]) -> None:
    one, _ = doors
    async with link_to(one) as link:
        assert link.active is None
        assert not link.tell(GET)
        assert await answerer(link) == "one"
        assert link.tell(GET)
        assert link.statistics() == LinkStatistics(1, 1, f"127.0.0.1:{one.port}")


async def test_an_error_of_the_broker_is_raised_here(broker: Running) -> None:
    async with link_at(broker) as link:
        with pytest.raises(NotFound):
            await link.request(GET)


@asynccontextmanager
async def link_at(broker: Running, token: str | None = None) -> AsyncIterator[Link]:
    link = Link(parse_brokers(broker.rpc), hello(token or broker.token), nothing, nothing, LoopClock())
    keeping = asyncio.create_task(link.run())
    yield link
    keeping.cancel()
    await asyncio.wait([keeping])


async def test_a_wrong_token_is_what_is_raised(broker: Running) -> None:
    async with link_at(broker, "wrong") as link:
        await until(lambda: link.refused)
        for _ in range(2):
            with pytest.raises(Unauthorized, match="This token is not the broker's"):
                await link.wait_ready(0.01)


async def test_nobody_there_names_the_addresses(doors: tuple[Door, Door]) -> None:
    for door in doors:
        await door.close()
    async with link_to(*doors) as link:
        with pytest.raises(Unreachable) as caught:
            await link.wait_ready(0.05)
        with pytest.raises(Unreachable):
            await link.request(GET, 0.05)
    assert str(caught.value) == f"No broker answers at 127.0.0.1:{doors[0].port}, 127.0.0.1:{doors[1].port}."


async def test_a_broker_that_does_not_answer_is_unreachable(doors: tuple[Door, Door]) -> None:
    doors[0].pause = asyncio.Event()
    async with link_to(doors[0]) as link:
        await link.wait_ready(5.0)
        with pytest.raises(Unreachable, match=r"did not answer within 0\.05 s"):
            await link.request(GET, 0.05)


async def test_it_says_goodbye(doors: tuple[Door, Door]) -> None:
    async with link_to(*doors) as link:
        await until(lambda: link.statistics().connected == 2)
        await link.wait_ready(5.0)
    for door in doors:
        (peer,) = door.peers
        await asyncio.wait_for(peer.wait_closed(), 5.0)
        assert peer.why is not None
        assert (peer.why.code, peer.why.reason) == ("closing", "The instance stops.")


async def test_it_backs_off_and_comes_back(doors: tuple[Door, Door]) -> None:
    """Each pause is twice the last one, less up to a half at random, until the longest."""
    one, _ = doors
    clock = FakeClock()
    async with link_to(one, clock=clock) as link:
        await link.wait_ready(5.0)
        await one.close()
        for tries in range(1, 13):
            await until(lambda tries=tries: len(clock.sleeps) >= tries)
            assert link.active is None
            await clock.advance(LONGEST_DELAY)
        for n, pause in enumerate(clock.sleeps[:12]):
            longest = min(FIRST_DELAY * 2**n, LONGEST_DELAY)
            assert longest / 2 <= pause <= longest
        asking = asyncio.create_task(answerer(link))
        await one.open()
        async with asyncio.timeout(5):
            while not asking.done():
                await clock.advance(LONGEST_DELAY)
        assert await asking == "one"


async def test_a_lasting_connection_starts_the_pauses_anew(doors: tuple[Door, Door]) -> None:
    one, _ = doors
    clock = FakeClock()
    async with link_to(one, clock=clock) as link:
        for times in range(1, 4):
            await link.wait_ready(5.0)
            await clock.advance(60.0)
            await one.peers[-1].close()
            await until(lambda times=times: len(clock.sleeps) == times)
            await clock.advance(FIRST_DELAY)
        assert max(clock.sleeps) <= FIRST_DELAY


async def test_a_broker_that_does_not_link_is_not_hurried(doors: tuple[Door, Door]) -> None:
    one, _ = doors
    clock = FakeClock()

    async def refused(_: object) -> None:
        raise StoreError("The database is away.")

    async with link_to(one, clock=clock, linked=refused) as link:
        for tries in range(1, 6):
            await until(lambda tries=tries: len(clock.sleeps) == tries)
            assert len(one.peers) == tries
            await clock.advance(clock.sleeps[-1])
        assert clock.sleeps[-1] >= FIRST_DELAY * 2**4 / 2
        assert link.active is None


# ---- two brokers


async def test_one_is_in_use_and_the_other_takes_its_place(doors: tuple[Door, Door]) -> None:
    used: list[Peer] = []

    async def linked(peer: Peer) -> None:
        used.append(peer)

    async with link_to(*doors, linked=linked) as link:
        await until(lambda: link.statistics().connected == 2)
        names = [await answerer(link)]
        for _ in range(3):
            lost = next(door for door in doors if door.name == names[-1])
            started = time.monotonic()
            lost.peers[-1].link.abort()
            active = link.active
            await until(lambda active=active: active is None or active.why is not None)
            names.append(await answerer(link))  # asked before the link has looked around
            assert time.monotonic() - started < 2.0
            await until(lambda: link.statistics().connected == 2)
        assert all(before != after for before, after in pairwise(names))
        assert len(used) == 4


async def test_requests_made_while_the_other_one_is_linked_wait_for_it(doors: tuple[Door, Door]) -> None:
    go_on = asyncio.Event()
    go_on.set()

    async def linked(_: Peer) -> None:
        await go_on.wait()

    async with link_to(*doors, linked=linked) as link:
        await until(lambda: link.statistics().connected == 2)
        first = await answerer(link)
        go_on.clear()
        await next(door for door in doors if door.name == first).peers[-1].close()
        asking = [asyncio.create_task(answerer(link)) for _ in range(20)]
        await asyncio.sleep(0)
        go_on.set()
        assert set(await asyncio.gather(*asking)) == {"one", "two"} - {first}


async def test_one_that_does_not_link_leaves_the_place_to_the_other(doors: tuple[Door, Door]) -> None:
    async def linked(peer: Peer) -> None:
        if peer.remote.broker.endswith("one"):  # type: ignore[union-attr]
            raise Conflict("Not here.")

    async with link_to(*doors, linked=linked) as link:
        assert await answerer(link) == "two"


async def test_between_two_real_brokers_nobody_waits_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    options = {"port": 0, "rpc_port": 0, "store": "memory:", "drain": 0.1, "token": "the-same"}
    async with AsyncExitStack() as first, running(Options(name="two", **options)) as two:
        one = await first.enter_async_context(running(Options(name="one", **options)))
        link = Link(parse_brokers(f"{one.rpc},{two.rpc}"), hello("the-same"), nothing, nothing, LoopClock())
        for broker in (one, two):
            async with Client(broker.url, broker.token) as client:
                await client.save("/namespace/test", {})
        keeping = asyncio.create_task(link.run())
        await until(lambda: link.statistics().connected == 2)
        await link.request(GET)
        going = asyncio.create_task(first.aclose())
        lost = 0
        while not going.done() or link.statistics().connected == 2:
            started = time.monotonic()
            try:
                assert isinstance(await link.request(GET), KeyValue)
            except ConnectionLost:  # it was on its way when the broker left: nobody knows whether it was done
                lost += 1
            assert time.monotonic() - started < 2.0
        assert lost <= 1
        assert link.statistics().active == two.rpc
        keeping.cancel()
        await asyncio.wait([keeping])
