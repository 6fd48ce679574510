"""The unfinished file of a rolled sink, under a hidden name.

Owns its lock, its journal and its bytes: a batch is in it, on the disk and in the journal, or it does not count.
Refuses to know what a record is, what the file will be called, and when.

Order makes it safe: bytes are synced before the journal says that they count, and what the journal has not said is cut
off before anything else is done. So a crash at any moment leaves whole batches, and just those that were confirmed,
plus at most the one whose confirmation was under way.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Any, BinaryIO

from teleporter_lab.connectors.rollers.durable import make_folders, move, sync, write_all
from teleporter_lab.connectors.rollers.journal import Journal, found
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from teleporter_lab.connectors.rollers.journal import Kept

NOTHING: dict[str, Any] = {"length": 0, "records": 0, "begun": "", "closing": "", "ready": False}
"""What is known of the unfinished file when there is none."""


class Part:
    """Files `.NAME.part`, `.NAME.journal` and `.NAME.lock` in a folder. Methods raise OSError and ConnectorError."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self.path = folder / f"{name}.part"
        self._made = folder / f"{name}.made"
        self._journal = Journal(folder / f"{name}.journal")
        self._lock_path = folder / f"{name}.lock"
        self._lock: int | None = None
        self._file: BinaryIO | None = None
        self._longer = False
        """There may be bytes behind those that count."""

    @property
    def kept(self) -> Kept:
        """What counts."""
        return self._journal.kept

    def open(self) -> None:
        """Takes the lock, and cuts off what does not count. Raises ConnectorError when another sink has it."""
        try:
            self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConnectorError(
                f"Files of this path are being written in {self._folder} by another sink; give each one its own."
            ) from error
        self._journal.open()
        self._check()
        if not self.kept.ready:
            self._made.unlink(missing_ok=True)
        if not self.kept.length:
            self.path.unlink(missing_ok=True)
        self._longer = True
        self.settle()

    def settle(self) -> None:
        """Cuts off what an `append` has left that raised."""
        self._journal.settle()
        if self._longer and self.path.exists():
            os.truncate(self.path, self.kept.length)
        self._longer = False

    def append(self, data: bytes, **changes: Any) -> None:
        """Returns when `data` and what has changed of `kept` are on the disk; when it raises, neither counts."""
        self.settle()
        length = self.kept.length
        if data:
            file = self._opened()
            file.seek(length)
            self._longer = True
            write_all(file, data)
            if not found(file, self.path):
                raise ConnectorError(f"The file {self.path} was removed or replaced while it was written.")
        self._require_place()
        self._journal.add(length=length + len(data), **changes)
        self._longer = False

    def finish(self, name: Callable[[], dict[str, Any]], convert: Callable[[Path, Path], None] | None) -> None:
        """Gives the file its final name; `name` says which, and is asked again when that is taken.

        `convert` makes the final file from the bytes, where they are not it. Where it raises, a later call goes on.
        """
        self.settle()
        self._require_place()
        if not self.kept.closing:
            self._journal.add(ready=convert is None, **name())
        if convert is not None and not self.kept.ready:
            self._made.unlink(missing_ok=True)
            convert(self.path, self._made)
            sync(self._made)
            sync(self._folder)
            self._journal.add(ready=True)
        self._close_file()
        self._publish(self.path if convert is None else self._made, name)
        self.path.unlink(missing_ok=True)
        self._journal.add(**NOTHING)  # last of all: whatever failed before is done by the next call

    def close(self) -> None:
        """Lets go of everything; a second call does nothing."""
        self._close_file()
        self._journal.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _publish(self, source: Path, name: Callable[[], dict[str, Any]]) -> None:
        """Where there is no `source` any more, it has its name already."""
        while source.exists():
            target = self._folder / self.kept.closing
            make_folders(target.parent)
            try:
                move(source, target)
            except FileExistsError:
                self._journal.add(**name())
        self._require_place()
        target = self._folder / self.kept.closing
        for folder in {target.parent, self._folder}:
            if folder.is_dir():
                sync(folder)

    def _check(self) -> None:
        """Raises ConnectorError when bytes that count are gone."""
        kept = self.kept
        there = self.path.exists()
        size = self.path.stat().st_size if there else 0
        if size < kept.length and (there or not kept.ready):
            raise ConnectorError(
                f"Of the unfinished file {self.path} with {kept.records} records {kept.length - size} bytes are gone: "
                f"bring it back, or remove {self._journal.path} as well to go on without them."
            )

    def _require_place(self) -> None:
        """Raises ConnectorError when the folder is not the one opened: then what is missing in it proves nothing."""
        if not self._journal.is_there():
            raise ConnectorError(f"The folder {self._folder} was removed or replaced while a file in it was written.")

    def _opened(self) -> BinaryIO:
        if self._lock is None:
            raise ConnectorError(f"The folder {self._folder} is not open for writing.")
        if self._file is None:
            flags = os.O_RDWR | os.O_CREAT | (0 if self.kept.length else os.O_TRUNC)
            file = os.fdopen(os.open(self.path, flags, 0o644), "r+b", buffering=0)
            try:
                sync(self._folder)
            except BaseException:
                file.close()
                raise
            self._file = file
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
