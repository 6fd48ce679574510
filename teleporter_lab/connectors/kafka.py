"""Apache Kafka: the forms and the declaration.

Owns the options. Refuses to import aiokafka, so that a form costs nothing; `kafka_cluster`, the readers and the sinks
are imported when something is made.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from teleporter_lab.config.duration import Duration
from teleporter_lab.config.secret import Secret
from teleporter_lab.connectors.base import BatchOptions, Connector, Options, Spec, address_of
from teleporter_lab.connectors.csv_values import TypeName
from teleporter_lab.connectors.kafka_positions import Start, distance, parse_start
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from teleporter_lab.connectors.kafka_assigned import AssignedReader
    from teleporter_lab.connectors.kafka_cluster import Cluster
    from teleporter_lab.connectors.kafka_group import GroupReader
    from teleporter_lab.connectors.kafka_records import Decoding
    from teleporter_lab.connectors.kafka_sink import KafkaSink

Format = Literal["json", "string", "bytes"]
Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]
Topic = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class KafkaAddressOptions(Options):
    """The `client` block of a kafka address."""

    bootstrap_servers: str = Field(
        min_length=1, description="`host:port` of some brokers, separated by commas; the others are found through them."
    )
    client_id: str = Field(default="teleporter-lab", min_length=1, description="What the brokers' logs call us.")
    security_protocol: Protocol = Field(default="PLAINTEXT", description="How connections are protected.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="PLAIN", description="How user and password are shown to the brokers, with SASL."
    )
    user: str | None = Field(default=None, description="User, with SASL.")
    password: Secret | None = Field(default=None, description="Password, best as `${env:NAME}`.")
    ca_file: str | None = Field(
        default=None,
        description="With SSL: certificates of the authorities to trust (PEM); empty: those of this machine.",
    )
    cert_file: str | None = Field(default=None, description="With SSL: certificate of this client (PEM).")
    key_file: str | None = Field(default=None, description="With SSL: its key (PEM), if it is in a file of its own.")
    key_password: Secret | None = Field(default=None, description="With SSL: the password of the key.")
    verify_hostname: bool = Field(default=True, description="With SSL: a broker's certificate must have its name.")
    request_timeout: Duration = Field(
        default=40.0, gt=0, description="How long an answer is waited for, e.g. `40.seconds`."
    )

    @model_validator(mode="after")
    def _protected(self) -> KafkaAddressOptions:
        if self.security_protocol.startswith("SASL") and (self.user is None or self.password is None):
            raise ValueError(f"user and password must be given with {self.security_protocol}")
        return self


class KafkaSourceOptions(Options):
    """The `client` block of a kafka source."""

    topics: list[Topic] = Field(default_factory=list[str], description="Topics to read; or a `pattern`.")
    pattern: str | None = Field(
        default=None, min_length=1, description="Regular expression of the names of topics to read, new ones too."
    )
    group: str | None = Field(
        default=None, min_length=1, description="Group that shares the partitions and keeps the position; see `assign`."
    )
    assign: Literal["group", "all"] = Field(
        default="group",
        description="Read the partitions that the group gives, or all of them, with a position kept by this system.",
    )
    start: Start = Field(
        default="earliest",
        description="Where to begin if no position is kept: `earliest`, `latest`, a time as ISO text or in "
        'milliseconds since 1970, or offsets: `{"topic": {"0": 100}}`.',
    )
    until: Literal["end"] | None = Field(
        default=None, description="`end`: stop at what was the end of the topics at the start; empty: read on for ever."
    )
    format: Format = Field(default="json", description="What values are.")
    key_format: Format = Field(default="string", description="What keys are.")
    payload: bool = Field(
        default=False,
        description="A record is the value alone, without key, topic, partition, offset, time and headers.",
    )
    types: dict[str, TypeName] = Field(
        default_factory=dict[str, TypeName],
        description="Columns only: types of fields that the first values do not tell.",
    )
    isolation: Literal["read_committed", "read_uncommitted"] = Field(
        default="read_committed", description="Whether to leave out transactions that are open or aborted."
    )
    out_of_range: Literal["fail", "earliest"] = Field(
        default="fail",
        description="When the next message is not there any more: fail, or go on with the first one there is.",
    )
    rebalance_timeout: Duration = Field(
        default=30.0, gt=0, le=3600, description="How long records may take to be stored when partitions move."
    )
    session_timeout: Duration = Field(
        default=10.0,
        ge=0.5,
        le=1800,
        description="After how long without a sign of life a member of the group is dead.",
    )
    poll_timeout: Duration = Field(
        default=300.0, gt=0, description="After how long without reading it gives its partitions to the others."
    )
    discover: Duration = Field(default=60.0, gt=0, description="How often new partitions and topics are looked for.")
    fetch_bytes: int = Field(
        default=52_428_800, ge=1, le=2_000_000_000, description="Bytes of one answer of a broker, about."
    )
    partition_bytes: int = Field(
        default=4_194_304, ge=1, le=2_000_000_000, description="Bytes of one partition in an answer, about."
    )
    fetch_wait: Duration = Field(
        default=0.5,
        ge=0,
        le=30,
        description="How long a broker waits for messages before it answers that there are none.",
    )

    @field_validator("topics", mode="before")
    @classmethod
    def _one_topic(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("start", mode="after")
    @classmethod
    def _start(cls, value: Start) -> Start:
        parse_start(value)
        return value

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"pattern is no regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _complete(self) -> KafkaSourceOptions:
        if bool(self.topics) == (self.pattern is not None):
            raise ValueError("either topics or a pattern must be given")
        if (self.assign == "group") != (self.group is not None):
            raise ValueError("a group must be given, or else assign must be all, which reads without one")
        return self


class KafkaSinkOptions(BatchOptions):
    """The `client` block of a kafka sink."""

    topic: Topic | None = Field(default=None, description="Topic to write to; or a `topicField`.")
    topic_field: str | None = Field(default=None, min_length=1, description="Field of a record that names its topic.")
    envelope: bool = Field(
        default=False,
        description="Records are as a kafka source gives them: with value, key and headers as fields.",
    )
    key_field: str | list[str] | None = Field(
        default=None, description="Field that is the key of the message; of several the key is a JSON list."
    )
    headers_field: str | None = Field(default=None, description="Field that holds headers: a mapping, or pairs.")
    partition_field: str | None = Field(
        default=None, description="Field with the number of the partition; empty: by the key, else in turns."
    )
    timestamp_field: str | None = Field(
        default=None, description="Field with the time of the message in milliseconds since 1970; empty: now."
    )
    format: Format = Field(default="json", description="What values are.")
    key_format: Format = Field(default="string", description="What keys are.")
    compression: Compression = Field(default="none", description="How batches are compressed.")
    max_batch_bytes: int = Field(
        default=500_000,
        ge=1000,
        le=100_000_000,
        description="Bytes of one batch for a partition; never above the topic's.",
    )
    delivery_timeout: Duration = Field(
        default=120.0, gt=0, description="How long brokers that are away are waited for."
    )
    exactly_once: bool = Field(
        default=False, description="Write each batch and the position of the kafka source in one transaction."
    )
    transactional_id: str | None = Field(
        default=None,
        min_length=1,
        description="With `exactlyOnce`: name of the writer; empty: one made of the stream's.",
    )
    transaction_timeout: Duration = Field(
        default=60.0, ge=1, le=900, description="With `exactlyOnce`: how long a transaction may take."
    )

    @model_validator(mode="after")
    def _complete(self) -> KafkaSinkOptions:
        if (self.topic is None) == (self.topic_field is None):
            raise ValueError("either topic or topicField must be given")
        if self.transactional_id is not None and not self.exactly_once:
            raise ValueError("transactionalId may be given only with exactlyOnce")
        return self


def _address(options: KafkaAddressOptions, _: object) -> Cluster:
    from teleporter_lab.connectors.kafka_cluster import Cluster

    return Cluster(options)


def _cluster(address: object) -> Cluster:
    from teleporter_lab.connectors.kafka_cluster import Cluster

    return address_of(Cluster, address, KafkaConnector.category)


def _reader(options: KafkaSourceOptions, address: object, decoding: Decoding) -> AssignedReader | GroupReader:
    from teleporter_lab.connectors.kafka_assigned import AssignedReader
    from teleporter_lab.connectors.kafka_group import GroupReader

    kind = AssignedReader if options.assign == "all" else GroupReader
    return kind(options, _cluster(address), decoding)


def _source(options: KafkaSourceOptions, address: object) -> AssignedReader | GroupReader:
    from teleporter_lab.connectors.kafka_records import Rows

    return _reader(options, address, Rows(options))


async def _noted(options: KafkaSourceOptions, address: object) -> list[str]:
    return [] if options.group is None else await _cluster(address).notes(options.group)


def _columns(options: KafkaSourceOptions, address: object) -> AssignedReader | GroupReader:
    from teleporter_lab.connectors.kafka_columns import JsonColumns

    if options.format != "json" or not options.payload:
        raise ConnectorError(
            "A kafka source gives columns with format json and payload true: the fields of the values."
        )
    return _reader(options, address, JsonColumns(options))


def _sink(options: KafkaSinkOptions, address: object) -> KafkaSink:
    from teleporter_lab.connectors.kafka_sink import KafkaSink
    from teleporter_lab.connectors.kafka_transactions import KafkaTransactions

    return (KafkaTransactions if options.exactly_once else KafkaSink)(options, _cluster(address))


class KafkaConnector(Connector):
    """Topics of Apache Kafka."""

    category = "kafka"
    aliases = ("kafka_consumer", "kafka_producer")
    description = "Topics of Apache Kafka, read by a group or as a whole, written idempotently or in transactions."
    extra = "kafka"
    needs_address = True
    address = Spec(KafkaAddressOptions, _address)
    source = Spec(
        KafkaSourceOptions,
        _source,
        guarantee=(
            "Resumes just behind the last message that is stored, by partition. The group keeps the position, or with "
            "`assign: all` this system; partitions move only after what was read of them is stored, or is read again."
        ),
        columnar=_columns,
        noted=_noted,
        distance=distance,
    )
    sink = Spec(
        KafkaSinkOptions,
        _sink,
        guarantee=(
            "A batch counts as written when all replicas have it. Written again it is there twice; with `exactlyOnce` "
            "and a kafka source in a group it is there once, with the position."
        ),
        columnar=_sink,
        exactly_once="kafka",
    )
