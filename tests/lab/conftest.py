"""A real broker for all tests of a module, and for each test a namespace of its own at it."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.config.key import Key
from teleporter_lab.lab.bridge import Bridge, embedded_key
from tests.instance.seat import GATED, broker_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from teleporter_lab.blocking import BlockingClient
    from teleporter_lab.broker.daemon import Running

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with broker_in_thread(tmp_path_factory.mktemp("home")) as found:
        yield found


@dataclass
class Space:
    """A namespace of one test: its files, its keys, and the bridge of its kernel."""

    ns: str
    folder: Path
    bridge: Bridge

    @property
    def client(self) -> BlockingClient:
        return self.bridge.client("default")

    @property
    def stream(self) -> Key:
        return Key.parse(f"/stream/{self.ns}/task/copy")

    @property
    def embedded(self) -> Key:
        return Key.parse(embedded_key(self.ns))

    @property
    def gated(self) -> str:
        return GATED.replace("GATE", repr(str(self.folder / "gate")))

    @property
    def ends(self) -> dict[str, dict[str, Any]]:
        """A source of 200 rows and a sink for them."""
        rows = self.folder / "in.csv"
        rows.write_text("id\n" + "".join(f"{n}\n" for n in range(200)))
        source = {"category": "csv", "client": {"path": str(rows), "types": {"id": "int"}}}
        lines = {"path": str(self.output), "format": "jsonl", "batchTime": "10.millis"}
        below = f"{self.ns}/task/copy"
        return {f"/source/{below}/rows": source, f"/sink/{below}/lines": {"category": "file", "client": lines}}

    @property
    def output(self) -> Path:
        return self.folder / "out.jsonl"

    @property
    def written(self) -> list[str]:
        return self.output.read_text().splitlines() if self.output.exists() else []

    def save_ends(self) -> None:
        for key, value in self.ends.items():
            self.client.save(key, value)

    def keys(self) -> list[str]:
        """Everything that is kept in this namespace."""
        entries = self.client.range("/", limit=10_000)
        return [entry["key"] for entry in entries if entry["key"].split("/")[2] == self.ns]

    def until(self, status: str) -> dict[str, Any]:
        """The stream's view once it has that status: the broker says so by itself."""
        while (view := self.client.stream(str(self.stream)))["status"] != status:
            threading.Event().wait(0.01)
        return view


@pytest.fixture
def space(shared_broker: Running, tmp_path: Path) -> Iterator[Space]:
    found = Space(f"test{next(NUMBERS)}", tmp_path, Bridge())
    yield found
    (tmp_path / "gate").touch()
    found.bridge.close()
