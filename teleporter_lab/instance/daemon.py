"""The instance as a process: its broker link, its health door, the file by which it is found, and how it ends.

Owns the order in which they begin and end, and the signals. SIGTERM drains: streams stop reading, hand down what they
have read, commit and close. Refuses a second instance of the same key on this machine.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from teleporter_lab._version import __version__
from teleporter_lab.config.key import Key, Table
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.daemon.lock import NameLock
from teleporter_lab.errors import InvalidKey
from teleporter_lab.instance.health import create_app
from teleporter_lab.instance.instance import Instance, InstanceOptions
from teleporter_lab.rpc.messages import PROTOCOL_VERSION, Hello
from teleporter_lab.rpc.tokens import new_token
from teleporter_lab.settings import LOOPBACK
from teleporter_lab.web.identity import Identity
from teleporter_lab.web.server import bind, serving, url_of

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.instance.log_tail import LogKeeper

_log = logging.getLogger(__name__)


def daemon_name(key: str) -> str:
    """The name under which the process of an instance is found: `ns--instance`. Raises InvalidKey."""
    parsed = Key.parse(key)
    if parsed.table is not Table.INSTANCE:
        raise InvalidKey(f"{key} is no instance; write /instance/<namespace>/<name>.")
    return "--".join(parsed.segments)


@dataclass(frozen=True)
class Options:
    """How an instance is to run. `token` is the brokers'; `port` is that of its health door, 0 a free one."""

    key: str
    brokers: list[tuple[str, int]]
    token: str = field(repr=False)
    port: int = 0
    drain: float = 30.0

    @property
    def name(self) -> str:
        return daemon_name(self.key)


def collect_rarely() -> None:
    """Lets the garbage collector look for cycles less often: records come and go by the thousand, and are none.

    With Python's own threshold of 700 it takes a fifth of the time of a stream of rows. What is there now, which is
    mostly code, is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def run(options: Options, log: Path, logs: LogKeeper) -> None:
    """Be this instance until SIGTERM, SIGINT or `POST /shutdown`; then drain and return.

    Raises AlreadyRunning, PortInUse, DaemonError. A broker that is not there yet is waited for.
    """
    collect_rarely()
    stopping = asyncio.Event()
    token = new_token()
    hello = Hello(PROTOCOL_VERSION, options.token, options.key, os.getpid(), socket.gethostname(), __version__)
    with NameLock.of("instance", options.name):
        async with AsyncExitStack() as stack:
            bound = stack.enter_context(bind(LOOPBACK, options.port))
            file = ConnectionFile.new("instance", options.name, url=url_of(bound), rpc="", token=token, log=str(log))
            instance = Instance(hello, InstanceOptions(options.brokers, drain=options.drain), logs)
            await stack.enter_async_context(instance)
            identity = Identity(file.id, options.name, __version__, os.getpid())
            app = create_app(instance, identity, token, stopping.set)
            await stack.enter_async_context(serving(app, bound, 1.0))
            _stop_on_signals(stopping)
            file.write()
            stack.callback(file.remove)
            _log.info("The instance %s runs; its health door is %s.", options.key, file.url)
            await stopping.wait()
            _log.info("The instance %s drains, for %g s at the most.", options.key, options.drain)


def _stop_on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
