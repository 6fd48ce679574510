"""Which SQLite library has a file open in this process: Python's own, or the one that ADBC brings along.

Owns that they never have the same file open together. Two copies of SQLite in one process do not see each other's
locks, and closing the file in one of them drops those of the other (sqlite.org, "How To Corrupt An SQLite Database
File", 2.2.1): what another process commits then is lost. This is a fact of the process, so it is kept in the module.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import Counter
from typing import Any

from teleporter_lab.errors import ConnectorError

PYTHON, ADBC = "Python", "ADBC"

_guard = threading.Lock()
_open: dict[str, Counter[str]] = {}


def take(path: str, library: str) -> None:
    """Notes one more user of the file. Raises ConnectorError when the other library has it open."""
    name = os.path.realpath(path)
    with _guard:
        users = _open.setdefault(name, Counter())
        if any(count for other, count in users.items() if other != library):
            how = "by ADBC" if library == PYTHON else "without ADBC"
            raise ConnectorError(
                f"The SQLite file {path} is in use {how} in this process, and two SQLite libraries in one process "
                "break each other's locks. Leave `adbc` out of its address, or use another instance."
            )
        users[library] += 1


def give_back(path: str, library: str) -> None:
    """One user less."""
    with _guard:
        _open[os.path.realpath(path)][library] -= 1


def connection_to(path: str) -> type[sqlite3.Connection]:
    """The class of connections by Python's library to the file at `path`, which count as its users while open."""

    class Noted(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            self._noted = False
            take(path, PYTHON)
            try:
                super().__init__(*args, **options)
            except BaseException:
                give_back(path, PYTHON)
                raise
            self._noted = True

        def close(self) -> None:
            super().close()
            if self._noted:
                self._noted = False
                give_back(path, PYTHON)

    return Noted
