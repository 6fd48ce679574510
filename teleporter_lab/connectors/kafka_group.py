"""The partitions that a group gives to one of its members.

Owns the life of a membership: where each share begins, what may be committed of it, and that partitions are handed over
only after what was read of them is stored, if that does not take too long. Position: `{"topic": {"0": next offset}}`
over the partitions it has now; the group keeps it.

When the shares of a group change, every member gives back all of its partitions (eager rebalancing) and gets new ones,
at the offsets committed last. What was fetched and not given out is dropped then: whoever gets the partition reads it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.kafka_cluster import driver, kafka_errors
from teleporter_lab.connectors.kafka_consumer import Consumer
from teleporter_lab.connectors.kafka_positions import Shares, offsets_of, position_of
from teleporter_lab.errors import AddressUnreachable, TeleporterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from teleporter_lab.connectors.kafka import KafkaSourceOptions
    from teleporter_lab.connectors.kafka_cluster import Cluster
    from teleporter_lab.connectors.kafka_positions import Offsets, Place
    from teleporter_lab.connectors.kafka_records import Decoding

log = logging.getLogger(__name__)

LEAVE_SECONDS = 2.0
"""How long a member that is closed waits for its last commit before it leaves: there is nothing to wait for after a
stream that has ended well, and no use in it after one that has failed."""


class GroupReader:
    """A member of a group. `commit` tells the group how far it has come, `settle` is asked before partitions go."""

    def __init__(self, options: KafkaSourceOptions, cluster: Cluster, decoding: Decoding) -> None:
        self._options = options
        self._cluster = cluster
        self._decoding = decoding
        self.columnar = decoding.columnar
        self.group = options.group or ""
        self.settle: Callable[[], Awaitable[None]] | None = None
        self._consumer: Consumer | None = None
        self._wanted: Offsets | None = None
        """A position that a person has set, until it is taken up."""
        self._known: frozenset[Place] = frozenset()
        """The partitions at the start: one that is not among them is new, and no message of it is passed over."""
        self._assigned: frozenset[Place] | None = None
        """What the group has given; None while it decides."""
        self._placed = False
        """Reading has begun at the right offsets of what is assigned."""
        self._shares = Shares()
        self._position: dict[str, dict[str, int]] = {}
        self._closing = asyncio.Event()
        self._settling = False
        self._failure: BaseException | None = None
        """What `settle` failed with, where that was no answer of a system: the next read raises it, or the closing."""
        self._counts = {"records": 0, "commits": 0, "commits_refused": 0, "rebalances": 0, "settles_given_up": 0}

    async def open(self, position: Any) -> None:
        wanted = None if position is None else offsets_of(position)
        await self.close()
        consumer = Consumer(self._options, self._cluster, self._decoding, self.group)
        await consumer.start()
        self._consumer = consumer
        self._closing.clear()
        self._shares.lost()
        places = await consumer.partitions()
        self._known, self._wanted = frozenset(places), wanted
        if self._options.until == "end":
            consumer.intake.ends = await consumer.ends(places)
        listener = _listener(self._revoked, self._given)
        consumer.raw.subscribe(self._options.topics, self._options.pattern, listener)

    async def read(self, n: int) -> Any:
        consumer = self._consumer
        if consumer is None:
            return None
        while True:
            self._raise_failure()
            if not self._placed:
                await self._place(consumer, n)
                continue
            records = consumer.intake.take(n, self._shares.give)
            if records is not None:
                self._position = position_of(self._shares.given)
                self._counts["records"] += len(records)
                return records
            if await consumer.reached(self._assigned or ()):
                return None
            await consumer.fetch(n)

    @property
    def position(self) -> dict[str, dict[str, int]]:
        return self._position

    async def commit(self, position: Any, note: str = "") -> None:
        """Commits what `position` says of the partitions it has now, with the note beside one of the offsets.

        Of those it has no longer nothing is committed: their new owners begin at the last commit, and what was stored
        of them after it is stored again. A member that was closed can commit too, as long as the group has no other.
        Raises AddressUnreachable when no broker answers, ConnectorError when they refuse for another reason than that
        the shares have changed.
        """
        offsets = self._shares.committable(position)
        consumer = self._consumer
        if offsets and await (self._tell(consumer, offsets, note) if consumer else self._tell_late(offsets, note)):
            self._shares.committed(offsets)

    async def close(self) -> None:
        if self._consumer is not None and self._shares.behind and not self._settling:
            await self._settle(min(LEAVE_SECONDS, self._options.rebalance_timeout))
        self._closing.set()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()
        self._assigned, self._placed = None, False
        self._raise_failure()

    def statistics(self) -> dict[str, int]:
        """Messages given, commits, commits that came too late, rebalances, waits for `settle` given up; partitions."""
        return {**self._counts, "partitions": len(self._assigned or ())}

    async def _revoked(self) -> None:
        """The group is about to decide anew: nothing more is given out, and what was is waited for."""
        self._assigned, self._placed = None, False
        if self._consumer is not None:
            self._consumer.intake.drop()
        try:
            if self._shares.given:
                self._counts["rebalances"] += 1
                await self._settle(self._options.rebalance_timeout)
        finally:
            self._shares.lost()

    def _given(self, places: Iterable[Place]) -> None:
        self._assigned, self._placed = frozenset(places), False

    async def _settle(self, seconds: float) -> None:
        """Waits until what was given out is committed, up to the limit."""
        if self.settle is None or self._closing.is_set():
            return
        self._settling = True
        settling = asyncio.ensure_future(self.settle())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((settling, closing), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            in_time = settling.done()
        finally:
            self._settling = False
            settling.cancel()
            closing.cancel()
            await asyncio.wait((settling, closing))
        why = None if settling.cancelled() else settling.exception()
        if not in_time or why is not None:
            self._counts["settles_given_up"] += 1
            log.warning(
                "A member of the group %s gives back partitions before all that was read of them is committed: %s. "
                "The rest is read again.", self.group, why or "it is not stored yet",
            )  # fmt: skip
        if not isinstance(why, TeleporterError):
            self._failure = why

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def _place(self, consumer: Consumer, n: int) -> None:
        """Begins reading what is assigned: at the offsets committed, or where a position or the options say.

        Where reading begins without a commit is committed at once: a member that gets the partition next must not find
        a later end, or another position. The first message needs none: it is what is found anyway.
        """
        assigned = self._assigned
        if assigned is None:
            await consumer.fetch(n, quick=True)  # gives nothing now, and raises what the group fails with
            return
        await consumer.intake.rest()
        wanted = {place: offset for place, offset in (self._wanted or {}).items() if place in assigned}
        kept, fresh = await self._begins(consumer, assigned - wanted.keys())
        start = wanted if self._options.start == "earliest" else {**fresh, **wanted}
        if self._assigned is assigned and (not start or await self._tell(consumer, start)):
            consumer.seek({**kept, **fresh, **wanted})
            self._placed, self._wanted = True, None

    async def _begins(self, consumer: Consumer, places: Iterable[Place]) -> tuple[Offsets, Offsets]:
        """What is committed, and where to begin in the partitions of which nothing is."""
        named = driver().TopicPartition
        kept: Offsets = {}
        for place in sorted(places):
            offset = await consumer.asked(consumer.raw.committed(named(*place)), "a look at what is committed")
            if offset is not None:
                kept[place] = offset
        fresh = [place for place in places if place not in kept]
        added = [place for place in fresh if place not in self._known]
        known = [place for place in fresh if place in self._known]
        return kept, {**await consumer.first(added), **await consumer.begins(known)}

    async def _tell(self, consumer: Consumer, offsets: Offsets, note: str = "") -> bool:
        """Commits `offsets`. False where the group has decided anew by then, which is logged."""
        errors = kafka_errors()
        try:
            await consumer.commit(offsets, note)
        except (errors.CommitFailedError, errors.IllegalStateError) as error:
            self._counts["commits_refused"] += 1
            log.warning(
                "The group %s has given the partitions to others before this was committed: %s. It is read again. (%s)",
                self.group, position_of(offsets), error,
            )  # fmt: skip
            return False
        except TimeoutError as error:
            raise AddressUnreachable(f"The cluster {self._cluster} does not answer to a commit.") from error
        except errors.KafkaError as error:
            raise self._cluster.translated(error, f"a commit for the group {self.group}") from error
        self._counts["commits"] += 1
        return True

    async def _tell_late(self, offsets: Offsets, note: str) -> bool:
        """Commits for a group that was left. False where others are in it, or have gone on: these read again."""
        late = Consumer(self._options, self._cluster, self._decoding, self.group)
        await late.start()
        try:
            kept = await self._cluster.committed(self.group)
            offsets = {place: offset for place, offset in offsets.items() if kept.get(place, -1) < offset}
            named = driver().TopicPartition
            late.raw.assign([named(*place) for place in offsets])
            return not offsets or await self._tell(late, offsets, note)
        finally:
            await late.close()


def _listener(revoked: Callable[[], Awaitable[None]], given: Callable[[Iterable[Place]], None]) -> Any:
    """What the driver tells about shares, in the form it wants."""

    class Listener(driver("aiokafka.abc").ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked_places: Any) -> None:
            await revoked()

        async def on_partitions_assigned(self, assigned: Any) -> None:
            given((place.topic, place.partition) for place in assigned)

    return Listener()
