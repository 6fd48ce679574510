"""The one door from a notebook cell to everything asynchronous: a background thread with its own event loop.

Owns the thread, the blocking client of each broker and the embedded instance, so that none of them stops while a cell
is busy. Refuses to print or display anything.
"""

from __future__ import annotations

import getpass
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


def embedded_key(namespace: str) -> str:
    """The key of this kernel's embedded instance: `/instance/<ns>/embedded-<user>-<pid>`."""
    user = re.sub(r"[^A-Za-z0-9_.-]", "-", getpass.getuser())
    return f"/instance/{namespace}/embedded-{user}-{os.getpid()}"


class Bridge:
    """One background loop for this kernel: blocking clients, embedded instances, widget feeds."""

    def __init__(self) -> None:
        self._thread = LoopThread("teleporter-bridge")
        self._clients: dict[str, BlockingClient] = {}
        self._instances: dict[str, Instance] = {}

    def client(self, name: str) -> BlockingClient:
        """A client of the broker called `name`, found anew when that broker was started anew. Raises Unreachable."""
        found = Client.find(None if name == DEFAULT_NAME else name)
        known = self._clients.get(name)
        if known is not None and known.url == found.url:
            self._thread.run(found.close())
            return known
        self._clients[name] = BlockingClient(found, self._thread)
        return self._clients[name]

    def embed(self, namespace: str, name: str) -> str:
        """The key of an instance that runs in this kernel, linked to the broker `name`; started by the first call.

        Raises Unreachable when that broker does not run on this machine.
        """
        key = embedded_key(namespace)
        if key not in self._instances:
            broker = ConnectionFile.read("broker", name)
            if broker is None:
                raise Unreachable(f"No broker {name} runs on this machine; start it with %teleport broker start.")
            self._instances[key] = self._thread.run(self._start(key, broker))
        return key

    async def _start(self, key: str, broker: ConnectionFile) -> Instance:
        hello = Hello(PROTOCOL_VERSION, broker.token, key, os.getpid(), socket.gethostname(), __version__)
        options = InstanceOptions(parse_brokers(broker.rpc), ephemeral=True, drain=5.0)
        instance = Instance(hello, options, LogKeeper())
        await instance.__aenter__()
        try:
            await instance.link.wait_ready(10.0)
        except BaseException:
            await instance.__aexit__(None, None, None)
            raise
        return instance

    @property
    def embedded(self) -> list[str]:
        """Keys of the instances that run in this kernel."""
        return list(self._instances)

    @property
    def thread(self) -> LoopThread:
        return self._thread

    def close(self) -> None:
        """Drains the embedded instances, commits their positions, closes the clients and ends the thread."""
        for key in list(self._instances):
            self._thread.run(self._instances.pop(key).__aexit__(None, None, None))
        for client in self._clients.values():
            client.close()
        self._thread.close()
