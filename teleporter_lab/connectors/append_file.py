"""A file on this machine that grows by whole batches.

Owns appending, syncing and the repair of a torn end. Refuses to know any format: it is told what is complete.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from teleporter_lab.connectors.lines import BLOCK, unreachable
from teleporter_lab.connectors.rollers.durable import sync, write_all
from teleporter_lab.errors import ConnectorError

log = logging.getLogger(__name__)


Complete = Callable[[BinaryIO, int], int]
"""The byte behind the last complete record at or behind a byte where a record begins."""


def lines_end(file: BinaryIO, start: int, delimiter: bytes) -> int:
    """The byte behind the last line that begins at `start` or later and is complete; `start` when there is none."""
    end = file.seek(0, os.SEEK_END)
    while end > start:
        begin = max(start, end - BLOCK)
        file.seek(begin)
        cut = file.read(end - begin).rfind(delimiter)
        if cut >= 0:
            return begin + cut + len(delimiter)
        end = begin + len(delimiter) - 1 if begin > start else start
    return start


class AppendFile:
    """A file that grows by whole batches: each is appended and synced to the disk, or the file is cut back.

    One writer at a time, held by a lock on the file. `PATH.open` stands beside it while it is open and says how long
    it was before: if it is found, a crash left it, and what stands behind the last complete record is moved to
    `PATH.torn`. Complete records of a batch that was not confirmed stay, and will come again. A file that somebody else
    left without a line end at its end gets one.
    """

    def __init__(self, path: str, delimiter: bytes, complete: Complete) -> None:
        self._path = path
        self._delimiter = delimiter
        self._complete = complete
        self._marker = Path(f"{path}.open")
        self._file: BinaryIO | None = None
        self._marked = False
        self._torn = False
        """There may be bytes behind `size`, of a batch that failed."""
        self.size = 0

    def open(self) -> None:
        """Opens or makes the file. Raises AddressUnreachable, ConnectorError when another writer holds it."""
        try:
            self._file = open(self._path, "a+b", buffering=0)  # noqa: SIM115 - closed by close()
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.size = self._repaired(self._file)
            self._mark()
        except BlockingIOError as error:
            self.close()
            raise ConnectorError(f"The file {self._path} is being written by another sink.") from error
        except OSError as error:
            self.close()
            raise unreachable(self._path, error) from error

    def append(self, data: bytes) -> None:
        """Returns when `data` is on the disk. Raises ConnectorError; then nothing of it is in the file.

        If the disk does not even let it be cut off, the error says so, and the next call does it first.
        """
        file = self._file
        if file is None:
            raise ConnectorError(f"The file {self._path} is not open for writing.")
        try:
            self._cut_off(file)
            self._torn = True
            write_all(file, data)
        except OSError as error:
            raise self._cut_back(file, error) from error
        self._torn = False
        if not os.fstat(file.fileno()).st_nlink:
            raise ConnectorError(f"The file {self._path} was removed while it was written.")
        self.size += len(data)

    def head(self, size: int) -> bytes:
        """The first `size` bytes."""
        with open(self._path, "rb") as file:
            return file.read(size)

    def close(self) -> None:
        """Lets go of the file; a second call does nothing."""
        if self._file is not None:
            if self._marked and not self._torn:
                self._marker.unlink(missing_ok=True)
                self._marked = False
            self._file.close()
            self._file = None

    def _cut_back(self, file: BinaryIO, cause: OSError) -> ConnectorError:
        failure = unreachable(self._path, cause)
        try:
            self._cut_off(file)
        except OSError:
            return ConnectorError(f"{failure.message} A part of the batch may stand behind byte {self.size}.")
        return failure

    def _cut_off(self, file: BinaryIO) -> None:
        if self._torn:
            file.truncate(self.size)
            self._torn = False

    def _repaired(self, file: BinaryIO) -> int:
        """The size of the file once its end is a complete record."""
        size = file.seek(0, os.SEEK_END)
        before = self._before()
        if before is None:
            if size and lines_end(file, max(0, size - len(self._delimiter)), self._delimiter) < size:
                size += file.write(self._delimiter)
            return size
        good = self._complete(file, min(before, size))
        if good < size:
            self._put_aside(file, good, size)
        return good

    def _before(self) -> int | None:
        """How long the file was when a sink opened it that did not close it."""
        try:
            return int(self._marker.read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            return 0

    def _mark(self) -> None:
        with self._marker.open("w") as marker:
            marker.write(str(self.size))
            marker.flush()
            os.fsync(marker.fileno())
        sync(os.path.dirname(self._path) or ".")
        self._marked = True

    def _put_aside(self, file: BinaryIO, good: int, size: int) -> None:
        torn = Path(f"{self._path}.torn")
        file.seek(good)
        with torn.open("ab") as aside:
            aside.write(file.read(size - good))
            aside.flush()
            os.fsync(aside.fileno())
        file.truncate(good)
        log.warning(
            "A crash left %d bytes that are no complete record in %s; they are in %s.", size - good, self._path, torn
        )
