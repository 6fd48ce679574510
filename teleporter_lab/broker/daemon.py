"""The broker as a process: its stores, its two doors, the file by which it is found, and how it ends.

Owns the order in which they begin and end, and the signals. Refuses a host that others can reach, unless it is told so,
and a second broker of the same name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import uuid
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from teleporter_lab import settings
from teleporter_lab._version import __version__
from teleporter_lab.broker.dead_letters import LetterBounds
from teleporter_lab.broker.handler import Door
from teleporter_lab.broker.rest.app import create_app
from teleporter_lab.broker.service import Catalogue, Service, Times
from teleporter_lab.broker.stores.base import default_url, open_stores
from teleporter_lab.connectors.base import Registry
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.daemon.lock import NameLock
from teleporter_lab.errors import InvalidInput, PortInUse
from teleporter_lab.rpc.peer import Listener
from teleporter_lab.rpc.tokens import new_token
from teleporter_lab.web.identity import Identity
from teleporter_lab.web.server import bind, serving, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from pathlib import Path

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How a broker is to run. Port 0: a free one. `store` empty: the default one of this name. `drain` in seconds.

    `letters` bounds the dead letters of each stream.
    """

    name: str = "default"
    host: str = settings.LOOPBACK
    port: int = settings.HTTP_PORT
    rpc_port: int = settings.RPC_PORT
    store: str = ""
    drain: float = 30.0
    allow_remote: bool = False
    token: str = field(default_factory=new_token, repr=False)
    letters: LetterBounds = field(default_factory=LetterBounds)

    def __post_init__(self) -> None:
        """Raises InvalidInput for a host that needs `allow_remote` and for a token no header can carry."""
        if not self.allow_remote and not _is_loopback(self.host):
            raise InvalidInput(
                f"A broker on {self.host} can be reached from other machines, and who has its token may run code on "
                "every instance. Add --allow-remote if that is meant, or use --host 127.0.0.1."
            )
        if not self.token or not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise InvalidInput("A token is made of visible ASCII characters, without spaces.")


@dataclass(frozen=True)
class Running:
    """A broker that serves. `stop` asks it to end; `stopping` is set from then on."""

    url: str
    rpc: str
    token: str = field(repr=False)
    id: str
    service: Service
    stopping: asyncio.Event

    def stop(self) -> None:
        """Ask it to end, and return at once."""
        self.stopping.set()


@asynccontextmanager
async def running(
    options: Options,
    catalogue: Catalogue | None = None,
    times: Times | None = None,
    stopping: asyncio.Event | None = None,
) -> AsyncGenerator[Running]:
    """A broker in this process for the length of the block. Guarantee: at its end all it confirmed is on disk.

    `stopping` is set when somebody asks it to end: whoever opened the block should leave it then.
    Raises PortInUse, DaemonError, StoreLocked, StoreError.
    """
    key = f"/broker/teleporter/{options.name}"
    identity = Identity(uuid.uuid4().hex, options.name, __version__, os.getpid())
    stopping = stopping or asyncio.Event()
    async with AsyncExitStack() as stack:
        bound = stack.enter_context(bind(options.host, options.port))
        url = options.store or default_url(settings.data_dir() / f"broker-{options.name}")
        stores = await stack.enter_async_context(await open_stores(url))
        service = await stack.enter_async_context(
            Service(key, stores, catalogue or Registry.load(), times, options.letters)
        )
        listener = await _listen(stack, service, options)
        app = create_app(service, identity, options.token, stopping.set)
        web = await stack.enter_async_context(serving(app, bound, options.drain))
        ended = stopping.set
        web.add_done_callback(lambda _: ended())
        url = url_of(bound)
        rpc = f"{url.removeprefix('http://').rpartition(':')[0]}:{listener.port}"
        yield Running(url, rpc, options.token, identity.id, service, stopping)


async def run(options: Options, log: Path, announce: Callable[[ConnectionFile], object] | None = None) -> None:
    """Be the broker of this name until SIGTERM, SIGINT or `POST /shutdown`; then drain and return.

    `announce` gets the connection file when it is in place. Raises AlreadyRunning, and what `running` raises.
    """
    stopping = asyncio.Event()
    with NameLock.of("broker", options.name), _signals(stopping.set):
        async with running(options, stopping=stopping) as broker:
            file = _connection_file(options, broker, log)
            file.write()
            if announce is not None:
                announce(file)
            _log.info("The broker %s serves at %s, instances connect to %s.", options.name, broker.url, broker.rpc)
            try:
                await broker.stopping.wait()
            finally:
                file.remove()
                _log.info("The broker %s stops.", options.name)


async def _listen(stack: AsyncExitStack, service: Service, options: Options) -> Listener:
    door = Door(service, options.token)
    try:
        return await stack.enter_async_context(Listener(options.host, options.rpc_port, door.authorize, door.accept))
    except PortInUse as error:
        raise PortInUse(f"{error.message} Choose another port with --rpc-port, or 0 for a free one.") from error


def _connection_file(options: Options, broker: Running, log: Path) -> ConnectionFile:
    file = ConnectionFile.new("broker", options.name, url=broker.url, rpc=broker.rpc, token=broker.token, log=str(log))
    return replace(file, id=broker.id)


@contextmanager
def _signals(stop: Callable[[], None]) -> Generator[None]:
    """SIGTERM and SIGINT call `stop` inside the block."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
