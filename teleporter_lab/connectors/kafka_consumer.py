"""The driver's consumer, with our settings and our errors.

Owns its start and end, where partitions begin, and what happens when a wanted message is gone. Refuses to choose
partitions and to keep messages.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.connectors.kafka_cluster import driver, kafka_errors
from teleporter_lab.connectors.kafka_intake import POLL, Intake
from teleporter_lab.connectors.kafka_positions import parse_start
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from teleporter_lab.connectors.kafka import KafkaSourceOptions
    from teleporter_lab.connectors.kafka_cluster import Cluster
    from teleporter_lab.connectors.kafka_positions import Offsets, Place
    from teleporter_lab.connectors.kafka_records import Decoding

log = logging.getLogger(__name__)

REJOIN_SECONDS = 10.0
"""What a group has for joining again, beyond the time that records may take to be stored."""

QUICK = 0.1
"""Seconds of a poll where reading is to end at the end: there is nothing to wait for."""


class Consumer:
    """One consumer of the driver, started; `close` ends it."""

    def __init__(self, options: KafkaSourceOptions, cluster: Cluster, decoding: Decoding, group: str | None) -> None:
        self._options = options
        self._cluster = cluster
        self.raw = driver().AIOKafkaConsumer(**cluster.settings(), **_settings(options, group))
        self.intake = Intake(self.raw, decoding)

    async def start(self) -> None:
        """Connects. Raises AddressUnreachable, and has let go of everything then."""
        await self._cluster.start(self.raw, self.raw.stop)

    async def close(self) -> None:
        """Leaves the group, if there is one, and disconnects. A second call does nothing."""
        await self.intake.close()
        await self.raw.stop()

    async def partitions(self) -> list[Place]:
        """Every partition of the topics there are now. Raises ConnectorError for a topic that is not there."""
        return await self._cluster.partitions(self._options.topics, self._options.pattern)

    async def begins(self, places: Iterable[Place]) -> Offsets:
        """Where the options let reading of `places` start."""
        start = parse_start(self._options.start)
        places = list(places)
        if isinstance(start, dict):
            missing = [place for place in places if place not in start]
            return {**{place: start[place] for place in places if place in start}, **await self.first(missing)}
        if start == "earliest":
            return await self.first(places)
        if start == "latest":
            return await self.ends(places)
        return await self._behind(int(start), places)

    async def first(self, places: Iterable[Place]) -> Offsets:
        """The first messages there are."""
        return await self._offsets(self.raw.beginning_offsets(self._named(places)))

    async def ends(self, places: Iterable[Place]) -> Offsets:
        """The places where the next messages will stand; with read_committed, the first open transaction."""
        return await self._offsets(self.raw.end_offsets(self._named(places)))

    def seek(self, offsets: Offsets) -> None:
        """Lets the next fetch begin there. What was fetched before must have been dropped."""
        named = driver().TopicPartition
        for place, offset in offsets.items():
            self.raw.seek(named(*place), offset)

    async def fetch(self, n: int, quick: bool = False) -> None:
        """Waits a little for up to `n` messages, and takes them in. Raises ConnectorError."""
        errors = kafka_errors()
        quick = quick or self.intake.ends is not None
        try:
            await self.intake.fetch(n, QUICK if quick else min(POLL, self._options.discover))
        except errors.OffsetOutOfRangeError as error:
            await self._gone(error)
        except errors.NoOffsetForPartitionError as error:
            log.debug("A partition was asked for before its offset was set: %s", error)
        except errors.KafkaError as error:
            raise self._cluster.translated(error, "reading") from error

    async def reached(self, places: Iterable[Place]) -> bool:
        """Whether everything up to the ends was fetched and given out; never where there are no ends."""
        ends = self.intake.ends
        if ends is None or not self.intake.idle:
            return False
        named = driver().TopicPartition
        try:
            return all([await self.raw.position(named(*place)) >= ends[place] for place in places if place in ends])
        except kafka_errors().IllegalStateError as error:
            log.debug("The partitions have changed: %s", error)
            return False

    async def commit(self, offsets: Offsets, note: str) -> None:
        """Commits for the group, with the note if the brokers take it. Raises errors of the driver, TimeoutError."""
        async with asyncio.timeout(self._cluster.request_timeout):
            try:
                await self.raw.commit(self._cluster.with_note(offsets, note))
            except kafka_errors().OffsetMetadataTooLargeError:
                self._cluster.refuses_notes()
                await self.raw.commit(self._cluster.with_note(offsets, note))

    async def asked(self, answer: Awaitable[Any], what: str) -> Any:
        """What the driver answers. Raises ConnectorError."""
        try:
            return await answer
        except kafka_errors().KafkaError as error:
            raise self._cluster.translated(error, what) from error

    def _named(self, places: Iterable[Place]) -> list[Any]:
        named = driver().TopicPartition
        return [named(*place) for place in places]

    async def _offsets(self, answer: Awaitable[Any]) -> Offsets:
        found = await self.asked(answer, "a look at offsets")
        return {tuple(place): offset for place, offset in found.items()}

    async def _behind(self, time: int, places: list[Place]) -> Offsets:
        """The first messages of that time or later; where there are none, the ends."""
        answer = self.raw.offsets_for_times(dict.fromkeys(self._named(places), time))
        found = await self.asked(answer, "a look at offsets by time")
        at = {cast("Place", tuple(place)): kept.offset for place, kept in found.items() if kept is not None}
        return {**await self.ends([place for place in places if place not in at]), **at}

    async def _gone(self, error: Any) -> None:
        """A message that is wanted is not there, for instance because it was kept no longer."""
        wanted: Offsets = {tuple(place): offset for place, offset in error.args[0].items()}
        first = await self.first(wanted)
        (place, offset), *_ = wanted.items()
        if self._options.out_of_range == "fail":
            raise ConnectorError(
                f"The message at offset {offset} of {place[0]}-{place[1]} is not there: the topic begins at "
                f"{first[place]} now. Set the position, or let `outOfRange` be earliest to go on without what is lost."
            ) from error
        for each, begin in first.items():
            log.warning("%s-%s: offsets %s to %s are gone and were not read.", *each, wanted[each], begin)
        self.seek(first)


def _settings(options: KafkaSourceOptions, group: str | None) -> dict[str, Any]:
    return {
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",  # we say where to begin, and an offset that is gone is told
        "isolation_level": options.isolation,
        "fetch_max_bytes": options.fetch_bytes,
        "max_partition_fetch_bytes": options.partition_bytes,
        "fetch_max_wait_ms": int(options.fetch_wait * 1000),
        "metadata_max_age_ms": _milliseconds(options.discover),
        "session_timeout_ms": _milliseconds(options.session_timeout),
        "heartbeat_interval_ms": max(100, _milliseconds(options.session_timeout) // 4),
        "rebalance_timeout_ms": _milliseconds(options.rebalance_timeout + REJOIN_SECONDS),
        "max_poll_interval_ms": _milliseconds(options.poll_timeout),
    }


def _milliseconds(seconds: float) -> int:
    return int(min(seconds, 1_000_000) * 1000)
