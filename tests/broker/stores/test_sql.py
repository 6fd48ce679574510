"""The store in a database server: the contract, several brokers at once, and a server that goes away."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.broker.stores.base import Store, open_stores
from teleporter_lab.broker.stores.sql import _next_text, open_sql
from teleporter_lab.errors import InvalidInput, StoreError
from teleporter_lab.testing.store_contract import StoreContract

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.postgres import Postgres

pytestmark = pytest.mark.postgres

INCREMENTS = """
import asyncio, sys
from teleporter_lab.broker.stores.sql import open_sql
from teleporter_lab.errors import Conflict

async def main():
    config, runtime, _ = await open_sql(sys.argv[1])
    for _ in range(50):
        while True:
            now = await config.get("/n")
            try:
                await config.write("/n", str(int(now) + 1), now)
                break
            except Conflict:
                continue
    await config.close()
    await runtime.close()

asyncio.run(main())
"""


class OneTable:
    """The first of two tables, as a store of its own."""

    def __init__(self, tables: tuple[Store, Store]) -> None:
        self._tables = tables
        self.get, self.range = tables[0].get, tables[0].range
        self.write, self.delete = tables[0].write, tables[0].delete

    async def close(self) -> None:
        for table in self._tables:
            await table.close()


class TestSqlStore(StoreContract):
    database: Postgres

    @pytest.fixture(autouse=True)
    def _database(self, postgres: Postgres) -> None:
        type(self).database = postgres
        self._folder: Path | None = None

    async def open_store(self, folder: Path) -> Store:
        if folder != self._folder:
            self.database.run("DROP TABLE IF EXISTS teleporter_config, teleporter_runtime")
            self._folder = folder
        config, runtime, _ = await open_sql(self.database.url)
        return OneTable((config, runtime))


async def test_no_increment_of_several_processes_is_lost(postgres: Postgres) -> None:
    async with await open_stores(postgres.url) as stores:
        await stores.config.write("/n", "0", None)
        others = [subprocess.Popen([sys.executable, "-c", INCREMENTS, postgres.url]) for _ in range(3)]
        assert [await asyncio.to_thread(other.wait, 60) for other in others] == [0, 0, 0]
        assert await stores.config.get("/n") == "150"
        assert await stores.runtime.get("/n") is None


async def test_a_password_is_shown_nowhere(postgres: Postgres) -> None:
    url = postgres.url.replace("postgres@", "postgres:hunter2@")
    async with await open_stores(url) as stores:
        assert "hunter2" not in stores.url
    with pytest.raises(StoreError) as refused:
        await open_stores(f"{url}_that_is_not_there")
    assert "hunter2" not in str(refused.value)
    assert "cannot be opened" in str(refused.value)


async def test_a_database_that_does_not_answer_is_a_sentence() -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        await open_stores("postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize("url", ["postgresql:", "postgresql://host", "postgresql:/path"])
async def test_a_url_without_a_database_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="write postgresql://USER@HOST/DATABASE"):
        await open_stores(url)


async def test_a_key_that_is_too_long_is_refused(postgres: Postgres) -> None:
    async with await open_stores(postgres.url) as stores:
        with pytest.raises(InvalidInput, match="longer than 600"):
            await stores.config.write("/" + "a" * 600, "1")


async def test_connections_that_were_cut_are_made_anew(postgres: Postgres) -> None:
    async with await open_stores(postgres.url) as stores:
        await stores.config.write("/a", "1")
        postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
        assert await stores.config.get("/a") == "1"


@pytest.mark.parametrize(
    ("prefix", "above"),
    [("a", "b"), ("/x/", "/x0"), ("a\U0010ffff", "b"), ("\U0010ffff", ""), ("\ud7ff", "\ue000")],
)
def test_the_end_of_a_prefix(prefix: str, above: str) -> None:
    assert _next_text(prefix) == above
