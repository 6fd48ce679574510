"""Messages packed into the batches that are sent, one partition each.

Owns the choice of the partition and the limits of a batch. A message that is too large alone in a batch is refused
here, because a broker that refuses it leaves an idempotent producer unusable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.kafka_cluster import driver
from teleporter_lab.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from teleporter_lab.connectors.kafka_cluster import TopicInfo
    from teleporter_lab.connectors.kafka_positions import Place
    from teleporter_lab.connectors.kafka_records import Message

FRAME = 40
"""Bytes that a message takes in a batch beside key, value and headers, at most; a header takes half of it."""


@dataclass(slots=True)
class Bundle:
    """One batch: where it goes, and which records of a write are in it."""

    place: Place
    builder: Any
    indices: list[int] = field(default_factory=list[int])

    def full(self, most: tuple[int, int]) -> bool:
        """Whether it has that many records or more bytes."""
        return len(self.indices) >= most[0] or self.builder.size() > most[1]


class Packing:
    """Packs messages in their order. Messages without key or partition fill one partition after the other."""

    def __init__(self, topics: dict[str, TopicInfo], max_bytes: int) -> None:
        self._topics = topics
        self._max_bytes = max_bytes
        self._turns: dict[str, int] = {}
        self._hash: Callable[[bytes], int] = lru_cache(50_000)(driver("aiokafka.partitioner").murmur2)

    def pack(
        self, messages: Iterable[tuple[int, Message]], new: Callable[[], Any], most: int
    ) -> tuple[list[Bundle], dict[int, Exception]]:
        """Batches of up to `most` messages made by `new`, and what is wrong with those that are too large."""
        opened: dict[Place, Bundle] = {}
        bundles: list[Bundle] = []
        refused: dict[int, Exception] = {}
        for index, message in messages:
            limit, size = self._topics[message.topic].max_bytes, _size(message)
            if size + 2 * FRAME > limit and _alone(new(), message) > limit:
                refused[index] = _too_large(message, limit)
                continue
            room = (most, min(limit, self._max_bytes) - size)
            place = self._place(index, message, opened, room)
            bundle = opened.get(place)
            if bundle is None or bundle.full(room):
                bundle = opened[place] = Bundle(place, new())
                bundles.append(bundle)
            _append(bundle.builder, message)
            bundle.indices.append(index)
        return bundles, refused

    def turn(self) -> None:
        """Lets messages without a key go to the next partitions."""
        for topic in self._turns:
            self._turns[topic] += 1

    def _place(self, index: int, message: Message, opened: Mapping[Place, Bundle], room: tuple[int, int]) -> Place:
        partitions = self._topics[message.topic].partitions
        if message.partition is not None:
            if message.partition not in partitions:
                raise BadRecord(
                    f"A record names partition {message.partition} of {message.topic}, which has {len(partitions)}.",
                    index=index,
                )
            return message.topic, message.partition
        if message.key is not None:
            return message.topic, partitions[(self._hash(message.key) & 0x7FFFFFFF) % len(partitions)]
        turn = self._turns.setdefault(message.topic, 0)
        bundle = opened.get((message.topic, partitions[turn % len(partitions)]))
        if bundle is not None and bundle.full(room):
            turn = self._turns[message.topic] = turn + 1
        return message.topic, partitions[turn % len(partitions)]


def _size(message: Message) -> int:
    """Bytes that a message takes in a batch, at most."""
    size = FRAME + len(message.value or b"") + len(message.key or b"")
    return size + sum(len(name) * 4 + len(value or b"") + FRAME // 2 for name, value in message.headers)


def _append(builder: Any, message: Message) -> Any:
    return builder.append(timestamp=message.timestamp, key=message.key, value=message.value, headers=message.headers)


def _alone(builder: Any, message: Message) -> int:
    _append(builder, message)
    return int(builder.size())


def _too_large(message: Message, limit: int) -> BadRecord:
    return BadRecord(
        f"A message of about {_size(message)} bytes is too large for {message.topic}: its max.message.bytes is {limit}."
    )
