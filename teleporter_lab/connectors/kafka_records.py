"""Messages of a topic as records, and records as messages.

Owns the formats of values and keys. Refuses to read and to send.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import msgspec

from teleporter_lab.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.connectors.kafka import Format, KafkaSinkOptions, KafkaSourceOptions

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What bytes that are not of the promised format raise."""

Headers = list[tuple[str, bytes | None]]


class Decoding(Protocol):
    """How messages become what a reader gives."""

    columnar: bool

    def decode(self, messages: Sequence[Any]) -> tuple[Any, int, BadRecord | None]:
        """Records of the messages before the first bad one, how many these are, and what is wrong with that one."""
        ...


class Rows:
    """A mapping for each message, or its value alone."""

    columnar = False

    def __init__(self, options: KafkaSourceOptions) -> None:
        self._value = _decoder(options.format)
        self._key = _decoder(options.key_format)
        self._format = options.format
        self._key_format = options.key_format
        self._records = self._values if options.payload else self._mappings

    def decode(self, messages: Sequence[Any]) -> tuple[list[Any], int, BadRecord | None]:
        try:
            return self._records(messages), len(messages), None
        except UNREADABLE:
            return self._until_bad(messages)

    def _values(self, messages: Sequence[Any]) -> list[Any]:
        values = [message.value for message in messages]
        if None in values:
            return list(map(self._optional, values))
        return list(map(self._value, values))

    def _mappings(self, messages: Sequence[Any]) -> list[Any]:
        key = self._key
        return [
            _with_place(message, None if message.key is None else key(message.key), value)
            for message, value in zip(messages, self._values(messages), strict=True)
        ]

    def _optional(self, value: bytes | None) -> Any:
        return None if value is None else self._value(value)

    def _until_bad(self, messages: Sequence[Any]) -> tuple[list[Any], int, BadRecord | None]:
        records: list[Any] = []
        for message in messages:
            try:
                records += self._records([message])
            except UNREADABLE as error:
                return records, len(records), self._bad(message, error)
        return records, len(records), None

    def _bad(self, message: Any, error: Exception) -> BadRecord:
        what, wanted = "value", self._format
        try:
            self._optional(message.value)
        except UNREADABLE:
            pass
        else:
            what, wanted = "key", self._key_format
        return bad_message(message, f"its {what} is no {_NAMES[wanted]}: {error}", error)


def bad_message(message: Any, why: str, cause: Exception | None = None) -> BadRecord:
    """The error for one message; says where it stands, and has it as it was found."""
    found = _with_place(message, message.key, message.value)
    bad = BadRecord(
        f"The message at offset {message.offset} of {message.topic}-{message.partition} is bad: {why}.", record=found
    )
    bad.__cause__ = cause
    return bad


def _with_place(message: Any, key: Any, value: Any) -> dict[str, Any]:
    return {
        "key": key,
        "value": value,
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp": message.timestamp,
        "headers": list(message.headers),
    }


class Message(NamedTuple):
    """What is sent for one record."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int | None


class Encoding:
    """Makes messages of records. Raises BadRecord, which knows the place of the record in its batch."""

    def __init__(self, options: KafkaSinkOptions) -> None:
        self._options = options
        self._value = _encoder(options.format)
        self._key = _encoder(options.key_format)
        envelope = options.envelope
        self._key_field = options.key_field or ("key" if envelope else None)
        self._headers_field = options.headers_field or ("headers" if envelope else None)
        fields = (options.topic_field, options.partition_field, options.timestamp_field)
        self._plain = not any((*fields, self._key_field, self._headers_field, envelope))
        """Only the value is taken from a record."""

    def messages(self, records: Sequence[Any]) -> list[Message]:
        done: list[Message] = []
        try:
            for record in records:
                done.append(self._message(record))  # noqa: PERF401 - what is done tells where the bad one is
        except (TypeError, ValueError, KeyError, RecursionError) as error:
            target = self._options.topic or f"the topics in {self._options.topic_field}"
            why = f"it has no field {error}" if isinstance(error, KeyError) else str(error)
            raise BadRecord(f"A record for {target} cannot be written: {why}.", index=len(done)) from error
        return done

    def _message(self, record: Any) -> Message:
        options = self._options
        if self._plain:
            return Message(cast("str", options.topic), None, None, self._value(record), [], None)
        fields = _fields(record)
        value = fields["value"] if options.envelope else record
        return Message(
            options.topic if options.topic is not None else _text(fields[cast("str", options.topic_field)]),
            _number(fields, options.partition_field),
            self._key_of(fields),
            None if value is None else self._value(value),
            [] if self._headers_field is None else _headers(fields.get(self._headers_field)),
            _number(fields, options.timestamp_field),
        )

    def _key_of(self, fields: Mapping[str, Any]) -> bytes | None:
        name = self._key_field
        if name is None:
            return None
        if isinstance(name, list):
            return msgspec.json.encode([fields[each] for each in name])
        key = fields.get(name) if self._options.key_field is None else fields[name]
        return None if key is None else self._key(key)


def _decoder(wanted: Format) -> Callable[[bytes], Any]:
    if wanted == "json":
        return msgspec.json.Decoder().decode
    return _as_is if wanted == "bytes" else bytes.decode


def _as_is(value: bytes) -> bytes:
    return value


def _encoder(wanted: Format) -> Callable[[Any], bytes]:
    if wanted == "json":
        return msgspec.json.Encoder().encode
    return _of_bytes if wanted == "bytes" else _of_text


_NAMES = {"json": "JSON", "string": "UTF-8 text", "bytes": "bytes"}


def _of_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    raise TypeError(f"bytes are wanted, and it is a {type(value).__name__}")


def _of_text(value: Any) -> bytes:
    """Text as it is; numbers as they are written, as keys are often such."""
    if isinstance(value, str):
        return str.encode(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return b"%d" % value
    raise TypeError(f"text is wanted, and it is a {type(value).__name__}")


def _text(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise TypeError(f"the name of a topic is wanted, and it is {value!r}")


def _fields(record: Any) -> Mapping[str, Any]:
    if isinstance(record, Mapping):
        return cast("Mapping[str, Any]", record)
    raise TypeError(f"it must be a mapping of fields, not a {type(record).__name__}")


def _number(fields: Mapping[str, Any], name: str | None) -> int | None:
    value = None if name is None else fields[name]
    if value is None or (type(value) is int and value >= 0):
        return value
    raise TypeError(f"the field {name} must be a number of 0 or more, and it is {value!r}")


def _headers(value: Any) -> Headers:
    """Headers out of a mapping or of pairs; text becomes UTF-8."""
    if value is None:
        return []
    pairs = cast("Mapping[Any, Any]", value).items() if isinstance(value, Mapping) else value
    if not isinstance(pairs, Iterable) or isinstance(value, str | bytes):
        raise TypeError("headers must be a mapping or a list of pairs")
    return [(_header_name(name), _header_value(each)) for name, each in cast("Iterable[tuple[Any, Any]]", pairs)]


def _header_name(name: Any) -> str:
    if isinstance(name, str):
        return name
    raise TypeError(f"the name of a header must be text, and it is {name!r}")


def _header_value(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return str.encode(value)
    raise TypeError(f"the value of a header must be text or bytes, and it is a {type(value).__name__}")
