"""The RPC door with real connections over loopback."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.broker.dead_letters import LetterBounds
from teleporter_lab.broker.handler import Door
from teleporter_lab.errors import (
    AlreadyRunning,
    Conflict,
    DeadLettersFull,
    FrameTooLarge,
    InvalidConfig,
    InvalidInput,
    InvalidKey,
    NotFound,
    ProtocolError,
    TemplateError,
    Unauthorized,
)
from teleporter_lab.rpc.messages import (
    AtomicSaveKV,
    ConfigChangeNotify,
    Done,
    InstanceState,
    KeyValue,
    KeyValues,
    KVGet,
    KVRemove,
    KVSave,
    LinkAddress,
    LinkInstance,
    LinkVariable,
    LogLines,
    LogTail,
    Message,
    MetricsReport,
    PositionCommit,
    PutAside,
    RangeRegexKV,
    StreamState,
    Tap,
    TaskState,
)
from teleporter_lab.rpc.peer import Listener, Peer, dial
from tests.broker.conftest import TOKEN, World, group, hello, partitions
from tests.broker.letters import letter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

A, B = "/instance/ns/a", "/instance/ns/b"
TASK = "/task/ns/t"
POSITION = "/position/ns/t/s0/in"


@dataclass
class Instance:
    """A real peer that keeps what it is told."""

    key: str
    peer: Peer
    heard: list[Message] = field(default_factory=list[Message])
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None

    async def handle(self, message: Message) -> Message:
        self.heard.append(message)
        self.changed.set()
        if self.failure and isinstance(message, ConfigChangeNotify):
            raise self.failure
        return LogLines(["old line"]) if isinstance(message, LogTail) else Done()

    def share(self) -> list[str]:
        shares = [message.partitions for message in self.heard if isinstance(message, TaskState)]
        return shares[-1] if shares else []

    async def until_share(self, count: int) -> list[str]:
        async with asyncio.timeout(10):
            while len(self.share()) != count:
                self.changed.clear()
                await self.changed.wait()
        return self.share()


class Rpc:
    """A broker's RPC door on a free port, and instances that dial it."""

    def __init__(self, world: World, listener: Listener, stack: AsyncExitStack) -> None:
        self.world = world
        self.listener = listener
        self._stack = stack

    async def dial(self, key: str = A, pid: int = 1, token: str = TOKEN) -> Instance:
        box: list[Instance] = []

        async def handle(message: Message) -> Message:
            return await box[0].handle(message)

        peer = await dial("127.0.0.1", self.listener.port, hello(key, pid, token), handle)
        box.append(Instance(key, await self._stack.enter_async_context(peer)))
        return box[0]

    async def link(self, key: str = A, *, ephemeral: bool = False) -> Instance:
        instance = await self.dial(key)
        await instance.peer.request(LinkInstance(key, ephemeral))
        return instance

    async def until_online(self, *keys: str) -> None:
        with self.world.service.events.subscribe() as news:
            async with asyncio.timeout(10):
                while self.world.service.sessions.online() != set(keys):
                    await anext(news)


@pytest.fixture
async def rpc(world: World) -> AsyncIterator[Rpc]:
    door = Door(world.service, TOKEN)
    async with Listener("127.0.0.1", 0, door.authorize, door.accept) as listener, AsyncExitStack() as stack:
        yield Rpc(world, listener, stack)


async def spread(world: World, count: int = 4) -> None:
    await world.put({"/group/ns/g": group(A, B), TASK: {}, **partitions(count)})
    await world.put({f"/stream/ns/t/s{number}": {} for number in range(count)})
    await world.service.refresh("/group/ns/g")


