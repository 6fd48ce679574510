"""The command line in this process and in others, with a home of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.blocking import LoopThread
from teleporter_lab.broker.daemon import Options, Running, running
from teleporter_lab.cli import main
from teleporter_lab.daemon.connection_file import ConnectionFile

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "a-token-of-the-tests"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("TELEPORTER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path / "home"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in this process."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        code = caught.value.code
        assert isinstance(code, int)
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def process() -> Run:
    """Runs a command line in a process of its own."""

    def run(*arguments: str) -> Outcome:
        done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=60)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "teleporter_lab", *arguments]


@pytest.fixture
def broker() -> Iterator[Running]:
    """A broker in a thread, with a connection file."""
    with LoopThread() as loop:
        stack = AsyncExitStack()
        options = Options(port=0, rpc_port=0, store="memory:", token=TOKEN, drain=1.0)
        broker = loop.run(stack.enter_async_context(running(options)))
        file = ConnectionFile.new("broker", "default", url=broker.url, rpc=broker.rpc, token=TOKEN, log="")
        replace(file, id=broker.id).write()
        yield broker
        loop.run(stack.aclose())


@pytest.fixture
def ends() -> Iterator[Callable[[int], None]]:
    """Ends the processes it was told of, one by one, by number, if they are still there."""
    pids: list[int] = []
    yield pids.append
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
