from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.daemon.detach import spawn, wait_ready
from teleporter_lab.daemon.logs import log_path, open_private, tail
from teleporter_lab.daemon.process import running
from teleporter_lab.errors import DaemonError

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.daemon.connection_file import ConnectionFile

TELL = """
import json, os, sys
fds = []
for fd in range(3, 64):
    try:
        os.fstat(fd)
    except OSError:
        continue
    fds.append(os.readlink(f"/proc/self/fd/{fd}"))
told = {"pid": os.getpid(), "session": os.getsid(0), "cwd": os.getcwd(), "env": dict(os.environ), "fds": fds}
told["stdin"] = os.readlink("/proc/self/fd/0")
with open(sys.argv[1], "w") as file:
    json.dump(told, file)
print("out")
print("err", file=sys.stderr)
with open(sys.argv[2]) as fifo:
    fifo.read()
"""

STARTER = """
import sys
from pathlib import Path
from teleporter_lab.daemon.detach import spawn
print(spawn(sys.argv[2:], Path(sys.argv[1])))
"""


async def yes(file: ConnectionFile) -> bool:
    return True


async def no(file: ConnectionFile) -> bool:
    return False


def test_it_outlives_its_starter_and_inherits_nothing(
    python: Any, tmp_path: Path, pids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    monkeypatch.setenv("KEPT", "yes")
    told, fifo, log = tmp_path / "told.json", tmp_path / "fifo", tmp_path / "logs" / "log"
    os.mkfifo(fifo)
    opened = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(opened, True)
    command = [*python(STARTER), str(log), *python(TELL), str(told), str(fifo)]
    starter = subprocess.run(command, capture_output=True, text=True, check=True, pass_fds=[opened])
    os.close(opened)
    pid = int(starter.stdout)
    pids.append(pid)
    end = os.open(fifo, os.O_WRONLY)  # opens when the child has come so far
    assert running(pid)
    child = json.loads(told.read_text())
    assert (child["pid"], child["session"]) == (pid, pid)
    assert child["session"] != os.getsid(0)
    assert child["cwd"] == str(log.parent)
    assert child["fds"] == []
    assert child["stdin"] == "/dev/null"
    assert "JPY_PARENT_PID" not in child["env"]
    assert "JPY_SESSION_NAME" not in child["env"]
    assert child["env"]["KEPT"] == "yes"
    os.close(end)


def test_what_it_prints_goes_to_the_log(python: Any, tmp_path: Path, pids: list[int]) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    source = "import os, sys; print(os.environ['MARK'], flush=True); print('err', file=sys.stderr)"
    pid = spawn(python(source), log, {"MARK": "out"})
    pids.append(pid)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert tail(log, 9) == ["before", "out", "err"]


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="no-such-program cannot be started"):
        spawn(["/no-such-program"], tmp_path / "log")


async def test_it_is_ready_when_it_says_so(made: Any, clock: Any) -> None:
    file = made()
    asked: list[ConnectionFile] = []

    async def third_time(found: ConnectionFile) -> bool:
        asked.append(found)
        return len(asked) == 3

    clock.on_sleep = file.write
    assert await wait_ready("broker", "main", os.getpid(), third_time, 10, clock=clock) == file
    assert asked == [file] * 3


async def test_one_that_ended_is_told_with_the_end_of_its_log(python: Any, pids: list[int], clock: Any) -> None:
    source = "import sys; print('\\n'.join(map(str, range(100)))); sys.exit('the port is taken')"
    pid = spawn(python(source), log_path("broker", "main"))
    pids.append(pid)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(DaemonError, match="ended with exit code 1 before it was ready") as caught:
        await wait_ready("broker", "main", pid, yes, 10, clock=clock)
    lines = str(caught.value).splitlines()
    assert str(log_path("broker", "main")) in lines[0]
    assert lines[-2:] == ["99", "the port is taken"]
    assert len(lines) == 16


async def test_one_that_is_nobody_anymore(clock: Any) -> None:
    with pytest.raises(DaemonError, match=r"ended before it was ready\. .* is empty"):
        await wait_ready("broker", "main", 2**22 + 1, yes, 10, clock=clock)


async def test_one_that_takes_too_long(made: Any, clock: Any) -> None:
    made().write()
    with open_private(log_path("broker", "main")) as log:
        log.write(b"still loading\n")
    with pytest.raises(DaemonError, match=f"pid {os.getpid()}.* not ready after 10 s") as caught:
        await wait_ready("broker", "main", os.getpid(), no, 10, clock=clock)
    assert str(caught.value).endswith("still loading")
    assert clock.now() == pytest.approx(10, abs=0.1)


async def test_the_loser_of_a_race_waits_for_the_winners_file(
    python: Any, made: Any, pids: list[int], clock: Any
) -> None:
    pid = spawn(python("import sys; sys.exit(3)"), log_path("broker", "main"))
    pids.append(pid)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    winner = made()

    def later() -> None:
        if clock.now() > 5:
            winner.write()

    clock.on_sleep = later
    assert await wait_ready("broker", "main", pid, yes, 10, clock=clock) == winner


async def test_a_file_left_behind_is_not_taken_for_the_new_one(
    python: Any, made: Any, pids: list[int], clock: Any
) -> None:
    stale, fresh = made(), made()
    stale.write()

    async def check(found: ConnectionFile) -> bool:
        return found.id == fresh.id

    clock.on_sleep = fresh.write
    assert await wait_ready("broker", "main", os.getpid(), check, 10, clock=clock) == fresh


async def test_a_garbage_file(made: Any, clock: Any) -> None:
    file = made()
    file.write()
    file.path.write_text("{")
    with pytest.raises(DaemonError, match="delete it"):
        await wait_ready("broker", "main", os.getpid(), yes, 10, clock=clock)
