"""Real daemons below a folder of the test, started by the command line, killed and ended by their pids."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from teleporter_lab.blocking import BlockingClient
from teleporter_lab.client import Client
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.daemon.process import running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BROKER = "default"
NAMESPACE = "faults"
SECONDS = 120.0
PAUSE = 0.01


def instance_key(name: str) -> str:
    return f"/instance/{NAMESPACE}/{name}"


def daemon_name(name: str) -> str:
    return f"{NAMESPACE}--{name}"


class Plant:
    """A broker and instances as processes. `store` is the URL of the broker's; empty: the default one."""

    def __init__(self, store: str = "") -> None:
        self._store = store
        self._instances: set[str] = set()

    def command(self, *arguments: str) -> str:
        argv = [sys.executable, "-m", "teleporter_lab", *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    # ---- processes

    def start_broker(self) -> ConnectionFile:
        """A fresh one, or one in the place of the one that was killed, at the same ports."""
        last = ConnectionFile.read("broker", BROKER)
        ports = [int(where.rpartition(":")[2]) for where in (last.url, last.rpc)] if last else [0, 0]
        store = ["--store", self._store] if self._store else []
        self.command("broker", "start", "--port", str(ports[0]), "--rpc-port", str(ports[1]), *store)
        return self.broker()

    def start_instance(self, name: str = "one") -> ConnectionFile:
        self._instances.add(name)
        self.command("instance", "start", "--key", instance_key(name))
        return self.instance(name)

    def broker(self) -> ConnectionFile:
        return _there(ConnectionFile.read("broker", BROKER))

    def instance(self, name: str = "one") -> ConnectionFile:
        return _there(ConnectionFile.read("instance", daemon_name(name)))

    def stop_instance(self, name: str = "one") -> None:
        """Drained."""
        self.command("instance", "stop", "--key", instance_key(name))
        self._instances.discard(name)

    def kill(self, file: ConnectionFile) -> None:
        """SIGKILL, and gone when this returns."""
        os.kill(file.pid, signal.SIGKILL)
        wait_until(lambda: not running(file.pid), "the killed process is gone", 10)

    def end(self) -> None:
        """Whatever still lives is killed: a test that failed must leave nothing behind."""
        files = [ConnectionFile.read("instance", daemon_name(name)) for name in self._instances]
        for file in [*files, ConnectionFile.read("broker", BROKER)]:
            if file is not None and running(file.pid):
                os.kill(file.pid, signal.SIGKILL)

    # ---- configuration

    def client(self) -> BlockingClient:
        return BlockingClient(Client.find())

    def configure(
        self, client: BlockingClient, task: str, documents: Mapping[str, Any], instances: tuple[str, ...] = ("one",)
    ) -> None:
        """Saves `documents`, whose streams all lie under `/stream/faults/<task>/`, and gives them to `instances`."""
        group = f"/group/{NAMESPACE}/{task}"
        for key, value in documents.items():
            client.save(key, value)
        client.save(group, {"tasks": [f"/task/{NAMESPACE}/{task}"], "instances": [instance_key(n) for n in instances]})
        existing = documents.get(f"/task/{NAMESPACE}/{task}", {})
        client.save(f"/task/{NAMESPACE}/{task}", {**existing, "group": group})
        for key in documents:
            if key.startswith(f"/stream/{NAMESPACE}/{task}/"):
                name = key.rpartition("/")[2]
                client.save(f"/partition/{NAMESPACE}/{task}/{name}", {"keys": [f"/stream/{NAMESPACE}/{task}/{name}"]})
        client.refresh(group)

    def until(
        self,
        client: BlockingClient,
        stream: str,
        holds: Callable[[dict[str, Any]], bool],
        seconds: float = SECONDS,
        may_fail: bool = False,
    ) -> dict[str, Any]:
        """The stream's view once `holds` does; fails with the view when it takes too long or the stream fails."""
        deadline = time.monotonic() + seconds
        while not holds(view := client.streams(stream)[0]):
            assert time.monotonic() < deadline, json.dumps(view, indent=1)
            assert may_fail or view["status"] != "FAILURE", json.dumps(view, indent=1)
            time.sleep(PAUSE)
        return view


def wait_until(holds: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Fails with `what` when it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(PAUSE)


def _there(file: ConnectionFile | None) -> ConnectionFile:
    assert file is not None
    return file


def rss(pid: int) -> int:
    """Bytes of memory that a process has."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
