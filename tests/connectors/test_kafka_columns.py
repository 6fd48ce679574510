"""JSON values as columns: the same rows as the other form gives, the same positions, and nothing bent to fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.connectors.kafka import KafkaConnector, KafkaSourceOptions
from teleporter_lab.connectors.kafka_columns import JsonColumns
from teleporter_lab.errors import BadRecord, ConnectorError
from teleporter_lab.testing.source_contract import AsyncSourceContract, ColumnarSourceContract, SourceCase
from tests.connectors.kafka_ends import reader
from tests.connectors.test_kafka_records import Raw

if TYPE_CHECKING:
    from tests.services.kafka_client import Kafka

RECORDS = [{"id": n, "name": f"n{n}", "price": n / 2, "good": n % 2 == 0} for n in range(60)]


@pytest.mark.kafka
class TestColumns(ColumnarSourceContract, AsyncSourceContract):
    @pytest.fixture
    def case(self, kafka: Kafka) -> SourceCase:
        topic = kafka.topic()
        kafka.produce(topic, [json.dumps(record).encode() for record in RECORDS])
        return SourceCase(
            lambda: reader(kafka, topic, columns=True, until="end"),
            RECORDS,
            lambda: reader(kafka, topic, until="end"),
            most_readers=4,
        )


@pytest.mark.kafka
async def test_a_group_gives_columns_too(kafka: Kafka) -> None:
    topic, group = kafka.topic(), kafka.name()
    kafka.produce(topic, [b'{"a":1}', b'{"a":2}'])
    source = reader(kafka, topic, columns=True, group=group)
    await source.open(None)
    assert (await source.read(10)).to_pylist() == [{"a": 1}, {"a": 2}]
    await source.commit(source.position)
    await source.close()
    assert kafka.committed(group) == {(topic, 0): 2}


def columns(**options: Any) -> JsonColumns:
    return JsonColumns(KafkaSourceOptions(topics=["t"], assign="all", payload=True, **options))


def messages(*values: Any) -> list[Raw]:
    return [
        Raw(value if isinstance(value, bytes | None) else json.dumps(value).encode(), offset=offset)
        for offset, value in enumerate(values)
    ]


def decoded(form: JsonColumns, *values: Any) -> tuple[Any, int, BadRecord | None]:
    batch, good, bad = form.decode(messages(*values))
    return (None if batch is None else batch.to_pylist()), good, bad


def test_rows_without_a_field_have_a_null_there_and_order_does_not_matter() -> None:
    form = columns()
    assert decoded(form, {"a": 1, "b": "x"}, {"b": "y", "a": None}, {"b": "z"})[0] == [
        {"a": 1, "b": "x"}, {"a": None, "b": "y"}, {"a": None, "b": "z"},
    ]  # fmt: skip


def test_whole_numbers_fit_a_column_of_others() -> None:
    assert decoded(columns(), {"a": 1.5}, {"a": 2})[0] == [{"a": 1.5}, {"a": 2.0}]


def test_nested_values_and_times_take_the_way_of_the_form() -> None:
    form = columns(types={"at": "datetime"})
    rows, good, bad = decoded(form, {"at": "2024-01-01T00:00:00", "l": [{"x": 1}]}, {"at": None, "l": []})
    assert (good, bad) == (2, None)
    assert [row["l"] for row in rows] == [[{"x": 1}], []]
    assert str(rows[0]["at"]) == "2024-01-01 00:00:00"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"{", "its value is no JSON"),
        (b'{"a":1}{"a":2}', "its value is no JSON"),
        (b"", "its value is no JSON"),
        (None, "it has no object with fields as value"),
        ([1], "it holds a list and no object"),
        ({"a": "text"}, "a"),
        ({"a": 1.5}, "a"),
        ({"a": True}, "a"),
        ({"a": 1, "new": 2}, "it has the field new"),
    ],
)
def test_what_does_not_fit_is_a_bad_message_behind_the_good_ones(value: Any, why: str) -> None:
    form = columns()
    assert decoded(form, {"a": 0})[0] == [{"a": 0}]
    rows, good, bad = decoded(form, {"a": 1}, {"a": 2}, value, {"a": 3})
    assert (rows, good) == ([{"a": 1}, {"a": 2}], 2)
    assert isinstance(bad, BadRecord)
    assert str(bad).startswith("The message at offset 2 of t-3 is bad: ")
    assert why in str(bad)
    assert decoded(form, value)[:2] == (None, 0)
    assert decoded(form, {"a": 4})[0] == [{"a": 4}]


def test_columns_are_those_of_the_first_objects() -> None:
    form = columns()
    for value in (None, b"{", {}):
        assert "it has no object with fields" in str(decoded(form, value)[2])
    batch, *_ = form.decode(messages({"a": None, "b": 1}))
    assert batch.schema == pa.schema([("a", pa.string()), ("b", pa.int64())])


def test_a_message_that_fits_no_other_spoils_only_itself_at_the_start_too() -> None:
    form = columns()
    assert decoded(form, {"a": 1}, {"a": 2}, {"a": "text"}, {"a": 3})[:2] == ([{"a": 1}, {"a": 2}], 2)
    assert decoded(form, {"a": 3})[0] == [{"a": 3}]


def test_values_that_make_no_columns_at_all_are_told() -> None:
    with pytest.raises(ConnectorError, match="The values of t make no columns; leave out columns there"):
        decoded(columns(), {"a": [1, "x"]})


def test_columns_are_refused_for_other_forms() -> None:
    make = KafkaConnector.spec("source").columnar
    assert make is not None
    for options in ({"format": "bytes", "payload": True}, {"payload": False}):
        with pytest.raises(ConnectorError, match="gives columns with format json and payload true"):
            make(KafkaSourceOptions(topics=["t"], group="g", **options), None)
