"""A store of one process: plain files behind one lock and one thread.

Owns what all embedded backends share: the lock that makes a second broker impossible, the thread in which every
blocking call runs (one at a time, which makes compare-and-set atomic) and the translation of a driver's errors.
What is asked while the thread is busy is done in one batch, so that many writers at once wait for one sync of the disk.
Refuses to be shared: several brokers need a store that is a server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from teleporter_lab.broker.stores.base import ANYTHING, Expect, Item, check_expectation
from teleporter_lab.daemon.lock import NameLock
from teleporter_lab.errors import DaemonError, StoreError, StoreLocked

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

T = TypeVar("T")
Job = tuple["Callable[[], Any]", "asyncio.Future[Any]"]
Outcome = tuple[Any, Exception | None]

BATCH = 1000
"""Calls that share a sync of the disk."""


class Files(Protocol):
    """One backend, blocking: all its methods are called in one thread."""

    errors: tuple[type[Exception], ...]
    """What its driver raises when it fails."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError where it cannot be opened."""
        ...

    def get(self, key: str) -> str | None: ...

    def range(self, prefix: str, start: int, limit: int | None) -> list[Item]: ...

    def put(self, key: str, value: str) -> None: ...

    def remove(self, key: str) -> None: ...

    def batch(self) -> AbstractContextManager[None]:
        """All calls but `close` happen inside one. At its end the disk has what was changed in it, all or nothing.

        A `get` or `range` sees what was put before it in the same batch.
        """
        ...

    def close(self) -> None: ...


class EmbeddedStore:
    """A Store over `Files`. Open it with `EmbeddedStore.open`, which takes the lock first."""

    def __init__(self, files: Files, thread: ThreadPoolExecutor, lock: NameLock, path: Path) -> None:
        self._files = files
        self._thread = thread
        self._lock = lock
        self._path = path
        self._waiting: deque[Job] = deque()
        self._closed = False

    @classmethod
    async def open(cls, path: Path, files: type[Files]) -> EmbeddedStore:
        """Open (or make) the store at `path`. Raises StoreLocked where another one has it open, else StoreError."""
        lock = await asyncio.to_thread(_lock, path)
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"store-{path.name}")
        try:
            opened = await asyncio.get_running_loop().run_in_executor(thread, files, path)
        except BaseException:
            thread.shutdown(wait=False)
            lock.release()
            raise
        return cls(opened, thread, lock, path)

    async def get(self, key: str) -> str | None:
        """The text under `key`, None where there is none."""
        return await self._run(lambda: self._files.get(key))

    async def range(self, prefix: str, start: int = 0, limit: int | None = None) -> list[Item]:
        """The items whose key begins with `prefix`, by key, without the first `start`, at most `limit`."""
        return await self._run(lambda: self._files.range(prefix, start, limit))

    async def write(self, key: str, value: str, expect: Expect = ANYTHING) -> None:
        """Keep `value` under `key`, on disk; raises Conflict where `expect` does not hold."""
        await self._run(lambda: self._write(key, value, expect))

    async def delete(self, key: str, expect: Expect = ANYTHING) -> bool:
        """Forget `key`, on disk; says whether it was there. Raises Conflict where `expect` does not hold."""
        return await self._run(lambda: self._delete(key, expect))

    async def close(self) -> None:
        """Wait for what was begun, close the files and release the lock."""
        if self._closed:
            return
        self._closed = True
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._files.close)
        finally:
            self._thread.shutdown(wait=False)
            self._lock.release()

    def _write(self, key: str, value: str, expect: Expect) -> None:
        if expect is not ANYTHING:
            check_expectation(key, self._files.get(key), expect)
        self._files.put(key, value)

    def _delete(self, key: str, expect: Expect) -> bool:
        current = self._files.get(key)
        check_expectation(key, current, expect)
        if current is None:
            return False
        self._files.remove(key)
        return True

    async def _run(self, call: Callable[[], T]) -> T:
        if self._closed:
            raise StoreError(f"The store {self._path} is closed.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((call, future))
        if len(self._waiting) == 1:
            self._thread.submit(self._work, loop)
        return await future

    # ---- in the thread

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do what waits, until nothing does."""
        while self._waiting:
            jobs = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH))]
            outcomes: list[Outcome] = []
            try:
                with self._files.batch():
                    outcomes += [self._outcome(call) for call, _ in jobs]
            except (OSError, *self._files.errors) as error:
                outcomes = [self._failure(error)] * len(jobs)
            futures = [future for _, future in jobs]
            loop.call_soon_threadsafe(_settle, futures, outcomes)

    def _outcome(self, call: Callable[[], Any]) -> Outcome:
        try:
            return call(), None
        except (OSError, *self._files.errors) as error:
            return self._failure(error)
        except Exception as error:  # noqa: BLE001 -- it is raised where the call was asked for
            return None, error

    def _failure(self, error: Exception) -> Outcome:
        why = error.args[0] if error.args else ""
        said = why.decode(errors="replace") if isinstance(why, bytes) else str(error)
        failure = StoreError(f"The store {self._path} failed: {said}")
        failure.__cause__ = error
        return None, failure


def _settle(futures: list[asyncio.Future[Any]], outcomes: list[Outcome]) -> None:
    for future, (result, error) in zip(futures, outcomes, strict=True):
        if future.done():  # who asked was cancelled
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _lock(path: Path) -> NameLock:
    """Make the folder, take the lock beside the files and hold it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(f"The folder {path.parent} cannot be made: {error}") from error
    taken = StoreLocked(
        f"The store {path} belongs to another broker that is running: stop that one, "
        "or give this one a store of its own with --store."
    )
    lock = NameLock(path.with_name(f"{path.name}.lock"), taken)
    try:
        lock.acquire()
    except DaemonError as error:
        raise StoreError(f"The store {path} cannot be opened: {error.message}") from error
    return lock
