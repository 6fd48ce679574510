"""A home of its own for each test, a clock that only moves when told, and real processes that are ended again."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import teleporter_lab
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.daemon.process import reap, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(str(teleporter_lab.__path__[0])).parent


class Clock:
    """Virtual time: every sleep is over at once. `on_sleep` is called each time."""

    def __init__(self) -> None:
        self.time = 0.0
        self.on_sleep: Callable[[], Any] = lambda: None

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.on_sleep()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`TELEPORTER_HOME`, for this process and its children."""
    for name in ("TELEPORTER_RUNTIME_DIR", "TELEPORTER_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path / "home"


@pytest.fixture
def pids() -> Iterator[list[int]]:
    """Whatever is in the list at the end of the test is killed."""
    found: list[int] = []
    yield found
    for pid in found:
        if running(pid):
            os.kill(pid, signal.SIGKILL)
        reap(pid)


@pytest.fixture
def python() -> Callable[[str], list[str]]:
    """The command line of a small program."""
    return lambda source: [sys.executable, "-c", source]


@pytest.fixture
def made() -> Callable[..., ConnectionFile]:
    """A connection file of this process."""

    def make(name: str = "main", **changes: Any) -> ConnectionFile:
        fields: dict[str, Any] = {
            "url": "http://127.0.0.1:9021",
            "rpc": "127.0.0.1:9022",
            "token": "very-secret",
            "log": "/log",
        }
        return ConnectionFile.new("broker", name, **{**fields, **changes})

    return make
