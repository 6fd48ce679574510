from __future__ import annotations

import importlib.util
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.stores import base
from teleporter_lab.broker.stores.base import default_url, open_stores, split_url
from teleporter_lab.errors import InvalidInput, StoreError, StoreLocked

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def without_plyvel(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def find_spec(name: str, *rest: Any) -> Any:
        return None if name == "plyvel" else real(name, *rest)

    monkeypatch.setattr(base.importlib.util, "find_spec", find_spec)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("memory:", ("memory", "")),
        ("sqlite:/a/b", ("sqlite", "/a/b")),
        ("sqlite:///a/b", ("sqlite", "/a/b")),
        ("leveldb:relative/path", ("leveldb", "relative/path")),
        ("postgresql://me@host/db", ("postgresql", "//me@host/db")),
    ],
)
def test_a_url_is_a_scheme_and_a_path(url: str, parts: tuple[str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize("url", ["", "sqlite", "mongo://host/db", "sqlite:", "leveldb://", "/a/path"])
def test_a_wrong_url_says_what_would_be_right(url: str) -> None:
    with pytest.raises(InvalidInput, match="write"):
        split_url(url)


@pytest.mark.parametrize("scheme", ["memory", "sqlite", *(["leveldb"] if find_spec("plyvel") else [])])
async def test_both_tables_are_opened_and_are_not_one(tmp_path: Path, scheme: str) -> None:
    async with await open_stores(f"{scheme}:{tmp_path / 'store'}") as stores:
        await stores.config.write("/a", "config")
        await stores.runtime.write("/a", "runtime")
        assert await stores.config.get("/a") == "config"


async def test_a_second_opening_is_refused_and_takes_no_half_of_it(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'store'}"
    async with await open_stores(url):
        with pytest.raises(StoreLocked):
            await open_stores(url)
    async with await open_stores(url):
        pass


async def test_a_second_table_that_does_not_open_closes_the_first(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "runtime.sqlite").write_bytes(b"no database" * 200)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"runtime\.sqlite cannot be opened"):
            await open_stores(f"sqlite:{tmp_path / 'store'}")


def test_the_default_is_leveldb(tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    assert default_url(tmp_path) == f"leveldb:{tmp_path / 'leveldb'}"


@pytest.mark.usefixtures("without_plyvel")
def test_the_default_is_sqlite_without_plyvel(tmp_path: Path) -> None:
    assert default_url(tmp_path) == f"sqlite:{tmp_path / 'sqlite'}"


@pytest.mark.usefixtures("without_plyvel")
def test_a_leveldb_store_without_plyvel_is_not_silently_left_behind(tmp_path: Path) -> None:
    (tmp_path / "leveldb").mkdir()
    with pytest.raises(StoreError, match="pip install"):
        default_url(tmp_path)


def test_a_sqlite_store_stays_the_store(tmp_path: Path) -> None:
    (tmp_path / "sqlite").mkdir()
    assert default_url(tmp_path) == f"sqlite:{tmp_path / 'sqlite'}"
