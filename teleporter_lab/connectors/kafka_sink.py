"""Records written to topics, each batch acknowledged by all replicas before it counts as written.

Owns what happens to a batch that is refused. Takes rows and columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.kafka_cluster import TopicInfo, kafka_errors
from teleporter_lab.connectors.kafka_packing import Packing
from teleporter_lab.connectors.kafka_producer import Producer
from teleporter_lab.connectors.kafka_records import Encoding
from teleporter_lab.connectors.record_batches import is_batch, rows_of
from teleporter_lab.errors import BadRecord, ConnectorError, RecordsRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.kafka import KafkaSinkOptions
    from teleporter_lab.connectors.kafka_cluster import Cluster
    from teleporter_lab.connectors.kafka_packing import Bundle
    from teleporter_lab.connectors.kafka_records import Message

ANY_NUMBER = 1 << 30


class KafkaSink:
    """Writes with an idempotent producer: what the connection repeats is there once, what is written again is not."""

    columnar = True

    def __init__(self, options: KafkaSinkOptions, cluster: Cluster) -> None:
        self._options = options
        self._cluster = cluster
        self._encoding = Encoding(options)
        self._topics: dict[str, TopicInfo] = {}
        self._packing = Packing(self._topics, options.max_batch_bytes)
        self._producer = Producer(options, cluster)
        self._records = 0

    async def open(self) -> None:
        if self._options.topic is not None:
            self._topics[self._options.topic] = await self._cluster.topic(self._options.topic)
        await self._producer.ready()

    async def write(self, records: Sequence[Any]) -> None:
        if len(records):
            messages = await self._messages(records)
            refused = await self._deliver(messages)
            self._records += len(messages) - len(refused)
            if refused:
                raise RecordsRefused.of(refused, f"The cluster {self._cluster}")

    async def close(self) -> None:
        await self._producer.close()

    def statistics(self) -> dict[str, int]:
        """Records written since it was made."""
        return {"records": self._records}

    async def _messages(self, records: Sequence[Any]) -> list[Message]:
        """The messages that records are, of topics that are known. Raises BadRecord."""
        messages = self._encoding.messages(rows_of(records) if is_batch(records) else records)
        if self._options.topic_field is not None:
            for index, message in enumerate(messages):
                if message.topic not in self._topics:
                    await self._learn(message.topic, index)
        return messages

    async def _learn(self, topic: str, index: int) -> None:
        try:
            self._topics[topic] = await self._cluster.topic(topic)
        except ConnectorError as error:
            if type(error) is not ConnectorError:
                raise
            raise BadRecord(error.message, index=index) from error

    async def _deliver(self, messages: Sequence[Message]) -> dict[int, Exception]:
        """Sends everything, and gives what is wrong with the messages that are too large. Raises ConnectorError.

        Our own limit is that of the topic when it was looked at; where a broker has a smaller one by now, a batch is
        cut until the messages are found that it refuses.
        """
        waiting, most = list(enumerate(messages)), ANY_NUMBER
        refused: dict[int, Exception] = {}
        while waiting:
            bundles, large = await self._pack(waiting, most)
            refused |= large
            failed = await self._send(bundles) if bundles else []
            again = self._again(failed, refused)
            most = max((len(bundle.indices) for bundle, _ in failed), default=2) // 2 or 1
            waiting = [(index, messages[index]) for index in sorted(again)]
        self._packing.turn()
        return refused

    async def _send(self, bundles: Sequence[Bundle]) -> list[tuple[Bundle, Exception]]:
        try:
            failed = await self._producer.send(bundles)
        except BaseException:
            await self._producer.give_up()
            raise
        if failed:
            await self._producer.give_up()
        return failed

    async def _pack(
        self, messages: Sequence[tuple[int, Message]], most: int
    ) -> tuple[list[Bundle], dict[int, Exception]]:
        raw = await self._producer.ready()
        return self._packing.pack(messages, raw.create_batch, most)

    def _again(self, failed: Sequence[tuple[Bundle, Exception]], refused: dict[int, Exception]) -> list[int]:
        """Which records are to be sent again, in smaller batches. Adds those that are refused for good.

        Behind a batch that is too large, the next ones of its partition fail with a gap in their numbers.
        """
        errors = kafka_errors()
        too_large = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
        cut = any(isinstance(error, too_large) for _, error in failed)
        again: list[int] = []
        for bundle, error in failed:
            large = isinstance(error, too_large)
            if large and len(bundle.indices) == 1:
                refused[bundle.indices[0]] = self._cluster.translated(error, f"a message for {bundle.place[0]}")
            elif large or (cut and isinstance(error, errors.OutOfOrderSequenceNumber)):
                again += bundle.indices
            else:
                raise self._cluster.translated(error, f"a batch for {bundle.place[0]}") from error
        return again
