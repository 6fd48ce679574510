"""A broker without processes: memory stores, a clock that moves when told, instances that answer as they are told."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from teleporter_lab.broker.service import Service, Times
from teleporter_lab.broker.sessions import Session
from teleporter_lab.broker.stores.base import Stores
from teleporter_lab.broker.stores.memory import MemoryStore
from teleporter_lab.errors import ConnectionLost, ConnectorError, UnknownConnector
from teleporter_lab.rpc.messages import PROTOCOL_VERSION, Done, Hello, Message, TaskState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

TOKEN = "a-token-of-the-tests"


class ManualClock:
    """Virtual time: sleepers wake when `advance` passes their moment."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._numbers), future))
        await future

    async def wait(self, futures: Iterable[asyncio.Future[Any]], timeout: float | None = None) -> bool:
        """Without a time limit that counts: nothing of a broker asks for one."""
        done, _ = await asyncio.wait(set(futures), return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    async def advance(self, seconds: float) -> None:
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)
        await settled()


async def settled() -> None:
    """Returns when everything that needs no time has happened: all work here is in memory."""
    for _ in range(200):
        await asyncio.sleep(0)


class KafkaClient(BaseModel):
    model_config = ConfigDict(extra="forbid")

    topics: str = Field(description="Topics to read.")
    batch: int = Field(100, description="Records at a time.")


class Catalogue:
    """One connector."""

    def describe(self) -> list[dict[str, Any]]:
        return [{"category": "kafka", "aliases": [], "source": True, "sink": True, "address": True}]

    def block_models(self, table: str, category: str) -> Mapping[str, type[BaseModel]] | None:
        if category != "kafka":
            raise UnknownConnector(f"There is no connector {category!r}; the known ones are kafka.")
        return {"client": KafkaClient}

    def distance(self, category: str, start: Any, end: Any) -> int | None:
        """Of positions `{"offset": n}`."""
        if category != "kafka":
            raise UnknownConnector(f"There is no connector {category!r}; the known ones are kafka.")
        if not all(isinstance(each, dict) for each in (start, end)):
            raise ConnectorError("A position of kafka is an object.")
        known = "offset" in start and "offset" in end
        return end["offset"] - start["offset"] if known else None


@dataclass
class Remote:
    """An instance at the other end of a session: it records what it is asked, and `answer` says what it answers."""

    asked: list[Message] = field(default_factory=list[Message])
    answer: Callable[[Message], Awaitable[Message]] | None = None
    closed: bool = False

    async def request(self, message: Message, timeout: float = 30.0) -> Message:
        if self.closed:
            raise ConnectionLost("gone")
        self.asked.append(message)
        return await self.answer(message) if self.answer else Done()

    async def close(self, code: str = "closing", reason: str = "") -> None:
        self.closed = True

    def shares(self) -> dict[str, list[str]]:
        """Task -> partitions, as this instance was told last."""
        return {each.task: each.partitions for each in self.asked if isinstance(each, TaskState)}


def hello(instance: str, pid: int = 1, token: str = TOKEN) -> Hello:
    return Hello(PROTOCOL_VERSION, token, instance, pid, "here", "0.0")


@dataclass
class World:
    """A service, its clock, and instances that come and go."""

    service: Service
    clock: ManualClock
    stores: Stores
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])

    async def put(self, documents: Mapping[str, Any]) -> None:
        for key, value in documents.items():
            await self.service.tree.save(key, value)

    async def come(self, instance: str, *, ephemeral: bool = False) -> Remote:
        remote = Remote()
        session = Session(hello(instance), remote)
        self.service.sessions.add(session)
        self.sessions[instance] = session
        await self.service.instances.link(session, ephemeral)
        await settled()
        return remote

    async def go(self, instance: str) -> None:
        session = self.sessions.pop(instance)
        remote = session.peer
        assert isinstance(remote, Remote)
        remote.closed = True
        self.service.sessions.remove(session)
        await self.service.leave(session)
        await settled()

    def owners(self) -> dict[str, str]:
        return dict(self.service.assignments.owners())


def group(*instances: str, delay: str = "1.minutes", tasks: Iterable[str] = ("/task/ns/t",)) -> dict[str, Any]:
    return {"tasks": list(tasks), "instances": list(instances), "instanceOfflineReBalanceTime": delay}


def partitions(count: int, task: str = "t") -> dict[str, Any]:
    return {f"/partition/ns/{task}/p{n}": {"keys": [f"/stream/ns/{task}/s{n}.*"]} for n in range(count)}


@pytest.fixture
def stores() -> Stores:
    return Stores(MemoryStore(), MemoryStore(), "memory:")


@pytest.fixture
async def open_world(stores: Stores) -> AsyncIterator[Callable[[], Awaitable[World]]]:
    """Opens a world over the same stores, as often as a broker is to start again."""
    async with AsyncExitStack() as stack:

        async def open_one() -> World:
            clock = ManualClock()
            service = Service("/broker/ns/b", stores, Catalogue(), Times(clock, lambda: 1_700_000_000.0))
            return World(await stack.enter_async_context(service), clock, stores)

        yield open_one


@pytest.fixture
async def world(open_world: Callable[[], Awaitable[World]]) -> World:
    return await open_world()
