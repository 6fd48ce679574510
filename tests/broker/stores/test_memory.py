from __future__ import annotations

from typing import TYPE_CHECKING

from teleporter_lab.broker.stores.memory import MemoryStore
from teleporter_lab.testing.store_contract import StoreContract

if TYPE_CHECKING:
    from pathlib import Path


class TestMemoryStore(StoreContract):
    lasting = False

    async def open_store(self, folder: Path) -> MemoryStore:
        return MemoryStore()
