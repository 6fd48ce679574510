"""Named lists in this process, for tests and notebooks.

Owns the lists (`Memory`, the shared address) and their reading and appending from any thread. Refuses to outlive the
process: what is in here is gone with it.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from pydantic import Field

from teleporter_lab.connectors.base import BatchOptions, Connector, Options, Spec, address_of, position_field
from teleporter_lab.errors import Conflict, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.engine.endpoints import Mark


class MemoryOptions(Options):
    """The `client` block of a memory address."""

    lists: dict[str, list[Any]] = Field(
        default_factory=dict[str, list[Any]], description="Records to start with, by list name."
    )
    max_records: int = Field(
        default=1_000_000, ge=1, description="Records one list holds; a write beyond it is refused."
    )


class MemorySourceOptions(Options):
    """The `client` block of a memory source."""

    name: str = Field(min_length=1, description="Name of the list to read.")
    follow: bool = Field(default=False, description="Wait for more records at the end of the list instead of ending.")


class MemorySinkOptions(BatchOptions):
    """The `client` block of a memory sink."""

    name: str = Field(min_length=1, description="Name of the list to append to; it is made when it is missing.")
    exactly_once: bool = Field(
        default=False,
        description="Keep the position of the source beside the lists, so that each record is there once.",
    )


class Memory:
    """Named lists, safe to use from any thread; a reader that follows is woken by an append."""

    def __init__(self, options: MemoryOptions | None = None) -> None:
        options = options or MemoryOptions()
        self._max = options.max_records
        self._lists = {name: list(records) for name, records in options.lists.items()}
        self._marks: dict[str, str] = {}
        self._lock = threading.Lock()
        self._waiting: list[Callable[[], None]] = []

    def __getitem__(self, name: str) -> list[Any]:
        """A copy of the list, empty when nothing was ever appended."""
        with self._lock:
            return list(self._lists.get(name, ()))

    def append(self, name: str, records: Sequence[Any], mark: Mark | None = None) -> None:
        """Adds all records or none, and keeps the mark with them.

        Raises ConnectorError when the list would grow beyond `maxRecords`, Conflict when another mark is kept than the
        one before `mark`.
        """
        with self._lock:
            kept = self._lists.setdefault(name, [])
            if len(kept) + len(records) > self._max:
                raise ConnectorError(f"The list {name} is full: it holds {len(kept)} of {self._max} records.")
            if mark is not None:
                if self._marks.get(mark.key) != mark.expect:
                    raise Conflict(f"Another run has moved {mark.key} on, so the list {name} stays as it is.")
                self._marks[mark.key] = mark.text
            kept.extend(records)
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    def marked(self, key: str) -> str | None:
        """The text of the last mark under `key`; None where there is none."""
        with self._lock:
            return self._marks.get(key)

    def slice(self, name: str, start: int, n: int) -> list[Any]:
        """Up to `n` records from index `start`."""
        with self._lock:
            return self._lists.get(name, [])[start : start + n]

    async def grown(self, name: str, beyond: int) -> None:
        """Waits until the list holds more than `beyond` records."""
        loop = asyncio.get_running_loop()
        while True:
            event = asyncio.Event()

            def wake(event: asyncio.Event = event) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)

            with self._lock:
                if len(self._lists.get(name, ())) > beyond:
                    return
                self._waiting.append(wake)
            try:
                await event.wait()
            finally:
                with self._lock:
                    self._waiting = [other for other in self._waiting if other is not wake]

    async def check(self) -> None:
        """A list in this process is always there."""

    def close(self) -> None:
        """Nothing to let go of: the lists stay readable."""

    def statistics(self) -> dict[str, int]:
        """Records held, by list."""
        with self._lock:
            return {name: len(records) for name, records in self._lists.items()}


class MemorySource:
    """Reads a list from an index on. Position: `{"index": n}`, the index of the next record; exact."""

    def __init__(self, options: MemorySourceOptions, memory: Memory) -> None:
        self._options = options
        self._memory = memory
        self._index = 0

    async def open(self, position: Any) -> None:
        self._index = 0 if position is None else _index(position)

    async def read(self, n: int) -> list[Any] | None:
        name = self._options.name
        if self._options.follow:
            await self._memory.grown(name, self._index)
        records = self._memory.slice(name, self._index, n)
        self._index += len(records)
        return records or None

    @property
    def position(self) -> dict[str, int]:
        return {"index": self._index}

    async def close(self) -> None:
        """Nothing to let go of."""


class MemorySink:
    """Appends to a list; a batch is appended as a whole, with a mark where one comes with it."""

    def __init__(self, options: MemorySinkOptions, memory: Memory) -> None:
        self._name = options.name
        self._memory = memory

    async def open(self) -> None:
        """Nothing to get ready."""

    async def write(self, records: Sequence[Any]) -> None:
        self._memory.append(self._name, records)

    async def marked(self, key: str) -> str | None:
        return self._memory.marked(key)

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        self._memory.append(self._name, records, mark)

    async def close(self) -> None:
        """Nothing to let go of."""


def _source(options: MemorySourceOptions, address: object) -> MemorySource:
    return MemorySource(options, address_of(Memory, address, MemoryConnector.category))


def _sink(options: MemorySinkOptions, address: object) -> MemorySink:
    return MemorySink(options, address_of(Memory, address, MemoryConnector.category))


def _index(position: Any) -> int:
    return position_field(position, "index", int, "a list")


def _distance(start: Any, end: Any) -> int:
    return _index(end) - _index(start)


def _address(options: MemoryOptions, _: object) -> Memory:
    return Memory(options)


class MemoryConnector(Connector):
    """Lists in this process."""

    category = "memory"
    description = "Named lists in this process, for tests and notebooks."
    needs_address = True
    address = Spec(MemoryOptions, _address)
    source = Spec(
        MemorySourceOptions,
        _source,
        guarantee="Resumes exactly after any record while the process lives; the lists are gone with it.",
        distance=_distance,
    )
    sink = Spec(
        MemorySinkOptions,
        _sink,
        guarantee="A batch is appended as a whole; a batch written again is there twice, with `exactlyOnce` once.",
        exactly_once="any",
    )
