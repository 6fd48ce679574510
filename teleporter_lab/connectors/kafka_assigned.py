"""All partitions of some topics, read by one reader without a group.

Position: `{"topic": {"0": next offset}}` over all partitions, kept by this system; exact.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.kafka_cluster import driver
from teleporter_lab.connectors.kafka_consumer import Consumer
from teleporter_lab.connectors.kafka_positions import offsets_of, position_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from teleporter_lab.connectors.kafka import KafkaSourceOptions
    from teleporter_lab.connectors.kafka_cluster import Cluster
    from teleporter_lab.connectors.kafka_positions import Offsets, Place
    from teleporter_lab.connectors.kafka_records import Decoding


class AssignedReader:
    """Partitions that are added while it reads are read from their first message on."""

    def __init__(self, options: KafkaSourceOptions, cluster: Cluster, decoding: Decoding) -> None:
        self._options = options
        self._cluster = cluster
        self._decoding = decoding
        self.columnar = decoding.columnar
        self._consumer: Consumer | None = None
        self._next: Offsets = {}
        self._looked = 0.0
        self._records = 0

    async def open(self, position: Any) -> None:
        kept = None if position is None else offsets_of(position)
        await self.close()
        consumer = Consumer(self._options, self._cluster, self._decoding, None)
        await consumer.start()
        self._consumer = consumer
        places = await consumer.partitions()
        self._next = await self._starts(consumer, places, kept)
        if self._options.until == "end":
            consumer.intake.ends = await consumer.ends(places)
        self._assign(consumer)
        self._looked = asyncio.get_running_loop().time()

    async def read(self, n: int) -> Any:
        consumer = self._consumer
        if consumer is None:
            return None
        while True:
            records = consumer.intake.take(n, self._give)
            if records is not None:
                self._records += len(records)
                return records
            if await consumer.reached(self._next):
                self._next.update(consumer.intake.ends or {})
                return None
            await self._look(consumer)
            await consumer.fetch(n)

    @property
    def position(self) -> dict[str, dict[str, int]]:
        return position_of(self._next)

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()

    def statistics(self) -> dict[str, int]:
        """Messages given, and partitions read."""
        return {"records": self._records, "partitions": len(self._next)}

    def _give(self, place: Place, _: int, behind: int) -> None:
        self._next[place] = behind

    def _assign(self, consumer: Consumer) -> None:
        named = driver().TopicPartition
        consumer.raw.assign([named(*place) for place in self._next])
        consumer.seek(self._next)

    async def _starts(self, consumer: Consumer, places: Iterable[Place], kept: Offsets | None) -> Offsets:
        """Where to begin: at the position kept; new partitions of its topics at their first message."""
        if kept is None:
            return await consumer.begins(places)
        topics = {topic for topic, _ in kept}
        added = [place for place in places if place not in kept and place[0] in topics]
        others = [place for place in places if place[0] not in topics]
        there = {place: kept[place] for place in places if place in kept}
        return {**there, **await consumer.first(added), **await consumer.begins(others)}

    async def _look(self, consumer: Consumer) -> None:
        """From time to time: takes in partitions that are new."""
        now = asyncio.get_running_loop().time()
        if now - self._looked < self._options.discover or consumer.intake.ends is not None:
            return
        self._looked = now
        added = [place for place in await consumer.partitions() if place not in self._next]
        if added:
            first = await consumer.first(added)
            await consumer.intake.rest()
            self._next.update(first)
            self._assign(consumer)
