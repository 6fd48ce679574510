from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.broker.stores.embedded import EmbeddedStore
from teleporter_lab.broker.stores.leveldb import LevelFiles
from teleporter_lab.errors import StoreError
from teleporter_lab.testing.store_contract import StoreContract

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("plyvel")


class TestLevelStore(StoreContract):
    async def open_store(self, folder: Path) -> EmbeddedStore:
        return await EmbeddedStore.open(folder / "table", LevelFiles)


async def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(tmp_path / "table", LevelFiles)
    await store.write("/a", "1")
    await store.close()
    (tmp_path / "table" / "CURRENT").write_text("garbage")
    with pytest.raises(StoreError, match="cannot be opened"):
        await EmbeddedStore.open(tmp_path / "table", LevelFiles)


async def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("no folder")
    with pytest.raises(StoreError, match="cannot be opened"):
        await EmbeddedStore.open(tmp_path / "table", LevelFiles)


async def test_without_plyvel_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plyvel", None)
    with pytest.raises(StoreError, match=r"pip install 'teleporter-lab\[leveldb\]'"):
        await EmbeddedStore.open(tmp_path / "table", LevelFiles)
