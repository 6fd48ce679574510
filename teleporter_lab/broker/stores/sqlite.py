"""The default store where plyvel is missing: one SQLite file a table. Owns its SQL; needs nothing installed."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from teleporter_lab.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from teleporter_lab.broker.stores.base import Item

_PREPARE = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)
_MOST = 2**62
"""SQLite counts to 2**63 - 1."""

_BEYOND = "\U0010ffff"
"""Sorts after every character a key can hold."""


class SqliteFiles:
    """One table in a SQLite file. WAL with full synchronisation: a committed write survives a power cut."""

    def __init__(self, path: Path) -> None:
        self.errors: tuple[type[Exception], ...] = (sqlite3.Error,)
        file = path.with_suffix(".sqlite")
        try:
            self._connection = sqlite3.connect(file, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"The store {file} cannot be opened: {error}") from error
        try:
            for statement in _PREPARE:
                self._connection.execute(statement)
        except sqlite3.Error as error:
            self._connection.close()
            raise StoreError(f"The store {file} cannot be opened: {error}") from error

    def get(self, key: str) -> str | None:
        """The text under `key`."""
        row = self._connection.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def range(self, prefix: str, start: int, limit: int | None) -> list[Item]:
        """Items by key; the binary collation of SQLite is the order of characters."""
        return self._connection.execute(
            "SELECT key, value FROM kept WHERE key >= ? AND key < ? ORDER BY key LIMIT ? OFFSET ?",
            (prefix, prefix + _BEYOND, -1 if limit is None else limit, min(start, _MOST)),
        ).fetchall()

    def put(self, key: str, value: str) -> None:
        """On disk at the end of the batch."""
        self._connection.execute("INSERT OR REPLACE INTO kept (key, value) VALUES (?, ?)", (key, value))

    def remove(self, key: str) -> None:
        """On disk at the end of the batch."""
        self._connection.execute("DELETE FROM kept WHERE key = ?", (key,))

    @contextmanager
    def batch(self) -> Generator[None]:
        """One transaction."""
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; the last one merges the WAL into the file."""
        self._connection.close()
