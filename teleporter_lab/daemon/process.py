"""Whether a process still runs. Owns nothing; refuses to say that it is the one you mean: numbers are used again."""

from __future__ import annotations

import os
from pathlib import Path


def running(pid: int) -> bool:
    """Whether a process of that number runs; one that has ended and was not waited for does not."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return not _defunct(pid)


def reap(pid: int) -> int | None:
    """The exit code of a child of ours that has ended (minus the signal's number); None for any other."""
    if pid <= 0:  # would mean any child
        return None
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except (ChildProcessError, OverflowError):
        return None
    return os.waitstatus_to_exitcode(status) if ended else None


def _defunct(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no such file system here
        return reap(pid) is not None
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}
