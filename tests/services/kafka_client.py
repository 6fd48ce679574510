"""How tests make, fill and look at topics without the connector.

Owns short calls, each with a client of its own. A call may be made in a thread with an event loop: it runs in another.
"""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence

T = TypeVar("T")


def apart(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, in a loop and thread of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@dataclass(frozen=True)
class Kafka:
    """The names of one test at a broker."""

    bootstrap: str
    prefix: str
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def name(self, what: str = "group") -> str:
        """A name for a topic, a group or a transactional id that nobody has yet."""
        return f"{self.prefix}-{what}-{next(self._numbers)}"

    def topic(self, partitions: int = 1, name: str | None = None, **config: str) -> str:
        """Makes a topic; `max_message_bytes="1000"` and the like are its settings."""
        from aiokafka.admin import NewTopic

        made = name or self.name("topic")
        configs = {key.replace("_", "."): value for key, value in config.items()}

        async def work(admin: Any) -> None:
            await admin.create_topics([NewTopic(made, partitions, 1, topic_configs=configs)])
            while (await admin.describe_topics([made]))[0]["error_code"]:  # the broker hears of it a little later
                await asyncio.sleep(0.01)

        apart(self._admin(work))
        return made

    def add_partitions(self, topic: str, total: int) -> None:
        from aiokafka.admin import NewPartitions

        apart(self._admin(lambda admin: admin.create_partitions({topic: NewPartitions(total)})))

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Lets the broker forget what stands before an offset, as its retention would."""
        from aiokafka import TopicPartition
        from aiokafka.admin import RecordsToDelete

        forgotten = {TopicPartition(topic, partition): RecordsToDelete(before_offset=before)}
        apart(self._admin(lambda admin: admin.delete_records(forgotten)))

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """The offsets that the broker keeps for a group."""
        found = apart(self._admin(lambda admin: admin.list_consumer_group_offsets(group)))
        return {(tp.topic, tp.partition): kept.offset for tp, kept in found.items() if kept.offset >= 0}

    def produce(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        keys: Sequence[bytes] | None = None,
        partition: int | None = 0,
        **more: Any,
    ) -> None:
        """Writes values, in order; `headers` and `timestamp_ms` are the same for all of them."""

        async def work() -> None:
            from aiokafka import AIOKafkaProducer

            async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all") as producer:
                named = keys or [None] * len(values)
                sent = [
                    await producer.send(topic, value, key, partition, **more)
                    for value, key in zip(values, named, strict=True)
                ]
                await asyncio.gather(*sent)

        apart(work())

    def transaction(self, topic: str, values: Sequence[bytes], *, commit: bool) -> None:
        """Writes values to partition 0 in one transaction, which is committed or aborted."""

        async def work() -> None:
            from aiokafka import AIOKafkaProducer

            name = self.name("transaction")
            async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, transactional_id=name) as producer:
                await producer.begin_transaction()
                await asyncio.gather(*[await producer.send(topic, value, partition=0) for value in values])
                await (producer.commit_transaction() if commit else producer.abort_transaction())

        apart(work())

    def records(self, topic: str, *, committed: bool = True) -> list[Any]:
        """Everything in a topic, partition by partition, as the driver's records."""

        async def work() -> list[Any]:
            from aiokafka import AIOKafkaConsumer, TopicPartition

            level = "read_committed" if committed else "read_uncommitted"
            async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap, isolation_level=level) as consumer:
                await consumer._client.add_topic(topic)
                numbers = consumer.partitions_for_topic(topic) or set()
                places = [TopicPartition(topic, number) for number in sorted(numbers)]
                consumer.assign(places)
                await consumer.seek_to_beginning(*places)
                return [record for place in places for record in await _rest(consumer, place)]

        return apart(work())

    def values(self, topic: str, **more: Any) -> list[Any]:
        return [record.value for record in self.records(topic, **more)]

    async def _admin(self, ask: Callable[[Any], Awaitable[T]]) -> T:
        from aiokafka.admin import AIOKafkaAdminClient

        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            return await _patiently(admin, ask)
        finally:
            await admin.close()


async def _patiently(admin: Any, ask: Callable[[Any], Awaitable[T]]) -> T:
    """What is answered; a broker that has just started says for a moment that it will answer later."""
    from aiokafka.errors import KafkaError

    async with asyncio.timeout(60):
        while True:
            try:
                return await ask(admin)
            except KafkaError as error:
                if not error.retriable:
                    raise
            await asyncio.sleep(0.05)


async def _rest(consumer: Any, place: Any) -> list[Any]:
    end: Mapping[Any, int] = await consumer.end_offsets([place])
    found: list[Any] = []
    while await consumer.position(place) < end[place]:
        found += (await consumer.getmany(place, timeout_ms=1000)).get(place, [])
    return found
