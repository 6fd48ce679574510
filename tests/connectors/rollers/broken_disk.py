"""A disk that fails, or a process that dies, at one chosen step of what a rolled sink does to its files."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.rollers import journal, part

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class Died(BaseException):
    """The process is gone: nothing runs any more, not even what cleans up after errors."""


class BrokenDisk:
    """Counts the steps. The one numbered `at` raises: before it, after it, or, of a write, half way."""

    def __init__(self, patch: pytest.MonkeyPatch, error: Callable[[], BaseException]) -> None:
        self._error = error
        self.steps = 0
        self.at = 0
        for module in (part, journal):
            patch.setattr(module, "write_all", self._writing(module.write_all))
            patch.setattr(module, "sync", self._step(module.sync))
        patch.setattr(part, "move", self._step(part.move))
        patch.setattr(part, "make_folders", self._step(part.make_folders))
        patch.setattr(os, "fsync", lambda _descriptor: None)  # it is slow, and what it does shows only without power
        patch.setattr(os, "truncate", self._step(os.truncate))
        patch.setattr(Path, "unlink", self._step(Path.unlink))
        patch.setattr(Path, "replace", self._step(Path.replace, after=error is Died))

    def arm(self, at: int) -> None:
        """From now on, the step number `at` raises."""
        self.steps, self.at = 0, at

    def _count(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise self._error()

    def _step(self, function: Callable[..., Any], after: bool = True) -> Callable[..., Any]:
        """`after` is false for what is either done or raises."""

        def step(*args: Any, **options: Any) -> Any:
            self._count()
            result = function(*args, **options)
            if after:
                self._count()
            return result

        return step

    def _writing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(file: Any, data: bytes) -> None:
            self._count()
            at = file.tell()
            file.write(data[: len(data) // 2])
            self._count()
            file.seek(at)
            function(file, data)
            self._count()

        return step


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
