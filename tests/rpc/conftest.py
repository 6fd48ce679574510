"""Two ends of a connection for tests: a clock that only moves when told, listeners, and clients that misbehave."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.errors import Unauthorized
from teleporter_lab.rpc.messages import PROTOCOL_VERSION, Done, Hello, Message, Welcome
from teleporter_lab.rpc.peer import Listener, Peer, dial
from teleporter_lab.rpc.protocol import Connection
from teleporter_lab.rpc.terms import Terms
from teleporter_lab.rpc.tokens import same_token

if TYPE_CHECKING:
    from pathlib import Path

HELLO = Hello(PROTOCOL_VERSION, "secret", "/instance/ns/i", 7, "here", "0.0")
WELCOME = Welcome("/broker/ns/b", "session", 30.0)


class Call:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Timers:
    """Virtual time: `advance` runs what falls due, in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._heap: list[tuple[float, int, Call]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Call:
        call = Call(callback)
        heapq.heappush(self._heap, (when, next(self._numbers), call))
        return call

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            when, _, call = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            if call.callback is not None:
                call.callback()
        self.now = end

    def waiting(self) -> int:
        return sum(call.callback is not None for _, _, call in self._heap)


async def done(message: Message) -> Message:
    return Done()


async def authorize(hello: Hello) -> Welcome:
    if not same_token(hello.token, HELLO.token):
        raise Unauthorized("That token is not the right one.")
    return WELCOME


class Raw:
    """A client of plain bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.connection = Connection(server=False)

    async def greet(self) -> None:
        self.send(HELLO)
        assert self.connection.receive(await self.reader.read(1000)) == [WELCOME]

    def send(self, envelope: Any) -> None:
        self.writer.write(self.connection.send(envelope))

    async def answer(self) -> list[Any]:
        """All envelopes until the other side ends the connection."""
        found: list[Any] = []
        try:
            while data := await self.reader.read(65536):
                found += self.connection.receive(data)
        except ConnectionError:
            return found
        return found


class Net:
    """Listeners and clients of one test, closed in reverse order."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.timers = Timers()
        self.terms = Terms(timers=self.timers)
        self.accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self.listener: Listener
        self.hello = HELLO
        self.welcome = WELCOME

    async def listen(self, handler: Any = done, *, terms: Terms | None = None, **options: Any) -> Listener:
        async def accept(peer: Peer) -> Any:
            self.accepted.put_nowait(peer)
            return handler

        defaults: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "authorize": authorize, "accept": accept}
        listener = Listener(**{**defaults, **options}, terms=terms or self.terms)
        self.listener = await self._stack.enter_async_context(listener)
        return self.listener

    async def dial(
        self, handler: Any = done, hello: Hello = HELLO, *, terms: Terms | None = None, **options: Any
    ) -> Peer:
        host = options.pop("host", "127.0.0.1")
        peer = await dial(host, self.listener.port, hello, handler, terms=terms or self.terms, **options)
        return await self._stack.enter_async_context(peer)

    async def pair(self, handler: Any = done, other: Any = done, **terms: Any) -> tuple[Peer, Peer]:
        """(the dialling side, the listening side), whose handler is `handler`."""
        agreed = replace(self.terms, **terms)
        await self.listen(handler, terms=agreed)
        client = await self.dial(other, terms=agreed)
        return client, await self.accepted.get()

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[Raw]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        try:
            yield Raw(reader, writer)
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except ConnectionError:
                assert writer.is_closing()


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    async with AsyncExitStack() as stack:
        yield Net(stack)


@pytest.fixture
def timers() -> Timers:
    return Timers()


Until = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Turns the event loop until something holds; the real time that passes is that of the loopback device."""

    async def wait(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            for _ in itertools.count():
                if holds():
                    return
                await asyncio.sleep(0)

    return wait


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of `localhost` and its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost"
    made = subprocess.run([*command.split(), "-keyout", "-", "-out", "-"], capture_output=True, check=True)
    path.write_bytes(made.stdout)
    return path
