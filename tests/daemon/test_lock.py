from __future__ import annotations

import os
import signal
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.daemon.lock import NameLock
from teleporter_lab.errors import AlreadyRunning, DaemonError, InvalidInput, Problem, StoreLocked

if TYPE_CHECKING:
    from pathlib import Path

RACER = """
import sys
from teleporter_lab.daemon.lock import NameLock
from teleporter_lab.errors import AlreadyRunning
sys.stdin.readline()
try:
    NameLock.of("broker", "main").acquire()
except AlreadyRunning:
    print("lost", flush=True)
    sys.exit(3)
print("won", flush=True)
sys.stdin.readline()
"""


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def say(process: subprocess.Popen[str], line: str = "go") -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_one_at_a_time() -> None:
    first, second = NameLock.of("broker", "main"), NameLock.of("broker", "main")
    first.acquire()
    first.acquire()
    assert first.held
    with pytest.raises(AlreadyRunning, match="A broker named main runs already"):
        second.acquire()
    assert not second.held
    first.release()
    first.release()
    with second:
        assert second.held
    assert not second.held


def test_names_and_kinds_do_not_meet() -> None:
    with NameLock.of("broker", "a"), NameLock.of("broker", "b"), NameLock.of("instance", "a"):
        pass
    with pytest.raises(InvalidInput):
        NameLock.of("broker", "a/b")


def test_an_error_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "store" / "lock"
    taken = StoreLocked("Another broker owns this store.", (Problem("path", str(path)),))
    with NameLock(path), pytest.raises(StoreLocked, match="owns this store") as caught:
        NameLock(path, taken).acquire()
    assert caught.value.problems == taken.problems
    with NameLock(path), pytest.raises(AlreadyRunning, match=str(path)):
        NameLock(path).acquire()


def test_only_its_user_may_open_it() -> None:
    with NameLock.of("broker", "main") as lock:
        assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600


def test_the_file_stays() -> None:
    lock = NameLock.of("broker", "main")
    with lock:
        pass
    assert lock.path.exists()


def test_a_path_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DaemonError, match="cannot be opened"):
        NameLock(tmp_path / "file" / "lock").acquire()
    with pytest.raises(DaemonError, match="cannot be read"):
        NameLock(tmp_path).holder()


@pytest.mark.parametrize("_", range(3))
def test_of_three_starts_at_once_one_wins(python: Any, _: int) -> None:
    racers = [start(python(RACER)) for _ in range(3)]
    for racer in racers:
        say(racer)
    results = [hear(racer) for racer in racers]
    assert sorted(results) == ["lost", "lost", "won"]
    winner = racers[results.index("won")]
    assert NameLock.of("broker", "main").holder() == winner.pid
    say(winner)
    for racer in racers:
        racer.communicate()
    assert sorted(racer.returncode for racer in racers) == [0, 3, 3]


def test_the_system_lets_go_when_the_holder_is_killed(python: Any) -> None:
    racer = start(python(RACER))
    say(racer)
    assert hear(racer) == "won"
    lock = NameLock.of("broker", "main")
    with pytest.raises(AlreadyRunning):
        lock.acquire()
    racer.send_signal(signal.SIGKILL)
    racer.communicate()
    assert lock.holder() is None
    with lock:
        assert lock.holder() == os.getpid()


def test_a_child_does_not_inherit_it(python: Any) -> None:
    with NameLock.of("broker", "main"):
        child = start(python("input()"))
    with NameLock.of("broker", "main"):
        child.communicate("go\n")


def test_the_holder_is_told_by_the_lock_not_by_the_number() -> None:
    """A number that was used again, here by this very process, holds nothing."""
    lock = NameLock.of("broker", "main")
    assert lock.holder() is None
    lock.path.parent.mkdir(parents=True)
    for text in (str(os.getpid()), "", "garbage", "99999999999999999999999"):
        lock.path.write_text(text)
        assert lock.holder() is None
    with lock:
        assert NameLock.of("broker", "main").holder() == os.getpid()