async def test_documents_travel_as_text(rpc: Rpc) -> None:
    peer = (await rpc.dial()).peer
    saved = await peer.request(KVSave("config", "/ns/x", '{ "name": "x" }'))
    assert saved == KeyValue("/namespace/x", '{"name":"x"}')
    assert await peer.request(KVGet("config", "/namespace/x")) == saved
    assert await peer.request(RangeRegexKV("config", "/namespace/.*", 0, 10)) == KeyValues([saved])
    await peer.request(AtomicSaveKV("config", "/namespace/x", '{"name": "x"}', "{}"))
    with pytest.raises(Conflict):
        await peer.request(AtomicSaveKV("config", "/namespace/x", None, "{}"))
    await peer.request(KVRemove("config", "/namespace/x"))
    with pytest.raises(NotFound):
        await peer.request(KVGet("config", "/namespace/x"))
    assert await peer.request(KVSave("runtime", "/a/b", "[1, 2]")) == KeyValue("/a/b", "[1,2]")
    assert await peer.request(RangeRegexKV("runtime", "/a/", -5, -5)) == KeyValues([])


async def test_references_to_secrets_travel_as_they_are_written(rpc: Rpc) -> None:
    peer = (await rpc.dial()).peer
    text = '{"category":"kafka","client":{"topics":"${env:TOPICS}"}}'
    await peer.request(KVSave("config", "/address/ns/a", text))
    assert await peer.request(KVGet("config", "/address/ns/a")) == KeyValue("/address/ns/a", text)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (KVSave("config", "/namespace/x", '{"zap": 1}'), InvalidConfig),
        (KVSave("config", "/namespace/x", "no json"), InvalidInput),
        (KVSave("runtime", "no key", "1"), InvalidKey),
        (KVGet("config", "/nonsense"), InvalidKey),
        (LinkAddress(A, "nonsense"), InvalidKey),
        (PositionCommit("/position/short", None, "1", 1), InvalidKey),
        (PositionCommit(POSITION, None, "1", 1), Conflict),
        (PutAside("/stream/ns/t/s0", []), Conflict),
        (PutAside("/task/ns/t", []), InvalidKey),
        (Done(), ProtocolError),
        (Tap("/stream/ns/t/s", 1), ProtocolError),
        (TaskState(TASK, [], 1), ProtocolError),
    ],
)
async def test_what_is_wrong_comes_back_as_the_same_class(rpc: Rpc, message: Message, error: type[Exception]) -> None:
    peer = (await rpc.dial()).peer
    with pytest.raises(error):
        await peer.request(message)
    await peer.request(LinkInstance(A, ephemeral=False))


async def test_a_wrong_token_and_a_wrong_key_stay_outside(rpc: Rpc) -> None:
    with pytest.raises(Unauthorized):
        await rpc.dial(token="wrong")
    with pytest.raises(InvalidKey, match="is no instance"):
        await rpc.dial("/stream/ns/t/s")
    assert rpc.world.service.sessions.statistics() == {"open": 0, "online": 0}


async def test_two_instances_share_and_one_that_returns_in_time_moves_nothing(rpc: Rpc) -> None:
    await spread(rpc.world)
    a = await rpc.link(A)
    await a.until_share(4)
    b = await rpc.link(B)
    await b.until_share(2)
    assert await a.until_share(2)
    before = rpc.world.owners()
    assert Counter(before.values()) == {A: 2, B: 2}
    await b.peer.close()
    await rpc.until_online(A)
    told = len(a.heard)
    await rpc.world.clock.advance(59)
    b = await rpc.link(B)
    assert await b.until_share(2) == sorted(name for name, owner in before.items() if owner == B)
    assert rpc.world.owners() == before
    assert len(a.heard) == told


async def test_one_that_stays_away_loses_its_share(rpc: Rpc) -> None:
    await spread(rpc.world)
    a, b = await rpc.link(A), await rpc.link(B)
    await b.until_share(2)
    await b.peer.close()
    await rpc.until_online(A)
    await rpc.world.clock.advance(60)
    await a.until_share(4)


