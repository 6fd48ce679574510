"""A seat at a real broker: the link of an instance that runs nothing by itself, and what its streams would share."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import pytest

from teleporter_lab.blocking import LoopThread
from teleporter_lab.broker.daemon import Options, running
from teleporter_lab.connectors.base import Registry
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.engine.clock import LoopClock
from teleporter_lab.engine.run import Runtime
from teleporter_lab.instance.addresses import Addresses
from teleporter_lab.instance.link import Link, parse_brokers
from teleporter_lab.instance.logic import LogicCompiler
from teleporter_lab.instance.plan import Services
from teleporter_lab.rpc.messages import PROTOCOL_VERSION, Done, Hello, LinkInstance, TaskState
from tests.instance.conftest import INSTANCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.rpc.messages import Message
    from teleporter_lab.rpc.peer import Peer

T = TypeVar("T")

COPY = "@stream_logic\ndef copy(s):\n    return s.source('rows').to(s.sink('lines'))\n"

GATED = """
import asyncio
from pathlib import Path

async def gate(row):
    while row["id"] >= 50 and not Path(GATE).exists():
        await asyncio.sleep(0.005)
    return row

@stream_logic
def copy(s):
    return s.source("rows").throttle(10, per=0.001).map_async(1, gate).to(s.sink("lines"))
"""
"""Lets 50 rows pass, in chunks of ten at the most, and the others once the gate is there."""

HELD = """
import pathlib, time

def held(row):
    pathlib.Path(GATE + ".entered").touch()
    while not pathlib.Path(GATE).exists():
        time.sleep(0.005)
    return row

@stream_logic
def copy(s):
    return s.source("rows").map(held, blocking=True).to(s.sink("lines"))
"""
"""A stream whose thread cannot be broken off until the gate is there."""


@dataclass
class Seat:
    """`asked` is what the broker asked; every request is answered with Done."""

    link: Link
    services: Services
    asked: list[Message] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Of the newest assignment."""
        return max((message.epoch for message in self.asked if isinstance(message, TaskState)), default=0)


def hello(token: str, key: str = INSTANCE) -> Hello:
    return Hello(PROTOCOL_VERSION, token, key, os.getpid(), socket.gethostname(), "test")


@asynccontextmanager
async def seat_at(broker: Running, key: str = INSTANCE, clock: Clock | None = None) -> AsyncIterator[Seat]:
    asked: list[Message] = []

    async def answer(message: Message) -> Message:
        asked.append(message)
        return Done()

    async def linked(peer: Peer) -> None:
        await peer.request(LinkInstance(key, ephemeral=False))

    link = Link(parse_brokers(broker.rpc), hello(broker.token, key), answer, linked, LoopClock())
    keeping = asyncio.create_task(link.run())
    async with Runtime(clock) as runtime:
        await link.wait_ready(5.0)
        addresses = Addresses(runtime.threads)
        yield Seat(link, Services(key, link, runtime, Registry.load(), addresses, LogicCompiler()), asked)
    keeping.cancel()
    await asyncio.wait([keeping])


@contextmanager
def broker_in_thread(home: Path, name: str = "default") -> Iterator[Running]:
    """A broker in a loop of its own, for tests that may share one; found by its connection file below `home`."""
    with pytest.MonkeyPatch.context() as patch, LoopThread() as thread:
        patch.setenv("TELEPORTER_HOME", str(home))
        stack = AsyncExitStack()
        entering = stack.enter_async_context(running(Options(name, port=0, rpc_port=0, store="memory:", drain=1.0)))
        broker = thread.run(_awaited(entering))
        file = ConnectionFile.new("broker", name, url=broker.url, rpc=broker.rpc, token=broker.token, log="")
        file.write()
        try:
            yield broker
        finally:
            file.remove()
            thread.run(stack.aclose())


async def _awaited(entering: Awaitable[T]) -> T:
    return await entering
