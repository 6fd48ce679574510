from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.broker.stores.embedded import EmbeddedStore, Files
from teleporter_lab.broker.stores.leveldb import LevelFiles
from teleporter_lab.broker.stores.sqlite import SqliteFiles
from teleporter_lab.errors import Conflict, StoreError, StoreLocked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from teleporter_lab.broker.stores.base import Item

BACKENDS: list[type[Files]] = [SqliteFiles, *([LevelFiles] if find_spec("plyvel") else [])]

SECOND = """
import asyncio, sys
from pathlib import Path
from teleporter_lab.broker.stores.embedded import EmbeddedStore
from teleporter_lab.broker.stores.{module} import {backend}
from teleporter_lab.errors import StoreLocked

async def main():
    try:
        store = await EmbeddedStore.open(Path(sys.argv[1]), {backend})
    except StoreLocked as error:
        print(error.message)
        return 7
    await store.write("/second", "1")
    await store.close()
    return 0

sys.exit(asyncio.run(main()))
"""


def second_process(path: Path, backend: type[Files]) -> subprocess.CompletedProcess[str]:
    program = SECOND.format(module=backend.__module__.rpartition(".")[2], backend=backend.__name__)
    return subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_second_process_is_refused_until_the_first_has_closed(tmp_path: Path, backend: type[Files]) -> None:
    path = tmp_path / "store"
    first = await EmbeddedStore.open(path, backend)
    refused = await asyncio.to_thread(second_process, path, backend)
    assert refused.returncode == 7, refused.stderr
    assert str(path) in refused.stdout
    assert "stop that one, or give this one a store of its own with --store" in refused.stdout
    await first.write("/first", "1")
    await first.close()
    assert (await asyncio.to_thread(second_process, path, backend)).returncode == 0
    again = await EmbeddedStore.open(path, backend)
    assert await again.range("") == [("/first", "1"), ("/second", "1")]
    await again.close()


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_refused_second_open_leaves_the_first_one_locked(tmp_path: Path, backend: type[Files]) -> None:
    path = tmp_path / "store"
    first = await EmbeddedStore.open(path, backend)
    for _ in range(3):
        with pytest.raises(StoreLocked):
            await EmbeddedStore.open(path, backend)
    refused = await asyncio.to_thread(second_process, path, backend)
    assert refused.returncode == 7, refused.stderr
    await first.close()


async def test_a_failed_open_leaves_no_lock(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"no database" * 200)
    for _ in range(2):
        with pytest.raises(StoreError, match="cannot be opened"):
            await EmbeddedStore.open(tmp_path / "store", SqliteFiles)


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(tmp_path / "store", SqliteFiles)
    await store.close()
    with pytest.raises(StoreError, match="is closed"):
        await store.get("/a")


async def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        await EmbeddedStore.open(tmp_path / "file" / "deeper" / "store", SqliteFiles)


class OneThreadFiles:
    """Files in memory that notice a second thread and a second caller."""

    def __init__(self, path: Path) -> None:
        self.errors: tuple[type[Exception], ...] = (LookupError,)
        self.thread = threading.get_ident()
        self.busy = False
        self.batches = 0
        self.kept: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        assert threading.get_ident() == self.thread
        if key == "/broken":
            raise LookupError("the disk is gone")
        return self.kept.get(key)

    def range(self, prefix: str, start: int, limit: int | None) -> list[Item]:
        return []

    def put(self, key: str, value: str) -> None:
        assert not self.busy
        self.busy = True
        os.sched_yield()
        self.kept[key] = value
        self.busy = False

    def remove(self, key: str) -> None:
        del self.kept[key]

    @contextmanager
    def batch(self) -> Iterator[None]:
        self.batches += 1
        yield

    def close(self) -> None:
        assert threading.get_ident() == self.thread


async def test_blocking_calls_run_in_one_thread_one_at_a_time(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(tmp_path / "store", OneThreadFiles)
    await asyncio.gather(*(store.write(f"/{number}", "x", None) for number in range(200)))
    assert await store.get("/199") == "x"
    assert store._files.batches <= 10, "what is asked while the thread is busy is done in one batch"  # type: ignore[attr-defined]
    await store.close()


@pytest.mark.parametrize("backend", BACKENDS)
async def test_one_who_is_refused_or_cancelled_spoils_nothing_for_the_others(
    tmp_path: Path, backend: type[Files]
) -> None:
    store = await EmbeddedStore.open(tmp_path / "store", backend)
    tasks = [asyncio.create_task(store.write(f"/{number}", "x", None)) for number in range(5)]
    tasks.append(asyncio.create_task(store.write("/0", "y", "wrong")))
    tasks.append(asyncio.create_task(store.write("/9", "z")))
    await asyncio.sleep(0)
    tasks[1].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome] == [asyncio.CancelledError, Conflict]
    assert {"/0", "/2", "/3", "/4", "/9"} <= {key for key, _ in await store.range("")}
    await store.close()


def break_off(files: Files) -> None:
    with files.batch():
        files.put("/b", "3")
        files.remove("/c")
        raise ZeroDivisionError


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_batch_is_all_or_nothing_and_sees_itself(tmp_path: Path, backend: type[Files]) -> None:
    files = backend(tmp_path / "store")
    with files.batch():
        files.put("/a", "1")
        assert files.get("/a") == "1"
        files.put("/b", "2")
        files.remove("/a")
        assert (files.get("/a"), files.get("/b")) == (None, "2")
    with pytest.raises(ZeroDivisionError):
        break_off(files)
    with files.batch():
        assert files.range("", 0, None) == [("/b", "2")]
    files.close()


async def test_when_the_disk_is_full_nobody_is_told_that_it_was_done(tmp_path: Path) -> None:
    class FullDisk(OneThreadFiles):
        @contextmanager
        def batch(self) -> Iterator[None]:
            yield
            raise OSError("No space left on device")

    store = await EmbeddedStore.open(tmp_path / "store", FullDisk)
    outcomes = await asyncio.gather(*(store.write(f"/{n}", "x") for n in range(3)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == [
        f"The store {tmp_path / 'store'} failed: No space left on device"
    ] * 3
    await store.close()


async def test_a_driver_error_is_a_store_error(tmp_path: Path) -> None:
    store = await EmbeddedStore.open(tmp_path / "store", OneThreadFiles)
    with pytest.raises(StoreError, match="the disk is gone"):
        await store.get("/broken")
    await store.close()
