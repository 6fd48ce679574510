"""The driver's producer, replaced after each failure.

Owns its start and end, and the sending of packed batches. Refuses to send again: an idempotent producer that has
failed once refuses everything for that partition from then on, so whoever writes again does so with a fresh one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.kafka_cluster import driver, kafka_errors
from teleporter_lab.errors import AddressUnreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.kafka import KafkaSinkOptions
    from teleporter_lab.connectors.kafka_cluster import Cluster
    from teleporter_lab.connectors.kafka_packing import Bundle

log = logging.getLogger(__name__)

ABORT_SECONDS = 10.0
"""How long a transaction that has failed may take to be aborted."""


class Producer:
    """One producer of the driver at a time; `ready` makes one where there is none."""

    def __init__(self, options: KafkaSinkOptions, cluster: Cluster) -> None:
        self._options = options
        self._cluster = cluster
        self._raw: Any = None
        self.transactional_id: str | None = None

    async def ready(self) -> Any:
        """A producer that has not failed yet. Raises AddressUnreachable when no broker answers."""
        if self._raw is None:
            raw = driver().AIOKafkaProducer(**self._cluster.settings(), **self._settings())
            try:
                async with asyncio.timeout(self._options.delivery_timeout):
                    await self._cluster.start(raw, raw.stop)
            except TimeoutError as error:
                raise self._away() from error
            self._raw = raw
        return self._raw

    async def send(self, bundles: Sequence[Bundle]) -> list[tuple[Bundle, Exception]]:
        """Sends batches and waits until all replicas have them; gives those that were refused, and why.

        When it gives or raises something, the producer must be given up. Raises AddressUnreachable when the brokers
        were away for longer than `deliveryTimeout`; they may have some of the batches.
        """
        raw = await self.ready()
        sent: list[tuple[Bundle, asyncio.Future[Any]]] = []
        try:
            for bundle in bundles:
                topic, partition = bundle.place
                sent.append((bundle, await raw.send_batch(bundle.builder, topic, partition=partition)))
        except kafka_errors().KafkaError as error:
            raise self._cluster.translated(error, "a batch") from error
        finally:
            for _, each in sent:
                each.add_done_callback(_looked_at)
        _, late = await asyncio.wait([each for _, each in sent], timeout=self._options.delivery_timeout)
        if late:
            raise self._away()
        return [(bundle, error) for bundle, each in sent if isinstance(error := each.exception(), Exception)]

    async def close(self) -> None:
        """Disconnects. Nothing is under way: what was sent has been waited for, or given up."""
        raw, self._raw = self._raw, None
        if raw is not None:
            await raw.stop()

    async def abort(self) -> None:
        """Aborts the open transaction, and gives the producer up.

        Where no broker answers, a fresh producer with the same id or the brokers' time limit ends it.
        """
        try:
            if self._raw is not None:
                async with asyncio.timeout(min(ABORT_SECONDS, self._options.delivery_timeout)):
                    await self._raw.abort_transaction()
        except (kafka_errors().KafkaError, TimeoutError, AssertionError) as error:
            # the driver asserts that there is something to abort: not where it was fenced, or commits already
            log.info("The transaction of %s was not aborted: %r", self.transactional_id, error)
        finally:
            await self.give_up()

    async def give_up(self) -> None:
        """Ends a producer with what it could not deliver, for which its own `stop` would wait for ever."""
        raw, self._raw = self._raw, None
        if raw is not None:
            sending = raw._sender.sender_task
            sending.cancel()
            await asyncio.wait((sending,))
            raw._message_accumulator.fail_all(kafka_errors().ProducerClosed())
            transaction = self.transactional_id and raw._txn_manager.wait_for_transaction_end()
            if transaction and transaction.done():
                _looked_at(transaction)
            await raw.stop()

    def _away(self) -> AddressUnreachable:
        seconds = self._options.delivery_timeout
        return AddressUnreachable(
            f"The cluster {self._cluster} was away for {seconds:g} seconds; it may have the batch."
        )

    def _settings(self) -> dict[str, Any]:
        options = self._options
        settings: dict[str, Any] = {
            "acks": "all",
            "enable_idempotence": True,
            "max_batch_size": options.max_batch_bytes,
            "max_request_size": options.max_batch_bytes,
            "compression_type": None if options.compression == "none" else options.compression,
        }
        if self.transactional_id is not None:
            settings["transactional_id"] = self.transactional_id
            settings["transaction_timeout_ms"] = int(options.transaction_timeout * 1000)
        return settings


def _looked_at(sent: asyncio.Future[Any]) -> None:
    """Takes the error of what nobody waits for any more; who waits sees it too."""
    if not sent.cancelled():
        sent.exception()
