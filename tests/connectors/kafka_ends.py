"""Readers and writers of a Kafka broker as tests make them, and ways to drive them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.kafka import KafkaAddressOptions, KafkaConnector, KafkaSinkOptions, KafkaSourceOptions
from teleporter_lab.testing.calls import as_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.kafka_client import Kafka


def cluster(kafka: Kafka, **options: Any) -> Any:
    made = KafkaAddressOptions(**{"bootstrap_servers": kafka.bootstrap, **options})
    return KafkaConnector.spec("address").make(made, None)


def reader(kafka: Kafka, topics: Any = None, *, columns: bool = False, **options: Any) -> Any:
    """A reader of all partitions, or with `group` of one's share; values only."""
    usual = {"assign": "group" if "group" in options else "all", "payload": True, "fetch_wait": 0.05}
    named = {} if topics is None else {"topics": topics}
    spec = KafkaConnector.spec("source")
    make: Any = spec.columnar if columns else spec.make
    return make(KafkaSourceOptions(**{**usual, **named, **options}), cluster(kafka))


def sink(kafka: Kafka, topic: str | None, **options: Any) -> Any:
    named = {} if topic is None else {"topic": topic}
    return KafkaConnector.spec("sink").make(KafkaSinkOptions(**named, **options), cluster(kafka))


async def some(source: Any, count: int, n: int = 1000) -> list[Any]:
    """Records until there are `count` or more."""
    records: list[Any] = []
    while len(records) < count:
        records += as_rows(await source.read(n))
    return records


async def rest(source: Any, n: int = 1000) -> list[Any]:
    """Records to the end."""
    records: list[Any] = []
    while (chunk := await source.read(n)) is not None:
        records += as_rows(chunk)
    return records


async def all_of(source: Any, position: Any = None) -> list[Any]:
    """Everything a source gives from `position` to its end."""
    await source.open(position)
    try:
        return await rest(source)
    finally:
        await source.close()


async def until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    """Returns when a broker or another task has brought something about; there is no call that would tell."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def numbers(count: int, start: int = 0) -> list[bytes]:
    """Values that are JSON numbers."""
    return [b"%d" % number for number in range(start, start + count)]


class Window:
    """Stands for the engine: what was read is stored when the test says so, and committed in order."""

    def __init__(self, source: Any, store: Callable[[Any], object] = lambda record: None) -> None:
        self.source = source
        self.read: list[Any] = []
        self.stored: list[Any] = []
        self.settles = 0
        self.patient = True
        """`settle` stores and commits what was read; otherwise it never ends."""
        self._store = store
        self._position: Any = None
        source.settle = self.settle

    async def pull(self, n: int = 100) -> None:
        chunk = await self.source.read(n)
        if chunk is not None:
            self.read += chunk
            self._position = self.source.position

    async def confirm(self) -> None:
        """Everything read so far is stored, and then committed."""
        for record in self.read[len(self.stored) :]:
            self._store(record)
            self.stored.append(record)
        if self._position is not None:
            await self.source.commit(self._position)

    async def settle(self) -> None:
        self.settles += 1
        if not self.patient:
            await asyncio.Event().wait()
        await self.confirm()
