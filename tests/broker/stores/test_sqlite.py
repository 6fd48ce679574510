from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.broker.stores.embedded import EmbeddedStore
from teleporter_lab.broker.stores.sqlite import SqliteFiles
from teleporter_lab.errors import StoreError
from teleporter_lab.testing.store_contract import StoreContract

if TYPE_CHECKING:
    from pathlib import Path


class TestSqliteStore(StoreContract):
    async def open_store(self, folder: Path) -> EmbeddedStore:
        return await EmbeddedStore.open(folder / "table", SqliteFiles)


async def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "table.sqlite"
    file.write_bytes(b"my diary, not a database" * 100)
    with pytest.raises(StoreError, match=r"table\.sqlite cannot be opened"):
        await EmbeddedStore.open(tmp_path / "table", SqliteFiles)
    assert file.read_bytes() == b"my diary, not a database" * 100


async def test_a_failing_statement_is_a_store_error(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(tmp_path / "table", SqliteFiles)
    try:
        assert await store.range("", start=2**70) == []
        with closing(sqlite3.connect(tmp_path / "table.sqlite")) as other:
            other.execute("DROP TABLE kept")
        with pytest.raises(StoreError, match="no such table"):
            await store.get("/a")
    finally:
        await store.close()
