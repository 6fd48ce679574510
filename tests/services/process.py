"""A server as a process of the tests' own: started in a folder, waited for, ended or killed by its pid.

Owns the process, its port and its log. Refuses to know a server: each says how it is started and when it is ready.
"""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

from tests.services import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SECONDS = 60.0
"""How long a start or an end may take."""
PORTS = range(20_000, 32_000)
"""Below those that the system gives to outgoing connections: one of these would take the port of a server that is
down, or be connected to itself."""


def free_port() -> int:
    """A port of the loopback where nobody listens."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


class ServerProcess:
    """One process in a folder; it may be started again after its end, and adds to its log then."""

    def __init__(self, name: str, folder: Path, end: signal.Signals = signal.SIGTERM) -> None:
        self.name = name
        self.folder = folder
        self._end = end
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def log(self) -> str:
        """What it has said since it was started last."""
        with (self.folder / "log").open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    @property
    def runs(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process that runs. Raises Unavailable when there is none."""
        if self._process is None:
            raise Unavailable(f"{self.name} does not run.")
        return self._process.pid

    def launch(
        self,
        command: Sequence[Any],
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        **user: Any,
    ) -> None:
        """Starts it and returns when it is `ready`. Raises Unavailable with its log when it does not get there."""
        with (self.folder / "log").open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=environment, **user
            )
        deadline = time.monotonic() + SECONDS
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                said = "\n".join(self.log.strip().splitlines()[-20:])
                raise Unavailable(f"{self.name} does not start: {said}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals | None = None) -> None:
        """Ends it in good order, or in the order that the signal `how` means; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how or self._end)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """Ends it as a crash would; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
