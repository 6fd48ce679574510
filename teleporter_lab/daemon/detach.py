"""Starting a process that outlives its starter, and waiting until it can be asked.

Owns what the child inherits: nothing but its log and its environment without the marks of a kernel. It lives in a
session of its own, so ending a kernel or a terminal does not reach it; a container that ends does. Refuses to
know what a broker or an instance is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from teleporter_lab.daemon.clock import Clock, LoopClock
from teleporter_lab.daemon.connection_file import ConnectionFile, Kind
from teleporter_lab.daemon.logs import log_path, open_private, tail
from teleporter_lab.daemon.process import reap, running
from teleporter_lab.errors import DaemonError

if TYPE_CHECKING:
    from pathlib import Path

Check = Callable[[ConnectionFile], Awaitable[bool]]
"""Asks the daemon of a file whether it is the one and ready."""

LOST_RACE = 3
"""The exit code of a daemon that found its name taken."""

KERNEL_MARKS = ("JPY_PARENT_PID", "JPY_SESSION_NAME", "JPY_INTERRUPT_EVENT")
_QUOTED = 15  # lines of the log
_PAUSE = 0.05  # seconds between two looks


def spawn(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> int:
    """Starts `argv` detached, what it prints goes to `log`; returns its pid. `env` is added to our environment.

    Raises DaemonError when it cannot be started.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in KERNEL_MARKS}
    try:
        with open_private(log) as output:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env={**inherited, **(env or {})},
                close_fds=True,
                start_new_session=True,
            )
    except OSError as error:
        raise DaemonError(f"{argv[0]} cannot be started: {error}.") from error
    process.returncode = 0  # it is meant to outlive this object; `process.reap` looks after its end
    return process.pid


async def wait_ready(
    kind: Kind, name: str, pid: int, check: Check, timeout: float, *, clock: Clock | None = None
) -> ConnectionFile:
    """The connection file of the daemon of that name, once `check` says it is ready, `timeout` seconds at most.

    It may be that of another process which won a race for the name. Raises DaemonError, quoting the end of the log,
    when process `pid` ended or took too long.
    """
    time = clock or LoopClock()
    deadline = time.now() + timeout
    code: int | None = None
    while True:
        alive = running(pid)
        if code is None and not alive:
            code = reap(pid)
        file = ConnectionFile.read(kind, name)
        if file is not None and await check(file):
            return file
        if not alive and code != LOST_RACE:
            how = "" if code is None else f" with exit code {code}"
            raise DaemonError(f"The {kind} {name} ended{how} before it was ready.{_end_of_log(kind, name)}")
        if time.now() >= deadline:
            raise DaemonError(
                f"The {kind} {name} (pid {pid}) is not ready after {timeout:g} s.{_end_of_log(kind, name)}"
            )
        await time.sleep(_PAUSE)


def _end_of_log(kind: Kind, name: str) -> str:
    path = log_path(kind, name)
    lines = tail(path, _QUOTED)
    return "\n".join([f" The end of {path}:", *lines]) if lines else f" {path} is empty."
