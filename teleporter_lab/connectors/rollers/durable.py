"""Names in folders that outlast a loss of power, and never take another file's place.

Owns the order of syncing and renaming. Refuses to know what is in a file.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

HERE: Final = -100
"""AT_FDCWD: a path that is relative is so to the working directory."""
NO_REPLACE: Final = 1
"""RENAME_NOREPLACE of renameat2(2)."""
UNKNOWN: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
"""What systems answer that have no such call, or none for this file system."""


def sync(path: str | Path) -> None:
    """Returns when the file, or the names in the folder, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(file: Any, data: bytes) -> None:
    """Writes `data` to an unbuffered file and returns when it is on the disk. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())


def make_folders(folder: Path) -> None:
    """Makes what is missing of `folder`, so that it stays. Raises OSError."""
    if folder.is_dir():
        return
    make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def move(source: Path, target: Path) -> None:
    """Gives a file another name of the same file system, at once, and returns when that is on the disk.

    Raises FileExistsError when something is called so already, and OSError.
    """
    failed = _rename(os.fsencode(source), os.fsencode(target))
    if failed in UNKNOWN:
        if os.path.lexists(target):
            failed = errno.EEXIST
        else:
            os.rename(source, target)
            failed = 0
    if failed:
        raise OSError(failed, os.strerror(failed), str(target))
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


def _rename(source: bytes, target: bytes) -> int:
    """0, or the number of the error; atomic also against other programs."""
    call = _renameat2()
    if call is None:
        return errno.ENOSYS
    return 0 if call(HERE, source, HERE, target, NO_REPLACE) == 0 else ctypes.get_errno()


@cache
def _renameat2() -> Any:
    """The call of the C library; None where it has none."""
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
