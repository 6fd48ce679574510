from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from typing import Any

import pytest

from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.daemon.lifecycle import Status, Stopped, alive, listing, start, status, stop
from teleporter_lab.daemon.lock import NameLock
from teleporter_lab.daemon.logs import log_path, tail
from teleporter_lab.daemon.process import running
from teleporter_lab.errors import AlreadyRunning, DaemonError, NotRunning, Unauthorized, Unreachable

# A daemon in small: a lock, a file, and a socket where "id TOKEN" and "stop TOKEN" are answered.
DAEMON = """
import signal, socket, sys
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.daemon.lock import NameLock
from teleporter_lab.errors import AlreadyRunning

name, manner = sys.argv[1:]
try:
    NameLock.of("broker", name).acquire()
except AlreadyRunning as error:
    print(error)
    sys.exit(3)
if manner == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", 0))
listener.settimeout(30)  # one that came too late for its race, and for the end of its test, ends by itself
rpc = "127.0.0.1:%d" % listener.getsockname()[1]
file = ConnectionFile.new("broker", name, url="http://x", rpc=rpc, token="secret", log="")
file.write()
print("ready", flush=True)
while True:
    client = listener.accept()[0]
    with client:
        verb, token = client.recv(100).decode().split()
        if token != file.token:
            client.sendall(b"unauthorized")
        elif verb == "id":
            client.sendall(file.id.encode())
        elif manner != "deaf":
            client.sendall(b"bye")
            file.remove()
            sys.exit(0)
"""


async def say(file: ConnectionFile, verb: str) -> str:
    host, port = file.rpc.split(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError as error:
        raise Unreachable("Nobody there.") from error
    writer.write(f"{verb} {file.token}".encode())
    try:
        answer = (await reader.read()).decode()
    except ConnectionError as error:
        raise Unreachable("It hung up.") from error
    finally:
        writer.close()
    if answer == "unauthorized":
        raise Unauthorized("Not the right token.")
    return answer


async def probe(file: ConnectionFile) -> str:
    return await say(file, "id")


async def shutdown(file: ConnectionFile) -> None:
    await say(file, "stop")


async def nobody(file: ConnectionFile) -> Any:
    raise Unreachable("Nobody there.")


def command(name: str = "main", manner: str = "polite") -> list[str]:
    return [sys.executable, "-c", DAEMON, name, manner]


async def started(pids: list[int], *arguments: str) -> ConnectionFile:
    file = await start("broker", arguments[0] if arguments else "main", command(*arguments), probe)
    pids.append(file.pid)
    return file


# ---- start


async def test_start_and_stop(pids: list[int]) -> None:
    file = await started(pids)
    assert file == ConnectionFile.read("broker", "main")
    assert running(file.pid)
    assert await status("broker", "main", probe) == Status(file, alive=True)
    assert NameLock.of("broker", "main").holder() == file.pid
    assert await stop(file, shutdown) is Stopped.ASKED
    assert not running(file.pid)
    assert not file.path.exists()
    assert tail(log_path("broker", "main"), 5) == ["ready"]


async def test_a_second_start_is_refused(pids: list[int]) -> None:
    await started(pids)
    with pytest.raises(AlreadyRunning, match="A broker named main runs already, at http://x"):
        await started(pids)


@pytest.mark.parametrize("_", range(3))
async def test_three_starts_at_once_find_one_daemon(pids: list[int], _: int) -> None:
    files = await asyncio.gather(*(started(pids) for _ in range(3)))
    assert len({file.id for file in files}) == 1
    assert NameLock.of("broker", "main").holder() == files[0].pid


async def test_the_next_start_replaces_what_a_kill_left_behind(pids: list[int]) -> None:
    first = await started(pids)
    os.kill(first.pid, signal.SIGKILL)
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    assert first.path.exists()
    assert not await alive(first, probe)
    second = await started(pids)
    assert second.id != first.id
    assert ConnectionFile.read("broker", "main") == second
    assert await alive(second, probe)


async def test_a_daemon_that_does_not_come_up() -> None:
    with pytest.raises(DaemonError, match="exit code 1") as caught:
        await start("broker", "main", [sys.executable, "-c", "raise SystemExit('no such store')"], probe)
    assert str(caught.value).endswith("no such store")


async def test_a_garbage_file_stops_a_start(made: Any) -> None:
    made().write()
    made().path.write_text("garbage")
    with pytest.raises(DaemonError, match="delete it"):
        await start("broker", "main", command(), probe)


# ---- alive, status, list


async def test_alive_is_an_answer_with_the_same_id(made: Any) -> None:
    file = made()

    async def same(asked: ConnectionFile) -> str:
        return asked.id

    async def other(asked: ConnectionFile) -> str:
        return "another"

    assert await alive(file, same)
    assert not await alive(file, other)
    assert not await alive(file, nobody)


async def test_a_wrong_token_is_not_alive(pids: list[int]) -> None:
    file = await started(pids)
    assert not await alive(replace(file, token="wrong"), probe)


async def test_status_of_nobody() -> None:
    with pytest.raises(NotRunning, match="No broker named main runs"):
        await status("broker", "main", probe)


async def test_listing(pids: list[int], made: Any) -> None:
    file = await started(pids, "real")
    stale = made("stale", rpc="127.0.0.1:1")
    stale.write()
    assert await listing("broker", probe) == [Status(file, alive=True), Status(stale, alive=False)]
    assert await listing("instance", probe) == []


# ---- stop


async def test_one_that_does_not_answer_gets_sigterm(pids: list[int]) -> None:
    file = await started(pids)
    assert await stop(file, nobody) is Stopped.SIGNALLED
    assert not running(file.pid)
    assert not file.path.exists()


class Patient:
    """Time that passes at once until the first second is over, and not at all from then on."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if self.time < 1.0:
            self.time += seconds
        await asyncio.sleep(0)


async def test_one_that_answers_and_goes_on_gets_sigterm(pids: list[int]) -> None:
    file = await started(pids)

    async def in_vain(asked: ConnectionFile) -> None:
        assert await probe(asked) == asked.id

    assert await stop(file, in_vain, patience=1.0, clock=Patient()) is Stopped.SIGNALLED


async def test_one_that_ends_by_nothing_is_reported(pids: list[int], clock: Any) -> None:
    file = await started(pids, "main", "deaf")
    with pytest.raises(DaemonError, match=f"pid {file.pid}. does not end, neither asked nor by SIGTERM"):
        await stop(file, shutdown, clock=clock)
    assert running(file.pid)
    assert file.path.exists()


async def test_what_a_kill_left_behind_is_removed_and_nobody_is_signalled(made: Any) -> None:
    """The number in the file is that of this very process, as if it had been used again."""
    file = made()
    file.write()
    with pytest.raises(NotRunning, match="left behind is removed"):
        await stop(file, nobody)
    assert not file.path.exists()


async def test_the_lock_of_another_process_is_no_leave_to_signal(pids: list[int], made: Any) -> None:
    running_one = await started(pids)
    stale = made()
    with pytest.raises(NotRunning):
        await stop(stale, nobody)
    assert running(running_one.pid)
    assert running_one.path.exists()


async def test_one_on_another_host_can_only_be_asked(made: Any) -> None:
    file = replace(made(), host="elsewhere")

    async def obedient(asked: ConnectionFile) -> None:
        return None

    assert await stop(file, obedient) is Stopped.ASKED
    with pytest.raises(DaemonError, match="runs on elsewhere"):
        await stop(file, nobody)
