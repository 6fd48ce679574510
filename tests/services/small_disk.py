"""A disk that is soon full: a file system of its own in memory, of a few hundred kilobytes.

Owns mounting and unmounting, which needs the rights of root on Linux. Refuses to pretend: where it cannot be mounted
the tests that need it are skipped and say so, also where servers must not be missing, as no installing helps.
"""

from __future__ import annotations

import errno
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.services import Unavailable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

BYTES = 1 << 20
BLOCK = 4096


class SmallDisk:
    """`folder` is its root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Uses up all of it but `leave` bytes, in whole blocks of 4096."""
        self.free()
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(BLOCK))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
            file.truncate(max(0, file.tell() - leave) // BLOCK * BLOCK)

    def free(self) -> None:
        """Gives back what `fill` has used up."""
        self._ballast.unlink(missing_ok=True)

    def protect(self) -> None:
        """Makes it read-only. Fails while a file on it is open for writing."""
        _run("mount", "-o", "remount,ro", str(self.folder))

    def release(self) -> None:
        """Makes it writable again."""
        _run("mount", "-o", "remount,rw", str(self.folder))


@contextmanager
def mounted(folder: Path, size: int = BYTES) -> Generator[SmallDisk]:
    """A small disk at `folder`, which is made, until the block is left. Raises Unavailable."""
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder))
    try:
        yield SmallDisk(folder)
    finally:
        _run("umount", "--lazy", str(folder))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """One for the test, below its folder."""
    try:
        with mounted(tmp_path / "disk") as disk:
            yield disk
    except Unavailable as why:
        pytest.skip(str(why))


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Unavailable(f"A small disk needs the program {command[0]}.") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Unavailable(f"A small disk cannot be mounted here: {said}")