async def test_a_refresh_reaches_only_the_concerned(rpc: Rpc) -> None:
    await spread(rpc.world)
    instances = {A: await rpc.link(A), B: await rpc.link(B)}
    await instances[B].until_share(2)
    for number in range(4):
        owner = rpc.world.owners()[f"/partition/ns/t/p{number}"]
        result = await rpc.world.service.refresh(f"/stream/ns/t/s{number}")
        assert result["notified"] == [owner]
    for instance in instances.values():
        notices = [message.key for message in instance.heard if isinstance(message, ConfigChangeNotify)]
        assert [rpc.world.service.assignments.topology.partition_of(key) for key in notices] == instance.share()


async def test_links_are_noted_and_their_refresh_reported(rpc: Rpc) -> None:
    a, b = await rpc.link(A), await rpc.link(B)
    await a.peer.request(LinkAddress(A, "/address/ns/db"))
    await b.peer.request(LinkVariable(B, "/variable/ns/v"))
    a.failure = TemplateError("It does not compile.")
    result = await rpc.world.service.refresh("/address/ns/db")
    assert result["notified"] == [A]
    assert result["problems"] == [{"path": "", "message": f"{A}: It does not compile."}]
    assert (await rpc.world.service.refresh("/variable/ns/v"))["notified"] == [B]


async def test_a_position_is_committed_by_its_owner_alone(rpc: Rpc) -> None:
    await spread(rpc.world, 1)
    a = await rpc.link(A)
    await a.until_share(1)
    epoch = next(message.epoch for message in a.heard if isinstance(message, TaskState) and message.partitions)
    b = await rpc.link(B)
    first, second = '{"position": 1}', '{"position": 2}'
    await a.peer.request(PositionCommit(POSITION, None, first, epoch))
    await a.peer.request(PositionCommit(POSITION, first, second, epoch))
    with pytest.raises(Conflict):
        await a.peer.request(PositionCommit(POSITION, first, second, epoch))
    with pytest.raises(Conflict, match="not run by"):
        await b.peer.request(PositionCommit(POSITION, second, first, epoch + 1))
    with pytest.raises(Conflict, match="anew"):
        await a.peer.request(PositionCommit(POSITION, second, first, epoch - 1))
    assert (await rpc.world.service.runtime.get(POSITION)).value == {"position": 2}


async def test_records_are_put_aside_by_the_owner_alone(rpc: Rpc) -> None:
    await spread(rpc.world, 1)
    a, b = await rpc.link(A), await rpc.link(B)
    await a.until_share(1)
    message = PutAside("/stream/ns/t/s0", [letter(1), letter(2)])
    assert await a.peer.request(message) == Done()
    assert await a.peer.request(message) == Done()
    with pytest.raises(Conflict, match="its records were not put aside"):
        await b.peer.request(message)
    with pytest.raises(FrameTooLarge, match="A PutAside of"):
        await a.peer.request(PutAside("/stream/ns/t/s0", [letter(3, "x" * 11_000_000)]))
    with pytest.raises(InvalidInput, match="at most 8,388,608 can be kept"):
        await a.peer.request(PutAside("/stream/ns/t/s0", [letter(3, "x" * 9_000_000)]))
    assert (await rpc.world.service.streams.get("/stream/ns/t/s0"))["dead_letters"] == 2
    await a.peer.request(KVRemove("runtime", f"/deadletter/ns/t/s0/{letter(1)[0]}"))
    assert (await rpc.world.service.streams.get("/stream/ns/t/s0"))["dead_letters"] == 1


async def test_a_full_place_is_its_own_error(rpc: Rpc) -> None:
    rpc.world.service.letters._bounds = LetterBounds(count=1)
    await spread(rpc.world, 1)
    a = await rpc.link(A)
    await a.until_share(1)
    with pytest.raises(DeadLettersFull):
        await a.peer.request(PutAside("/stream/ns/t/s0", [letter(1), letter(2)]))


