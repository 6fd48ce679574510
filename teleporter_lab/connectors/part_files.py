"""A folder that grows by complete files.

Owns their names, and that a file is whole and on the disk before it can be seen under its name. Refuses to know any
format: it is told how to write a file.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from teleporter_lab.connectors.lines import unreachable
from teleporter_lab.connectors.rollers.durable import move, sync
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class PartFiles:
    """`PREFIX-00000001.ENDING` and so on. One writer at a time for each prefix, held by a lock on `.PREFIX.lock`.

    A file is written as `.NAME.tmp`, synced and renamed; what a crash left under such a name is removed by `open`.
    """

    def __init__(self, folder: str, prefix: str, ending: str) -> None:
        self._folder = Path(folder)
        self._prefix, self._ending = prefix, ending
        self._lock: int | None = None
        self._next = 1

    def open(self) -> list[Path]:
        """Makes the folder, and gives the files that are there, in order.

        Raises AddressUnreachable, ConnectorError when another sink has it.
        """
        try:
            self._folder.mkdir(exist_ok=True)
            self._lock = os.open(self._folder / f".{self._prefix}.lock", os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in self._folder.glob(".*.tmp"):
                if self._number(left.name[1:-4]):
                    left.unlink()
            found = sorted((number, path) for path in self._folder.iterdir() if (number := self._number(path.name)))
        except BlockingIOError as error:
            self.close()
            raise ConnectorError(f"The folder {self._folder} is being written by another sink.") from error
        except OSError as error:
            self.close()
            raise unreachable(str(self._folder), error) from error
        self._next = found[-1][0] + 1 if found else 1
        return [path for _, path in found]

    def add(self, writes: Iterable[Callable[[str], None]]) -> int:
        """Makes a file with each of `writes`, which gets a path; returns how many, when all are on the disk.

        Raises ConnectorError; then there is none of them, or, if renaming failed, the first of them only.
        """
        if self._lock is None:
            raise ConnectorError(f"The folder {self._folder} is not open for writing.")
        with ExitStack() as undo:
            made: list[tuple[Path, Path]] = []
            try:
                for number, write in enumerate(writes, self._next):
                    final = self._folder / f"{self._prefix}-{number:08}.{self._ending}"
                    temporary = self._folder / f".{final.name}.tmp"
                    undo.callback(temporary.unlink, missing_ok=True)
                    write(str(temporary))
                    sync(temporary)
                    made.append((temporary, final))
                for temporary, final in made:
                    move(temporary, final)
                    self._next += 1
            except OSError as error:
                raise unreachable(str(self._folder), error) from error
        return len(made)

    def close(self) -> None:
        """Lets go of the folder; a second call does nothing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _number(self, name: str) -> int:
        found = re.fullmatch(rf"{re.escape(self._prefix)}-(\d+)\.{re.escape(self._ending)}", name)
        return int(found[1]) if found else 0
