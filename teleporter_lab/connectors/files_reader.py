"""Readers of files on this machine: one file after the other, from an exact byte.

Owns finding files, their order, and positions. Refuses to know what a line means; subclasses say that.
"""

from __future__ import annotations

import glob
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.connectors.base import position_field
from teleporter_lab.connectors.lines import Lines
from teleporter_lab.errors import AddressUnreachable, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Sized

C = TypeVar("C", bound="Sized")
"""What a read gives: a list of records, or a batch of columns."""


def find(pattern: str) -> list[str]:
    """The files at a path or glob pattern, sorted. Raises AddressUnreachable when there is none."""
    if os.path.isdir(pattern):
        raise AddressUnreachable(f"{pattern} is a folder; give a file or a pattern such as {pattern.rstrip('/')}/*.")
    if os.path.exists(pattern):
        return [pattern]
    if not glob.has_magic(pattern):
        raise AddressUnreachable(f"The file {pattern} is not there.")
    found = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not found:
        raise AddressUnreachable(f"No file matches {pattern}.")
    return found


def find_from(pattern: str, position: Any) -> tuple[list[str], bool]:
    """The files that are left to read after `position`, and whether the first of them is the one it is in.

    A file of a pattern that is not there any more was read: the next one follows, from its start. Raises ConnectorError
    for a position in another file.
    """
    files = find(pattern)
    if position is None:
        return files, False
    reached = position_field(position, "file", str, "a file", default=files[0])
    if reached not in files and not glob.has_magic(pattern):
        raise ConnectorError(f"The position is one of {reached}, not of {pattern}; reset it to read that file.")
    return [path for path in files if path >= reached], reached in files


def distance(*positions: Any) -> None:
    """Bytes do not tell how many records there are. Raises ConnectorError for what is no position in files."""
    for position in positions:
        position_field(position, "offset", int, "a file")
        position_field(position, "file", str, "a file", default="")


class FilesReader(ABC, Generic[C]):
    """Walks over the files of a pattern in sorted order.

    Position: `{"file": path, "offset": byte}` just behind the last record given, exact after every record. A bad record
    is raised once everything before it went out; the read after that goes on behind it.
    """

    def __init__(self, pattern: str, delimiter: bytes = b"\n", mark: bytes = b"") -> None:
        self._pattern = pattern
        self._cut = (delimiter, mark)
        self._files: list[str] = []
        self._lines: Lines | None = None
        self._position: dict[str, Any] | None = None
        self._records = 0

    @abstractmethod
    def begin(self, lines: Lines, offset: int) -> None:
        """Gets a file ready for the records from `offset` on; 0 is the start of the file."""

    @abstractmethod
    def some(self, lines: Lines, n: int) -> C | None:
        """1 to `n` records; none, or None, at the end of the file.

        Raises BadRecord only when the next record is a bad one, and has passed it then.
        """

    def mark(self, lines: Lines) -> dict[str, Any]:
        """The position to go on from."""
        return {"file": lines.path, "offset": lines.offset}

    def open(self, position: Any) -> None:
        files, resumed = find_from(self._pattern, position)
        offset = position_field(position, "offset", int, "a file") if resumed else 0
        self._position = position
        self._files = files
        self._next(offset)

    def read(self, n: int) -> C | None:
        while (lines := self._lines or self._next(0)) is not None:
            records = self.some(lines, n)
            self._position = self.mark(lines)
            if records:
                self._records += len(records)
                return records
            self._lines = None
            lines.close()
        return None

    @property
    def position(self) -> Any:
        return self._position

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None
        self._files = []

    def statistics(self) -> dict[str, int]:
        """Records given since `open`, and files not begun yet."""
        return {"records": self._records, "files_left": len(self._files)}

    def _next(self, offset: int) -> Lines | None:
        """Opens the next file; a file that cannot be opened stays the next one."""
        if self._files:
            lines = Lines(self._files[0], *self._cut)
            try:
                self.begin(lines, offset)
            except ConnectorError:
                lines.close()
                raise
            self._lines = lines
            self._files.pop(0)
        return self._lines
