"""Records and the position of their source, written to a cluster in one transaction.

Owns transactions: begun, committed, aborted, and looked after when it is not known whether they were committed. A
second writer with the same transactional id fences the first, whose next transaction fails.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.kafka_cluster import kafka_errors
from teleporter_lab.connectors.kafka_positions import offsets_of
from teleporter_lab.connectors.kafka_sink import ANY_NUMBER, KafkaSink
from teleporter_lab.errors import AddressUnreachable, Conflict, ConnectorError, RecordsRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.kafka import KafkaSinkOptions
    from teleporter_lab.connectors.kafka_cluster import Cluster
    from teleporter_lab.connectors.kafka_packing import Bundle
    from teleporter_lab.connectors.kafka_positions import Offsets
    from teleporter_lab.engine.endpoints import Mark


class KafkaTransactions(KafkaSink):
    """Each batch is a transaction, with the offsets of the source's group in it."""

    def __init__(self, options: KafkaSinkOptions, cluster: Cluster) -> None:
        super().__init__(options, cluster)
        self._fenced = False
        self._failed = False
        """A transaction has failed, and it was not looked yet what became of it."""
        self._last: Offsets = {}
        """The offsets of the last transaction."""
        self._doubt: Offsets = {}
        """Those of one that failed when it was to be committed: perhaps it was."""
        self._stored: Offsets = {}
        """Those of one that was committed although it seemed to fail."""

    async def open(self) -> None:
        if self._options.topic is not None:
            self._topics[self._options.topic] = await self._cluster.topic(self._options.topic)

    async def marked(self, key: str) -> str | None:
        """None: the group keeps the position. From here on no other writer of this key can commit.

        One that was fenced itself does not fence the other one back.
        """
        if self._producer.transactional_id is None:
            self._producer.transactional_id = self._options.transactional_id or f"teleporter-lab{key}"
        if not self._fenced:
            await self._producer.ready()
        return None

    async def write(self, records: Sequence[Any]) -> None:
        """Records without a position, in a transaction; a writer of nothing else shuts out no other one."""
        if self._producer.transactional_id is None:
            self._producer.transactional_id = f"{self._options.transactional_id or 'teleporter-lab'}-{uuid.uuid4().hex}"
        if len(records):
            await self._transact(records, {}, None)

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        """The text of the mark goes beside the offsets.

        Raises Conflict when another writer with the same transactional id has begun.
        """
        if mark.group is None:
            raise ConnectorError("A kafka sink is exactly once only with a kafka source that reads in a group.")
        if self._producer.transactional_id is None:
            await self.marked(mark.key)
        offsets = offsets_of(mark.position)
        if self._failed:
            await self._look(mark.group, offsets)
        if self._stored and all(offset <= self._stored.get(place, -1) for place, offset in offsets.items()):
            return
        self._stored = {}
        await self._transact(records, offsets, mark)

    async def holds(self, mark: Mark) -> bool:
        """Whether the group has the offsets of `mark`. A fresh producer has ended what another one had begun."""
        await self.marked(mark.key)
        kept = {} if mark.group is None else await self._cluster.committed(mark.group)
        offsets = offsets_of(mark.position)
        return bool(offsets) and all(kept.get(place) == offset for place, offset in offsets.items())

    async def _look(self, group: str, offsets: Offsets) -> None:
        """Finds out what became of a transaction that failed. Raises Conflict when another writer has gone on since.

        A fresh producer with the same id ends the open transaction: the group then has either its offsets or those of
        the one before.
        """
        if self._fenced:
            raise self._conflict()
        await self._producer.ready()
        kept = await self._cluster.committed(group)
        if self._doubt and all(kept.get(place) == offset for place, offset in self._doubt.items()):
            self._stored = self._last = self._doubt
        elif any(kept.get(place) != offset for place, offset in self._last.items() if place in offsets):
            self._fenced = True
            await self._producer.give_up()
            raise self._conflict()
        self._failed, self._doubt = False, {}

    async def _transact(self, records: Sequence[Any], offsets: Offsets, mark: Mark | None) -> None:
        if self._fenced:
            raise self._conflict()
        messages = await self._messages(records)
        bundles, refused = await self._pack(list(enumerate(messages)), ANY_NUMBER)
        if refused:
            raise RecordsRefused.of(refused, f"The cluster {self._cluster}")
        try:
            async with asyncio.timeout(self._options.delivery_timeout):
                await self._commit(bundles, offsets, mark)
        except BaseException as error:
            self._failed = True
            await self._producer.abort()
            if not isinstance(error.__cause__, kafka_errors().OffsetMetadataTooLargeError):
                self._raise_told(error)
                raise
            self._cluster.refuses_notes()
            return await self._transact(records, offsets, mark)
        self._doubt, self._last = {}, offsets or self._last
        self._records += len(messages)
        self._packing.turn()

    async def _commit(self, bundles: Sequence[Bundle], offsets: Offsets, mark: Mark | None) -> None:
        raw = await self._producer.ready()
        await raw.begin_transaction()
        failed = await self._producer.send(bundles) if bundles else []
        if failed:
            raise failed[0][1]
        if offsets and mark is not None:
            self._doubt = offsets
            await raw.send_offsets_to_transaction(self._cluster.with_note(offsets, mark.text), mark.group)
        await raw.commit_transaction()

    def _raise_told(self, error: BaseException) -> None:
        """Raises an error of the driver as one of ours."""
        errors = kafka_errors()
        if isinstance(error, TimeoutError):
            raise AddressUnreachable(f"The cluster {self._cluster} does not answer to a transaction.") from error
        if isinstance(error, errors.ProducerFenced | errors.InvalidProducerEpoch):
            self._fenced = True
            raise self._conflict() from error
        if isinstance(error, errors.KafkaError):
            raise self._cluster.translated(error, "a transaction") from error

    def _conflict(self) -> Conflict:
        return Conflict(
            f"Another writer has taken over {self._producer.transactional_id}; this one must not go on. Two streams "
            "need two values of `transactionalId`."
        )
