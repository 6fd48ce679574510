"""Messages become records and records messages, in the formats of the options; a bad one is told with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from teleporter_lab.connectors.kafka import KafkaSinkOptions, KafkaSourceOptions
from teleporter_lab.connectors.kafka_records import Encoding, Message, Rows
from teleporter_lab.errors import BadRecord


@dataclass
class Raw:
    """A message as the driver gives it."""

    value: bytes | None
    key: bytes | None = None
    offset: int = 0
    topic: str = "t"
    partition: int = 3
    timestamp: int = 1000
    headers: tuple[Any, ...] = ()


def rows(**options: Any) -> Rows:
    return Rows(KafkaSourceOptions(**{"topics": ["t"], "assign": "all", **options}))


def encoded(*records: Any, **options: Any) -> list[Message]:
    return Encoding(KafkaSinkOptions(**{"topic": "t", **options})).messages(records)


def test_a_record_has_everything_of_its_message() -> None:
    records, good, bad = rows().decode([Raw(b'{"a":1}', b"k", 7, headers=(("h", b"x"), ("h", None)))])
    assert (good, bad) == (1, None)
    assert records == [
        {
            "key": "k", "value": {"a": 1}, "topic": "t", "partition": 3, "offset": 7, "timestamp": 1000,
            "headers": [("h", b"x"), ("h", None)],
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "raw", "value"),
    [("json", b"[1]", [1]), ("string", "ü".encode(), "ü"), ("bytes", b"\xff", b"\xff"), ("json", None, None)],
)
def test_values_and_keys_have_a_format(wanted: Any, raw: Any, value: Any) -> None:
    assert rows(format=wanted, payload=True).decode([Raw(raw)])[0] == [value]
    assert rows(key_format=wanted).decode([Raw(None, raw)])[0][0]["key"] == value


@pytest.mark.parametrize("payload", [True, False])
def test_the_records_before_a_bad_one_are_given_and_it_is_told_with_its_place(payload: bool) -> None:
    messages = [Raw(b"1"), Raw(None), Raw(b"{", offset=41), Raw(b"4")]
    records, good, bad = rows(payload=payload).decode(messages)
    assert (len(records), good) == (2, 2)
    assert isinstance(bad, BadRecord)
    assert str(bad).startswith("The message at offset 41 of t-3 is bad: its value is no JSON: ")
    assert bad.__cause__ is not None
    assert bad.record == {
        "key": None, "value": b"{", "topic": "t", "partition": 3, "offset": 41, "timestamp": 1000, "headers": [],
    }  # fmt: skip


@pytest.mark.parametrize("value", [b"1,2", b"", b" ", b"[1", b'"a', b"\xff", b"[" * 5000])
def test_a_value_that_is_not_one_json_value_is_bad_whatever_its_neighbours_are(value: bytes) -> None:
    _, good, bad = rows(payload=True).decode([Raw(b'{"a":1}'), Raw(value), Raw(b"2]"), Raw(b'b"')])
    assert good == 1
    assert bad is not None


def test_a_bad_key_is_told_as_one() -> None:
    _, _, bad = rows().decode([Raw(b"1", b"\xff")])
    assert "its key is no UTF-8 text" in str(bad)


def test_a_plain_record_is_the_value() -> None:
    assert encoded({"a": 1}, "x") == [
        Message("t", None, None, b'{"a":1}', [], None),
        Message("t", None, None, b'"x"', [], None),
    ]


def test_fields_say_where_a_record_goes() -> None:
    record = {"to": "u", "part": 2, "id": 5, "h": {"a": "b", "c": b"d", "e": None}, "at": 99}
    fields = {"topic_field": "to", "partition_field": "part", "headers_field": "h", "timestamp_field": "at"}
    (message,) = encoded(record, topic=None, key_field="id", **fields)
    assert message[:3] == ("u", 2, b"5")
    assert message[4:] == ([("a", b"b"), ("c", b"d"), ("e", None)], 99)


def test_a_key_of_several_fields_is_a_list() -> None:
    assert encoded({"a": 1, "b": "x"}, key_field=["b", "a"])[0].key == b'["x",1]'


def test_an_envelope_is_taken_apart() -> None:
    record = {"key": "k", "value": {"a": 1}, "topic": "other", "partition": 3, "headers": [("h", b"x")], "offset": 5}
    assert encoded(record, envelope=True) == [Message("t", None, b"k", b'{"a":1}', [("h", b"x")], None)]
    assert encoded({"value": None, "key": 1}, envelope=True) == [Message("t", None, b"1", None, [], None)]


def test_what_was_read_can_be_written() -> None:
    records, *_ = rows().decode([Raw(b'{"a":1}', b"k", headers=(("h", b"x"),)), Raw(None, b"gone")])
    messages = encoded(*records, envelope=True)
    assert [(each.key, each.value, each.headers) for each in messages] == [
        (b"k", b'{"a":1}', [("h", b"x")]),
        (b"gone", None, []),
    ]


@pytest.mark.parametrize(
    ("record", "options", "why"),
    [
        (object(), {}, "Encoding objects of type object is unsupported"),
        ("text", {"format": "bytes"}, "bytes are wanted, and it is a str"),
        (5.5, {"format": "string"}, "text is wanted, and it is a float"),
        ("text", {"key_field": "id"}, "it must be a mapping of fields, not a str"),
        ({"a": 1}, {"key_field": "id"}, "it has no field 'id'"),
        ({"a": 1}, {"envelope": True}, "it has no field 'value'"),
        ({"p": -1}, {"partition_field": "p"}, "the field p must be a number of 0 or more, and it is -1"),
        ({"h": "x"}, {"headers_field": "h"}, "headers must be a mapping or a list of pairs"),
        ({"h": {"a": 5}}, {"headers_field": "h"}, "the value of a header must be text or bytes, and it is a int"),
        ({"h": [(1, "b")]}, {"headers_field": "h"}, "the name of a header must be text, and it is 1"),
        ({"to": ""}, {"topic": None, "topic_field": "to"}, "the name of a topic is wanted, and it is ''"),
    ],
)
def test_a_record_that_cannot_be_written_is_told_with_its_place_in_the_batch(
    record: Any, options: Any, why: str
) -> None:
    good = {"id": "x", "p": 0, "h": {}, "to": "t", "value": 1, "a": 1}
    first: Any = {"bytes": b"x", "string": "x"}.get(options.get("format"), good)
    with pytest.raises(BadRecord) as failure:
        encoded(first, record, **options)
    assert why in str(failure.value)
    assert failure.value.index == 1
