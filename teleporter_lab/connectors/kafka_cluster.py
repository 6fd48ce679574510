"""A Kafka cluster as an address: how its brokers are reached, and what they say no with.

Owns the settings of every client, the door to the driver, and the translation of its errors to one sentence. Refuses to
share connections: readers and sinks have clients of their own.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.base import require
from teleporter_lab.connectors.kafka_positions import noted
from teleporter_lab.errors import AddressUnreachable, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from teleporter_lab.connectors.kafka import KafkaAddressOptions
    from teleporter_lab.connectors.kafka_positions import Offsets, Place

log = logging.getLogger(__name__)

USUAL_BYTES = 1_000_000
"""Bytes of a batch that brokers take where nothing else is said and nothing can be found out."""

UNREACHABLE = (
    "KafkaConnectionError", "NodeNotReadyError", "NoBrokersAvailable", "KafkaTimeoutError", "RequestTimedOutError",
    "LeaderNotAvailableError", "GroupCoordinatorNotAvailableError", "NotCoordinatorForGroupError", "StaleMetadata",
)  # fmt: skip
AGAIN_SECONDS = 0.1
"""After how long a question is asked again."""

UNKNOWN_TOPIC = 3
"""The code of UnknownTopicOrPartition."""


def driver(module: str = "aiokafka") -> Any:
    """aiokafka or one of its modules. Raises MissingDriver, which says how to install it."""
    return require(module, "kafka")


def kafka_errors() -> Any:
    """The errors of the driver; `KafkaError` is the root of what brokers and connections fail with."""
    return driver("aiokafka.errors")


@dataclass(frozen=True)
class TopicInfo:
    """What a writer needs to know about a topic."""

    partitions: tuple[int, ...]
    max_bytes: int
    """Bytes of a batch that its brokers take."""


class Cluster:
    """The brokers behind some of their names. `str` shows the names only."""

    def __init__(self, options: KafkaAddressOptions) -> None:
        driver()
        self._options = options
        self._servers = [server.strip() for server in options.bootstrap_servers.split(",") if server.strip()]
        self.request_timeout = options.request_timeout
        self._takes_notes = True
        self._ssl = _ssl_context(options) if options.security_protocol.endswith("SSL") else None

    def settings(self) -> dict[str, Any]:
        """Arguments that every client of the driver takes."""
        options = self._options
        return {
            "bootstrap_servers": self._servers,
            "client_id": options.client_id,
            "request_timeout_ms": int(options.request_timeout * 1000),
            "security_protocol": options.security_protocol,
            "ssl_context": self._ssl,
            "sasl_mechanism": options.sasl_mechanism,
            "sasl_plain_username": options.user,
            "sasl_plain_password": None if options.password is None else options.password.reveal(),
        }

    async def start(self, client: Any, stop: Callable[[], Awaitable[object]]) -> None:
        """Starts a client of the driver; stops it again when it fails. Raises AddressUnreachable."""
        try:
            await client.start()
        except BaseException as error:
            await stop()
            if not isinstance(error, kafka_errors().KafkaError):
                raise
            raise self.translated(error, "the start of a client") from error

    async def check(self) -> None:
        """Returns when a broker has said who the others are. Raises AddressUnreachable."""
        await self._ask(lambda admin: admin.describe_cluster(), "a look at the cluster")

    def close(self) -> None:
        """Nothing to let go of: each client is closed by whoever made it."""

    async def topic(self, name: str) -> TopicInfo:
        """Partitions and limits of a topic. Raises ConnectorError when it is not there."""
        config = driver("aiokafka.admin.config_resource")
        wanted = config.ConfigResource(config.ConfigResourceType.TOPIC, name)

        async def ask(admin: Any) -> tuple[Any, Any]:
            return await admin.describe_topics([name]), await admin.describe_configs([wanted])

        (described, *_), configs = await self._ask(ask, f"a look at the topic {name}")
        self._must_be_there(described)
        numbers = sorted(each["partition"] for each in described["partitions"])
        entries = [entry for answer in configs for resource in answer.resources for entry in resource[4]]
        limit = next((int(entry[1]) for entry in entries if entry[0] == "max.message.bytes"), USUAL_BYTES)
        return TopicInfo(tuple(numbers), limit)

    async def partitions(self, topics: list[str], pattern: str | None) -> list[Place]:
        """Every partition of `topics`, or of the topics that `pattern` matches. Raises ConnectorError."""
        found = await self._ask(lambda admin: admin.describe_topics(topics or None), "a look at the topics")
        if pattern is not None:
            found = [each for each in found if re.match(pattern, each["topic"]) and not each["is_internal"]]
        for each in found:
            self._must_be_there(each)
        return sorted((each["topic"], one["partition"]) for each in found for one in each["partitions"])

    async def committed(self, group: str) -> Offsets:
        """What the brokers keep for a group."""
        return {tuple(place): kept.offset for place, kept in (await self._kept(group)).items() if kept.offset >= 0}

    async def notes(self, group: str) -> list[str]:
        """The texts that they keep beside its offsets."""
        return [kept.metadata for kept in (await self._kept(group)).values() if kept.metadata]

    def with_note(self, offsets: Offsets, note: str) -> dict[Any, tuple[int, str]]:
        """What is to be committed, as the driver wants it; without the note where brokers have refused one."""
        named = driver().TopicPartition
        return {named(*place): each for place, each in noted(offsets, note if self._takes_notes else "").items()}

    def refuses_notes(self) -> None:
        """A commit has failed because of its note: none is sent any more."""
        self._takes_notes = False
        log.warning(
            "The cluster %s refuses our notes (offset.metadata.max.bytes): the ledger of a stream that is killed may "
            "lack what was committed to its group last.", self,
        )  # fmt: skip

    async def _kept(self, group: str) -> dict[Any, Any]:
        return await self._ask(lambda admin: admin.list_consumer_group_offsets(group), "a look at what is committed")

    def _must_be_there(self, described: Any) -> None:
        name, code = described["topic"], described["error_code"]
        if code == UNKNOWN_TOPIC:
            raise ConnectorError(f"The cluster {self} has no topic {name}; make it, or write the name of one it has.")
        if code:
            raise self.translated(kafka_errors().for_code(code)(), f"a look at the topic {name}")

    def translated(self, error: BaseException, what: str) -> ConnectorError:
        """`error` as one sentence that says what failed; AddressUnreachable where no broker answers."""
        name = type(error).__name__
        if name in UNREACHABLE:
            return AddressUnreachable(f"The cluster {self} does not answer or lets us not in: {what} failed ({name}).")
        said = next(iter(str(error).strip().splitlines()), "").rstrip(".")
        return ConnectorError(f"The cluster {self} refused {what}: {name}{': ' if said else ''}{said[:300]}.")

    def __repr__(self) -> str:
        return ", ".join(self._servers)

    async def _ask(self, ask: Callable[[Any], Awaitable[Any]], what: str) -> Any:
        admin = driver("aiokafka.admin").AIOKafkaAdminClient(**self.settings())
        await self.start(admin, admin.close)
        try:
            return await self._patiently(lambda: ask(admin))
        except kafka_errors().KafkaError as error:
            raise self.translated(error, what) from error
        finally:
            await admin.close()

    async def _patiently(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """What is answered, asked again while brokers that have just started say that it will pass."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.request_timeout
        while True:
            try:
                return await ask()
            except kafka_errors().KafkaError as error:
                if not error.retriable or loop.time() > deadline:
                    raise
            await asyncio.sleep(AGAIN_SECONDS)


def _ssl_context(options: KafkaAddressOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        context.check_hostname = options.verify_hostname
        if options.cert_file is not None:
            password = None if options.key_password is None else options.key_password.reveal()
            context.load_cert_chain(options.cert_file, options.key_file, password)
    except (OSError, ValueError) as error:
        why = error.strerror or type(error).__name__ if isinstance(error, OSError) else "it holds no certificate"
        raise ConnectorError(f"A certificate or key of the address cannot be read: {why}.") from error
    return context
