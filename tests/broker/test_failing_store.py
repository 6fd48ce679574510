"""A disk that is full or may not be written: a commit fails and is made again, and nobody loses a connection."""

from __future__ import annotations

import asyncio
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.handler import Door
from teleporter_lab.broker.service import Service, Times
from teleporter_lab.broker.stores.base import ANYTHING, Stores, open_stores
from teleporter_lab.broker.stores.memory import MemoryStore
from teleporter_lab.errors import StoreError
from teleporter_lab.rpc.messages import Done, LinkInstance, Message, PositionCommit, PutAside, StreamState
from teleporter_lab.rpc.peer import Listener, Peer, dial
from tests.broker.conftest import TOKEN, Catalogue, ManualClock, group, hello, partitions
from tests.broker.letters import STREAM, letters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from teleporter_lab.broker.stores.base import Expect

A = "/instance/ns/a"
KEY = "/position/ns/t/s0/in"

BACKENDS = ["sqlite", *(["leveldb"] if find_spec("plyvel") else [])]


class ReadOnly(MemoryStore):
    """Raises for every change while it is told so."""

    locked = False

    async def write(self, key: str, value: str, expect: Expect = ANYTHING) -> None:
        self._check()
        await super().write(key, value, expect)

    async def delete(self, key: str, expect: Expect = ANYTHING) -> bool:
        self._check()
        return await super().delete(key, expect)

    def _check(self) -> None:
        if self.locked:
            raise StoreError("The store failed: the file system is read-only.")


@pytest.fixture
def store() -> ReadOnly:
    return ReadOnly()


@pytest.fixture
async def peer(store: ReadOnly) -> AsyncIterator[Peer]:
    """An instance that owns the stream, at a broker over the store."""
    async with AsyncExitStack() as stack:
        peer, _ = await link(stack, Stores(MemoryStore(), store, "memory:"))
        yield peer


async def link(stack: AsyncExitStack, stores: Stores) -> tuple[Peer, Service]:
    times = Times(ManualClock(), lambda: 1_700_000_000.0)
    service = await stack.enter_async_context(Service("/broker/ns/b", stores, Catalogue(), times))
    documents: dict[str, Any] = {"/group/ns/g": group(A), "/task/ns/t": {}, **partitions(1), STREAM: {}}
    for key, value in documents.items():
        await service.tree.save(key, value)
    await service.refresh("/group/ns/g")
    door = Door(service, TOKEN)
    listener = await stack.enter_async_context(Listener("127.0.0.1", 0, door.authorize, door.accept))

    async def answer(message: Message) -> Message:
        return Done()

    peer = await stack.enter_async_context(await dial("127.0.0.1", listener.port, hello(A), answer))
    with service.events.subscribe() as news:
        await peer.request(LinkInstance(A, ephemeral=False))
        await anext(news)
    async with asyncio.timeout(10):
        while service.assignments.owner("/partition/ns/t/p0") != A:
            await asyncio.sleep(0)
    return peer, service


def commit(before: int | None, now: int) -> PositionCommit:
    texts = [None if each is None else f'{{"ledger":{{"read":{each}}},"position":{each}}}' for each in (before, now)]
    return PositionCommit(KEY, texts[0], texts[1] or "", 1)


async def test_a_commit_that_cannot_be_written_fails_and_can_be_made_again(peer: Peer, store: ReadOnly) -> None:
    await peer.request(commit(None, 1))
    store.locked = True
    for _ in range(5):
        with pytest.raises(StoreError, match="read-only"):
            await peer.request(commit(1, 2))
    with pytest.raises(StoreError):
        await peer.request(PutAside(STREAM, letters(3)))
    peer.tell(StreamState(STREAM, A, "RUNNING", 1.0, 0, "", {}, 0.0))
    store.locked = False
    await peer.request(commit(1, 2))
    await peer.request(PutAside(STREAM, letters(3)))
    assert peer.why is None
    assert '"position":2' in (await store.get(KEY) or "")
    assert len(await store.range("/deadletter/")) == 3


async def test_a_change_by_a_person_that_cannot_be_written_is_no_change(store: ReadOnly) -> None:
    from teleporter_lab.broker.positions import Change, Target

    async with AsyncExitStack() as stack:
        peer, service = await link(stack, Stores(MemoryStore(), store, "memory:"))
        await peer.request(commit(None, 1))
        store.locked = True
        with pytest.raises(StoreError):
            await service.positions.change(KEY, Target(5), Change())
        store.locked = False
        assert (await service.positions.get(KEY))["position"] == 1
        assert (await service.positions.change(KEY, Target(5), Change()))["position"] == 5


@contextmanager
def files_of_at_most(size: float) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("backend", BACKENDS)
async def test_what_was_confirmed_before_and_after_a_full_disk_is_there(tmp_path: Path, backend: str) -> None:
    confirmed = 0
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(await open_stores(f"{backend}:{tmp_path}"))
        peer, _ = await link(stack, stores)
        with files_of_at_most(100_000):
            try:
                for number in range(1, 2000):
                    await peer.request(commit(confirmed or None, number))
                    await stores.runtime.write(f"/filler/{number}", "x" * 1000)
                    confirmed = number
            except StoreError:
                confirmed = max(confirmed, _position(await stores.runtime.get(KEY)))
            for _ in range(3):
                with pytest.raises(StoreError):
                    await stores.runtime.write("/filler/again", "x" * 1000)
                assert _position(await stores.runtime.get(KEY)) == confirmed
        assert 0 < confirmed < 1999
        for number in range(confirmed + 1, confirmed + 6):
            await peer.request(commit(number - 1, number))
        assert peer.why is None
    async with await open_stores(f"{backend}:{tmp_path}") as stores:
        assert _position(await stores.runtime.get(KEY)) == confirmed + 5
        assert len(await stores.runtime.range("/filler/")) in {confirmed, confirmed - 1}


def _position(text: str | None) -> int:
    return int((text or "0").rpartition(":")[2].strip("}"))


READ_ONLY = """
import asyncio, concurrent.futures.thread, importlib, os, sqlite3, sys
from teleporter_lab.broker.stores import embedded, leveldb, sqlite
from teleporter_lab.broker.stores.base import open_stores
from teleporter_lab.errors import StoreError

async def main(url, root):
    stores = await open_stores(url)
    await stores.runtime.write("/a/b", "1")
    await stores.close()
    for folder, _, files in os.walk(root):
        for name in files:
            os.chmod(os.path.join(folder, name), 0o444)
        os.chmod(folder, 0o555)
    try:
        again = await open_stores(url)
        await again.runtime.write("/a/b", "2")
    except StoreError as error:
        print(error.message)
        return 7
    return 0

if sys.argv[1].startswith("leveldb"):
    importlib.import_module("plyvel")
if os.getuid() == 0:
    os.chown(sys.argv[2], 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(asyncio.run(main(*sys.argv[1:])))
"""
"""As a user who may not write everywhere: to root nothing is read-only."""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_folder_that_may_not_be_written_is_one_sentence(backend: str) -> None:
    folder = Path(tempfile.mkdtemp())  # whoever is not root may not enter the folder of the tests
    try:
        line = [sys.executable, "-c", READ_ONLY, f"{backend}:{folder}", str(folder)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        for each in [folder, *folder.rglob("*")]:
            each.chmod(0o755)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 7, done.stdout + done.stderr
    assert str(folder) in done.stdout