async def test_a_former_owner_cannot_commit_any_more(rpc: Rpc) -> None:
    await spread(rpc.world, 1)
    a = await rpc.link(A)
    await a.until_share(1)
    epoch = next(message.epoch for message in a.heard if isinstance(message, TaskState) and message.partitions)
    await a.peer.close()
    await rpc.until_online()
    b = await rpc.link(B)
    await rpc.world.clock.advance(60)
    await b.until_share(1)
    zombie = await rpc.dial(A)
    with pytest.raises(Conflict, match="not run by"):
        await zombie.peer.request(PositionCommit(POSITION, None, "1", epoch))


async def test_states_and_metrics_come_as_notices(rpc: Rpc) -> None:
    await spread(rpc.world, 1)
    a = await rpc.link(A)
    await a.until_share(1)
    state = StreamState("/stream/ns/t/s0", A, "RUNNING", 1.0, 0, "", {"read": 1}, 0.5)
    with rpc.world.service.events.subscribe() as news:
        a.peer.tell(state)
        assert (await anext(news))["rate"] == 0.5
        a.peer.tell(MetricsReport(A, 2.0, [StreamState(state.key, A, "RUNNING", 1.0, 0, "", {"read": 9}, 4.5)]))
        assert (await anext(news))["counts"]["read"] == 9
        a.peer.tell(InstanceState(A, "DRAINING", 3.0))
        assert (await anext(news))["status"] == "DRAINING"
    kept = await rpc.world.service.runtime.get(state.key)
    assert kept.value["counts"]["read"] == 1, "metrics are not kept on disk"


async def test_a_log_is_followed_through_the_broker(rpc: Rpc) -> None:
    a = await rpc.link(A)
    log = rpc.world.service.log(A, 3)
    assert await anext(log) == ["old line"]
    a.peer.tell(LogLines(["new line"]))
    assert await anext(log) == ["new line"]
    await log.aclose()
    assert [m.follow for m in a.heard if isinstance(m, LogTail)] == [True, False]


async def test_an_ephemeral_instance_vanishes_with_its_connection(rpc: Rpc) -> None:
    a = await rpc.link(A, ephemeral=True)
    assert await rpc.world.service.runtime.find(A)
    with rpc.world.service.events.subscribe() as news:
        await a.peer.close()
        async with asyncio.timeout(10):
            assert (await anext(news))["status"] == "OFFLINE"
    assert await rpc.world.service.runtime.find(A) is None


async def test_two_processes_cannot_be_one_instance_but_one_can_reconnect(rpc: Rpc) -> None:
    first = await rpc.link(A)
    with pytest.raises(AlreadyRunning, match="connected already"):
        await rpc.dial(A, pid=2)
    again = await rpc.link(A)
    await first.peer.wait_closed()
    assert first.peer.why is not None
    assert first.peer.why.code == "replaced"
    await rpc.until_online(A)
    assert await rpc.world.service.sessions.request(A, LogTail(A, 1, follow=False)) == LogLines(["old line"])
    assert again.heard[-1] == LogTail(A, 1, follow=False)


GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\xff" * 100,
    b"\x00\x00\x00\x05hello",
    b"\x00\x00\x00\x00" * 1000,
    os.urandom(10_000),
    b"\x00\x00\xff\xff" + b"\xc1" * 65535,
]


async def test_garbage_leaves_the_broker_alive(rpc: Rpc) -> None:
    a = await rpc.link(A)
    for garbage in GARBAGE * 5:
        reader, writer = await asyncio.open_connection("127.0.0.1", rpc.listener.port)
        writer.write(garbage)
        writer.write_eof()
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()
        await writer.wait_closed()
    assert rpc.world.service.sessions.statistics() == {"open": 1, "online": 1}
    assert rpc.listener.statistics() == {"peers": 1, "strangers": 0}
    await a.peer.request(KVSave("config", "/namespace/x", "{}"))
