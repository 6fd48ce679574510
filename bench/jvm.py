"""Apache Pekko Streams, the ancestor's engine, as a contender: one warm JVM for each workload."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import IO, Self, cast

HERE = Path(__file__).parent / "pekko"
WARM_SECONDS = 4.0
"""How long a workload runs before it is measured, so that the JVM has compiled it."""


def lacking() -> str:
    """What this machine lacks to run it, or nothing."""
    absent = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    return f"{' and '.join(absent)} not installed" if absent else ""


class Jvm:
    """Answers `seconds(n)` for one workload of `PekkoBench`. A context manager; leaving it ends the JVM."""

    def __init__(self, workload: str) -> None:
        self._workload = workload

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["sh", str(HERE / "run.sh")], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def warm(self, n: int) -> None:
        end = time.monotonic() + WARM_SECONDS
        while time.monotonic() < end:
            self.seconds(n)

    def seconds(self, n: int) -> float:
        """How long n elements took. Raises RuntimeError when the JVM has ended."""
        stdin, stdout = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        stdin.write(f"{self._workload} {n}\n")
        stdin.flush()
        answer = stdout.readline().split()
        if len(answer) != 3:
            raise RuntimeError(f"The JVM gave no answer to {self._workload}.")
        return int(answer[1]) / 1e9

    def __exit__(self, *_: object) -> None:
        cast("IO[str]", self._process.stdin).close()
        self._process.wait(30)
        cast("IO[str]", self._process.stdout).close()
