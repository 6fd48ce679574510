"""Real daemons below a folder of the test, started by the command line and ended by their pids."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from teleporter_lab.blocking import BlockingClient
from teleporter_lab.client import Client
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.daemon.process import running
from teleporter_lab.demo.flights import Files, prepare
from teleporter_lab.demo.story import INSTANCE, INSTANCE_NAME, STREAM, notebook_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Site:
    """A broker and an instance as processes, and the stream of the first notebook, without its throttle."""

    def __init__(self, folder: Path) -> None:
        self.files: Files = prepare(folder)
        self.kills: list[str] = []

    def command(self, *arguments: str) -> str:
        argv = [sys.executable, "-m", "teleporter_lab", *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def start_broker(self, port: int = 0, rpc_port: int = 0) -> ConnectionFile:
        self.command("broker", "start", "--port", str(port), "--rpc-port", str(rpc_port))
        return self.file("broker")

    def start_instance(self) -> ConnectionFile:
        self.command("instance", "start", "--key", INSTANCE)
        return self.file("instance")

    def file(self, kind: Any) -> ConnectionFile:
        found = ConnectionFile.read(kind, "default" if kind == "broker" else INSTANCE_NAME)
        assert found is not None
        return found

    def kill(self, kind: str) -> ConnectionFile:
        file = self.file(kind)
        os.kill(file.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while running(file.pid):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return file

    def end(self) -> None:
        """Whatever still lives is killed: a test that failed must leave nothing behind."""
        for kind in ("instance", "broker"):
            file = ConnectionFile.read(kind, "default" if kind == "broker" else INSTANCE_NAME)
            if file is not None and running(file.pid):
                os.kill(file.pid, signal.SIGKILL)

    def client(self) -> BlockingClient:
        return BlockingClient(Client.find())

    def configure(self, client: BlockingClient) -> None:
        """The documents and the template of the notebook."""
        cells = ["".join(cell["source"]) for cell in json.loads(notebook_path().read_text())["cells"]]
        documents = next(cell for cell in cells if cell.startswith("%%teleport config apply"))
        template = next(cell for cell in cells if cell.startswith("%%teleport deploy")).partition("\n")[2]
        arguments = {"csv": self.files.csv, "database": self.files.database}
        client.save("/variable/demo/files", {"arguments": arguments})
        for key, value in yaml.safe_load(documents.partition("\n")[2]).items():
            client.save(key, value or {})
        client.save(STREAM, {"template": template.replace(".throttle(4_000, per=0.1)", "")})
        client.save("/group/demo/one", {"tasks": ["/task/demo/flights"], "instances": [INSTANCE]})
        client.save("/task/demo/flights", {"group": "/group/demo/one"})
        client.save("/partition/demo/flights/all", {"keys": ["/stream/demo/flights/.*"]})
        client.refresh("/group/demo/one")

    def until(
        self, client: BlockingClient, holds: Callable[[dict[str, Any]], bool], seconds: float = 60
    ) -> dict[str, Any]:
        """The stream's view once `holds` does; fails with the view when it takes too long."""
        deadline = time.monotonic() + seconds
        while not holds(view := client.streams(STREAM)[0]):
            assert time.monotonic() < deadline, view
            assert view["status"] != "FAILURE", view
            time.sleep(0.01)
        return view


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    found = Site(tmp_path / "data")
    yield found
    found.end()
