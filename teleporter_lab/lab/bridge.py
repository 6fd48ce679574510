"""The one door from a notebook cell to everything asynchronous: a background thread with its own event loop.

Owns the thread, the blocking client of each broker and the embedded instance, so that none of them stops while a cell
is busy. Refuses to print or display anything.
"""

from __future__ import annotations

import getpass
import logging
import os
import re
import socket

from teleporter_lab._version import __version__
from teleporter_lab.blocking import BlockingClient, LoopThread
from teleporter_lab.client import DEFAULT_NAME, Client
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.errors import Unreachable
from teleporter_lab.instance.instance import Instance, InstanceOptions
from teleporter_lab.instance.link import parse_brokers
from teleporter_lab.instance.log_tail import LogKeeper
from teleporter_lab.rpc.messages import PROTOCOL_VERSION, Hello

PACKAGE = "teleporter_lab"
"""The logger whose lines the embedded instances keep for who follows them."""

LINK_SECONDS = 10.0
"""How long the broker may take to let an embedded instance in."""

DRAIN = 5.0
"""Seconds an embedded stream may take to hand down what it has read."""


def embedded_key(namespace: str) -> str:
    """The key of this kernel's embedded instance: `/instance/<ns>/embedded-<user>-<pid>`."""
    user = re.sub(r"[^A-Za-z0-9_.-]", "-", _user())
    return f"/instance/{namespace}/embedded-{user}-{os.getpid()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # a container may run as a number that has no name
        return str(os.getuid())


class Bridge:
    """One background loop for this kernel: blocking clients, embedded instances, widget feeds."""

    def __init__(self) -> None:
        self._thread = LoopThread("teleporter-bridge")
        self._clients: dict[str, BlockingClient] = {}
        self._instances: dict[tuple[str, str], tuple[Instance, ConnectionFile]] = {}
        self._logs = LogKeeper()
        self._logs.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.getLogger(PACKAGE).addHandler(self._logs)

    def client(self, name: str) -> BlockingClient:
        """A client of the broker called `name`, found anew when that broker was started anew. Raises Unreachable."""
        found = Client.find(None if name == DEFAULT_NAME else name)
        known = self._clients.get(name)
        if known is not None and known.credentials == found.credentials:
            self._thread.run(found.close())
            return known
        if known is not None:
            known.close()
        self._clients[name] = BlockingClient(found, self._thread)
        return self._clients[name]

    def embed(self, namespace: str, name: str) -> str:
        """The key of an instance that runs in this kernel, linked to the broker `name`; started by the first call.

        One whose broker was started anew elsewhere is started anew as well. Raises Unreachable when that broker does
        not run on this machine.
        """
        key = embedded_key(namespace)
        broker = ConnectionFile.read("broker", name)
        if broker is None:
            raise Unreachable(f"No broker {name} runs on this machine; start it with %teleport broker start.")
        instance, known = self._instances.get((key, name), (None, None))
        if known is not None and (known.rpc, known.token) == (broker.rpc, broker.token):
            return key
        if instance is not None:
            del self._instances[key, name]
            self._thread.run(instance.__aexit__(None, None, None))
        self._instances[key, name] = self._thread.run(self._start(key, broker)), broker
        return key

    async def _start(self, key: str, broker: ConnectionFile) -> Instance:
        hello = Hello(PROTOCOL_VERSION, broker.token, key, os.getpid(), socket.gethostname(), __version__)
        options = InstanceOptions(parse_brokers(broker.rpc), ephemeral=True, drain=DRAIN)
        instance = Instance(hello, options, self._logs)
        await instance.__aenter__()
        try:
            await instance.link.wait_ready(LINK_SECONDS)
        except BaseException:
            await instance.__aexit__(None, None, None)
            raise
        return instance

    @property
    def embedded(self) -> list[str]:
        """Keys of the instances that run in this kernel."""
        return [key for key, _ in self._instances]

    @property
    def thread(self) -> LoopThread:
        return self._thread

    def close(self) -> None:
        """Drains the embedded instances, commits their positions, closes the clients and ends the thread.

        A second call does nothing.
        """
        while self._instances:
            _, (instance, _) = self._instances.popitem()
            self._thread.run(instance.__aexit__(None, None, None))
        while self._clients:
            self._clients.popitem()[1].close()
        self._thread.close()
        logging.getLogger(PACKAGE).removeHandler(self._logs)
