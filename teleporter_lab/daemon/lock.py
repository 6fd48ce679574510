"""One daemon a name, one owner an embedded store: an exclusive lock held for life.

Owns the lock file, which is never deleted: a lock on a deleted file is held by nobody. The system lets go of it when
the process ends, however it ends. Refuses to wait: who comes second is told at once.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from teleporter_lab.daemon.connection_file import Kind, runtime_file
from teleporter_lab.daemon.process import running
from teleporter_lab.errors import AlreadyRunning, DaemonError, TeleporterError

if TYPE_CHECKING:
    from types import TracebackType


class NameLock:
    """The lock at `path`. `taken` is what `acquire` raises when another one holds it; default AlreadyRunning."""

    def __init__(self, path: Path, taken: TeleporterError | None = None) -> None:
        self.path = Path(path)
        self._taken = taken
        self._file: int | None = None

    @classmethod
    def of(cls, kind: Kind, name: str) -> Self:
        """The lock of the daemon of that name."""
        path = runtime_file(kind, name, ".lock")
        return cls(path, AlreadyRunning(f"A {kind} named {name} runs already."))

    @property
    def held(self) -> bool:
        return self._file is not None

    def acquire(self) -> None:
        """Takes it until `release` or the end of the process. Raises AlreadyRunning (or `taken`), DaemonError."""
        if self._file is not None:
            return
        file = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise self._refusal() from error
        except OSError as error:
            os.close(file)
            raise DaemonError(f"{self.path} cannot be locked: {error}.") from error
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        self._file = file

    def release(self) -> None:
        """Lets go; a second call does nothing."""
        file, self._file = self._file, None
        if file is not None:
            os.ftruncate(file, 0)
            os.close(file)

    def holder(self) -> int | None:
        """The process that holds it, None if none does.

        That it is locked proves that the number in it is not one used again. A free lock is hardly ever touched, so
        that asking does not get in the way of one who takes it.
        """
        if self._file is not None:
            return os.getpid()
        pid = self._recorded()
        if pid is None or not running(pid):
            return None
        file = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return pid
        finally:
            os.close(file)
        return None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> int:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DaemonError(f"{self.path} cannot be opened: {error}.") from error

    def _recorded(self) -> int | None:
        try:
            text = self.path.read_bytes()[:20].decode("ascii", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DaemonError(f"{self.path} cannot be read: {error}.") from error
        return int(text) if text.isdecimal() else None

    def _refusal(self) -> TeleporterError:
        if self._taken is not None:
            return type(self._taken)(self._taken.message, self._taken.problems)
        return AlreadyRunning(f"Another process holds {self.path}.")
