"""The default store where plyvel can be imported: a LevelDB folder a table.

Owns keys and values as bytes, and what follows a write that failed: the log then ends in half a record, and whatever is
written behind it is confirmed and yet gone when the database is opened again. So it is opened anew before the next
write. Refuses to be opened twice: closing a second handle would drop the first one's lock, so `EmbeddedStore` takes a
lock of its own before.
"""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, cast

from teleporter_lab.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from teleporter_lab.broker.stores.base import Item


ROOM = 64 * 1024
"""Bytes that opening needs beside what it copies."""


class _Batch(Protocol):
    """What we use of a write batch."""

    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...


class _Database(Protocol):
    """What we use of `plyvel.DB`."""

    def get(self, key: bytes) -> bytes | None: ...
    def write_batch(self, *, sync: bool) -> AbstractContextManager[_Batch]: ...
    def iterator(self, *, prefix: bytes) -> Iterator[tuple[bytes, bytes]]: ...
    def close(self) -> None: ...


class LevelFiles:
    """One table in a LevelDB folder. Every batch is synced."""

    def __init__(self, path: Path) -> None:
        try:
            plyvel = importlib.import_module("plyvel")
        except ImportError as error:
            raise StoreError(
                "A leveldb store needs plyvel: run `pip install 'teleporter-lab[leveldb]'`, or use --store sqlite:PATH."
            ) from error
        self.errors: tuple[type[Exception], ...] = (plyvel.Error,)
        self._pending: dict[str, str | None] = {}
        self._path = path
        self._driver: Any = plyvel
        self._broken = False
        try:
            self._database = self._open()
        except (plyvel.Error, OSError) as error:
            raise StoreError(f"The store {path} cannot be opened: {error}") from error

    def _open(self) -> _Database:
        return cast("_Database", self._driver.DB(str(self._path), create_if_missing=True))

    def get(self, key: str) -> str | None:
        """The text under `key`."""
        if key in self._pending:
            return self._pending[key]
        found = self._database.get(key.encode())
        return None if found is None else found.decode()

    def range(self, prefix: str, start: int, limit: int | None) -> list[Item]:
        """Items by key; LevelDB sorts by bytes, which for UTF-8 is the order of characters."""
        self._flush()
        items = self._database.iterator(prefix=prefix.encode())
        end = None if limit is None else start + limit
        return [(key.decode(), value.decode()) for key, value in islice(items, start, end)]

    def put(self, key: str, value: str) -> None:
        """On disk at the end of the batch."""
        self._pending[key] = value

    def remove(self, key: str) -> None:
        """On disk at the end of the batch."""
        self._pending[key] = None

    @contextmanager
    def batch(self) -> Generator[None]:
        """One synced write for everything in the block, or two where a range stands between."""
        try:
            yield
            self._flush()
        finally:
            self._pending.clear()

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._broken:
            self._open_again()
        try:
            with self._database.write_batch(sync=True) as batch:
                for key, value in self._pending.items():
                    if value is None:
                        batch.delete(key.encode())
                    else:
                        batch.put(key.encode(), value.encode())
        except self.errors:
            self._broken = True
            raise
        self._pending.clear()

    def _open_again(self) -> None:
        """Bring what is on disk in order; until that can be written, the old handle goes on reading."""
        self._check_room()
        self._database.close()
        self._database = self._open()
        self._broken = False

    def _check_room(self) -> None:
        """Opening writes the log anew as a table: raise OSError while there is no room for that."""
        room = ROOM + sum(log.stat().st_size for log in self._path.glob("*.log"))
        probe = self._path.with_name(f"{self._path.name}.probe")
        try:
            with probe.open("wb") as file:
                for _ in range(0, room, ROOM):
                    file.write(bytes(ROOM))
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the database."""
        self._database.close()
