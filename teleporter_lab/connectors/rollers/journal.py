"""What is kept beside an unfinished file: how much of it counts.

Owns the record of that on the disk, and that it is whole after a crash. Refuses to touch the file itself.

A journal is a file of lines, each a check sum and a JSON object of what has changed, written and synced one by one. A
crash can tear only the last one, which then does not count (the rule of every write-ahead log).
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from teleporter_lab.connectors.rollers.durable import sync, write_all
from teleporter_lab.errors import ConnectorError

LARGEST: Final = 1 << 18
"""Bytes after which the changes are replaced by what they have led to."""


class Kept(msgspec.Struct, frozen=True):
    """What is known of the unfinished file, of the one before it, and of the sources."""

    length: int = 0
    """Bytes of the file that count."""
    records: int = 0
    """Records in them; 0 where there is no file."""
    begun: str = ""
    """When its time began, ISO 8601."""
    form: str = ""
    """What its records look like, in the words of its format."""
    stem: str = ""
    index: int = 0
    """Number of the last file that got a name, among those of its stem."""
    closing: str = ""
    """The name that the file is about to get, below its folder; empty while it grows."""
    ready: bool = False
    """What gets the name is complete."""
    marks: dict[str, str] = {}
    """The positions of sources that are stored with the records, by their keys."""


class Journal:
    """One writer at a time, whoever holds the lock beside it. All methods raise OSError when the disk says no."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._size = 0
        self._limit = LARGEST
        self._torn = False
        """What stands behind `_size` does not count, and is still to be cut off."""
        self._renamed = False
        """A loss of power may still bring back the file that had its name before."""
        self.kept = Kept()

    def open(self) -> None:
        """Reads what is there. Raises ConnectorError when that is damaged."""
        self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        sync(self.path.parent)
        data = self._file.read()
        self.kept, self._size = _read(data, self.path)
        self._torn = self._size < len(data)
        self.settle()
        os.fsync(self._file.fileno())

    def add(self, **changes: Any) -> None:
        """Returns when `changes` of what is kept are on the disk; then `kept` has them. `marks` are added to the
        others; None removes all of them.

        When it raises it cannot be said whether they are there; `settle` makes sure that they are not.
        """
        self.settle()
        changed = _changed(self.kept, changes)
        if self._size > self._limit:
            self._rewrite()
        record = _line(changes)
        file = self._opened
        file.seek(self._size)
        self._torn = True
        write_all(file, record)
        self._torn = False
        self._size += len(record)
        self.kept = changed

    def settle(self) -> None:
        """Cuts off what an `add` has left that raised, and sees to it that the file keeps its name."""
        if self._renamed:
            sync(self.path.parent)
            self._renamed = False
        if self._torn:
            self._opened.truncate(self._size)
            os.fsync(self._opened.fileno())
            self._torn = False

    def is_there(self) -> bool:
        """Whether what is written can be found under its name."""
        return found(self._opened, self.path)

    def close(self) -> None:
        """Lets go of the file; a second call does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ConnectorError(f"The file {self.path} is not open for writing.")
        return self._file

    def _rewrite(self) -> None:
        """Puts one record of everything into the place of all changes."""
        record = _line(cast("dict[str, Any]", msgspec.to_builtins(self.kept)))
        fresh = Path(f"{self.path}.tmp")
        file = fresh.open("w+b", buffering=0)
        try:
            write_all(file, record)
            fresh.replace(self.path)
        except BaseException:
            file.close()
            raise
        self._opened.close()
        self._file, self._size = file, len(record)
        self._limit = LARGEST + 2 * self._size
        self._renamed = True
        self.settle()


def found(file: BinaryIO, path: Path) -> bool:
    """Whether the open `file` is the one called `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _line(changes: dict[str, Any]) -> bytes:
    text = msgspec.json.encode(changes)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _changed(kept: Kept, changes: dict[str, Any]) -> Kept:
    if "marks" in changes:
        changes = {**changes, "marks": {} if changes["marks"] is None else kept.marks | changes["marks"]}
    return msgspec.convert({**msgspec.structs.asdict(kept), **changes}, Kept)


def _read(data: bytes, path: Path) -> tuple[Kept, int]:
    """What the whole records of `data` lead to, and where they end."""
    kept, end, at = Kept(), 0, 0
    for line in data.splitlines(keepends=True):
        at += len(line)
        changes = _meant(line)
        if changes is None:
            continue
        try:
            if at - len(line) > end:
                raise ValueError("a record in the middle is torn")
            kept, end = _changed(kept, changes), at
        except ValueError as error:
            raise ConnectorError(f"The journal {path} is damaged at byte {end}; bring it back from a copy.") from error
    return kept, end


def _meant(line: bytes) -> dict[str, Any] | None:
    """The changes that a line says; None when it is torn."""
    text = line[9:-1]
    try:
        whole = line.endswith(b"\n") and int(line[:8], 16) == zlib.crc32(text)
        return msgspec.json.decode(text, type=dict[str, Any]) if whole else None
    except ValueError:
        return None
