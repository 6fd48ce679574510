"""start, stop, status, list: the verbs that broker and instance share.

Owns their order and their proofs. Refuses to speak HTTP (the caller brings `Probe` and `Shutdown`) and to signal a
process by its number alone: only one that answered, or that holds the lock of its name.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from teleporter_lab.daemon.clock import Clock, LoopClock
from teleporter_lab.daemon.connection_file import ConnectionFile, Kind
from teleporter_lab.daemon.detach import spawn, wait_ready
from teleporter_lab.daemon.lock import NameLock
from teleporter_lab.daemon.logs import log_path
from teleporter_lab.daemon.process import reap, running
from teleporter_lab.errors import AlreadyRunning, DaemonError, NotRunning, TeleporterError

Probe = Callable[[ConnectionFile], Awaitable[str]]
"""An authenticated health call: the id that the daemon answers with. Raises a TeleporterError when it does not."""

Shutdown = Callable[[ConnectionFile], Awaitable[None]]
"""An authenticated call that tells the daemon to end. Raises a TeleporterError when it does not answer."""

_PAUSE = 0.05  # seconds between two looks


class Stopped(StrEnum):
    """How a daemon was brought to end."""

    ASKED = "asked"
    SIGNALLED = "signalled"


@dataclass(frozen=True, slots=True)
class Status:
    """One daemon: what its file says and whether it answers."""

    file: ConnectionFile
    alive: bool


async def alive(file: ConnectionFile, probe: Probe) -> bool:
    """Whether the daemon of `file` lives: it answers, to its token, with its id. A pid alone proves nothing."""
    try:
        return await probe(file) == file.id
    except TeleporterError:
        return False


async def status(kind: Kind, name: str, probe: Probe) -> Status:
    """Raises NotRunning where there is no connection file of that name."""
    file = ConnectionFile.read(kind, name)
    if file is None:
        raise NotRunning(f"No {kind} named {name} runs.")
    return Status(file, await alive(file, probe))


async def listing(kind: Kind, probe: Probe) -> list[Status]:
    """All daemons of that kind that left a file, alive or not."""
    return [Status(file, await alive(file, probe)) for file in ConnectionFile.all(kind)]


async def start(
    kind: Kind,
    name: str,
    argv: Sequence[str],
    probe: Probe,
    *,
    timeout: float = 30.0,
    env: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> ConnectionFile:
    """Starts a detached daemon and returns its file when it answers; of several starts at once one wins.

    Raises AlreadyRunning, and DaemonError with the end of its log.
    """

    async def check(found: ConnectionFile) -> bool:
        return await alive(found, probe)

    file = ConnectionFile.read(kind, name)
    if file is not None:
        if await check(file):
            raise AlreadyRunning(f"A {kind} named {name} runs already, at {file.url}.")
        reap(file.pid)
    pid = spawn(argv, log_path(kind, name), env)
    return await wait_ready(kind, name, pid, check, timeout, clock=clock)


async def stop(
    file: ConnectionFile, shutdown: Shutdown, *, patience: float = 40.0, clock: Clock | None = None
) -> Stopped:
    """Asks the daemon to end, sends SIGTERM if that does not help, and waits `patience` seconds for each.

    Raises NotRunning where none lives (a file that was left behind is removed), DaemonError where it does not end.
    """
    time = clock or LoopClock()
    asked = await _ask(file, shutdown)
    if not file.here:
        if asked:
            return Stopped.ASKED
        raise DaemonError(f"The {file.kind} {file.name} runs on {file.host} and does not answer from here.")
    if asked and await _ended(file.pid, patience, time):
        return _gone(file, Stopped.ASKED)
    if not asked and NameLock.of(file.kind, file.name).holder() != file.pid:
        file.remove()
        raise NotRunning(f"No {file.kind} named {file.name} runs; the connection file it left behind is removed.")
    _terminate(file.pid)
    if await _ended(file.pid, patience, time):
        return _gone(file, Stopped.SIGNALLED)
    raise DaemonError(f"The {file.kind} {file.name} (pid {file.pid}) does not end, neither asked nor by SIGTERM.")


async def _ask(file: ConnectionFile, shutdown: Shutdown) -> bool:
    try:
        await shutdown(file)
    except TeleporterError:
        return False
    return True


def _terminate(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:  # it ended meanwhile, which is what we want
        return


async def _ended(pid: int, patience: float, clock: Clock) -> bool:
    deadline = clock.now() + patience
    while running(pid):
        if clock.now() >= deadline:
            return False
        await clock.sleep(_PAUSE)
    reap(pid)
    return True


def _gone(file: ConnectionFile, how: Stopped) -> Stopped:
    file.remove()
    return how
