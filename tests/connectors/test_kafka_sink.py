"""Records are written to topics as a whole, by key or field, and what a broker refuses is told one by one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pytest

from teleporter_lab.errors import BadRecord, ConnectorError, RecordsRefused
from teleporter_lab.testing.sink_contract import SinkCase, SinkContract
from tests.connectors.kafka_ends import all_of, reader, sink

if TYPE_CHECKING:
    from tests.services.kafka_client import Kafka

pytestmark = pytest.mark.kafka

RECORDS = [{"id": n, "text": "ü" * n} for n in range(50)]


class TestKafkaSink(SinkContract):
    @pytest.fixture
    def case(self, kafka: Kafka) -> SinkCase:
        topic = kafka.topic()
        return SinkCase(
            make=lambda: sink(kafka, topic),
            read_back=lambda: [msgspec.json.decode(value) for value in kafka.values(topic)],
            records=RECORDS,
            bad=[*RECORDS[:3], {"id": object()}],
        )


async def written(kafka: Kafka, topic: str | None, *batches: Any, **options: Any) -> None:
    writer = sink(kafka, topic, **options)
    await writer.open()
    try:
        for batch in batches:
            await writer.write(batch)
    finally:
        await writer.close()


async def test_a_message_has_key_headers_time_and_partition_of_its_record(kafka: Kafka) -> None:
    topic = kafka.topic(3)
    record = {"id": "a", "p": 2, "h": {"x": "y"}, "at": 1_700_000_000_000}
    fields = {"key_field": "id", "partition_field": "p", "headers_field": "h", "timestamp_field": "at"}
    await written(kafka, topic, [record], **fields)
    (message,) = kafka.records(topic)
    assert (message.partition, message.key, message.timestamp) == (2, b"a", 1_700_000_000_000)
    assert message.headers == (("x", b"y"),)
    assert msgspec.json.decode(message.value) == record


async def test_records_go_to_the_topics_they_name(kafka: Kafka) -> None:
    one, two = kafka.topic(), kafka.topic()
    await written(kafka, None, [{"to": one, "n": 1}, {"to": two, "n": 2}, {"to": one, "n": 3}], topic_field="to")
    assert [msgspec.json.decode(value)["n"] for value in kafka.values(one) + kafka.values(two)] == [1, 3, 2]
    with pytest.raises(BadRecord, match="has no topic no-such-topic") as failure:
        await written(kafka, None, [{"to": one}, {"to": "no-such-topic"}], topic_field="to")
    assert failure.value.index == 1
    assert len(kafka.values(one)) == 2


async def test_a_key_goes_where_other_clients_put_it_and_keeps_its_order(kafka: Kafka) -> None:
    topic, theirs = kafka.topic(7), kafka.topic(7)
    keys = [b"key-%d" % (n % 40) for n in range(400)]
    kafka.produce(theirs, [b"x"] * 400, keys=keys, partition=None)
    records = [{"k": key.decode(), "n": n} for n, key in enumerate(keys)]
    await written(kafka, topic, records[:150], records[150:], key_field="k")
    where = {message.key: message.partition for message in kafka.records(theirs)}
    ours = kafka.records(topic)
    assert {message.key: message.partition for message in ours} == where
    for key in set(keys):
        order = [msgspec.json.decode(message.value)["n"] for message in ours if message.key == key]
        assert order == sorted(order)
        assert len(order) == 10


async def test_without_a_key_partitions_are_filled_in_turns(kafka: Kafka) -> None:
    topic = kafka.topic(3)
    await written(kafka, topic, *([n] * 5 for n in range(6)))
    assert [message.partition for message in kafka.records(topic)] == [0] * 10 + [1] * 10 + [2] * 10
    topic = kafka.topic(3)
    await written(kafka, topic, ["x" * 200] * 60, max_batch_bytes=2000)
    assert {message.partition for message in kafka.records(topic)} == {0, 1, 2}


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_batches_can_be_compressed(kafka: Kafka, compression: str) -> None:
    topic = kafka.topic()
    await written(kafka, topic, RECORDS, compression=compression)
    assert [msgspec.json.decode(value) for value in kafka.values(topic)] == RECORDS


async def test_what_a_source_gives_can_be_written_as_it_is(kafka: Kafka) -> None:
    topic, copy = kafka.topic(), kafka.topic()
    kafka.produce(topic, [b'{"a":1}', None], keys=[b"k", b"l"], headers=[("h", b"x")])
    records = await all_of(reader(kafka, topic, payload=False, until="end"))
    await written(kafka, copy, records, envelope=True)
    ours, theirs = kafka.records(copy), kafka.records(topic)
    assert [(m.key, m.value, m.headers) for m in ours] == [(m.key, m.value, m.headers) for m in theirs]


async def test_columns_are_written_as_their_rows(kafka: Kafka) -> None:
    topic = kafka.topic()
    await written(kafka, topic, pa.RecordBatch.from_pylist(RECORDS), RECORDS[:1])
    assert [msgspec.json.decode(value) for value in kafka.values(topic)] == [*RECORDS, RECORDS[0]]


async def test_messages_that_are_too_large_are_refused_and_their_neighbours_are_stored(kafka: Kafka) -> None:
    topic = kafka.topic(max_message_bytes="2000")
    sizes = [10, 5000, 10, 1900, 1990, 10]
    with pytest.raises(RecordsRefused, match=r"^The cluster .* has refused 2 records of the batch") as failure:
        await written(kafka, topic, ["x" * size for size in sizes])
    assert sorted(failure.value.refused) == [1, 4]
    assert all(isinstance(error, BadRecord) for error in failure.value.refused.values())
    assert "too large" in str(failure.value.refused[1])
    assert [len(value) - 2 for value in kafka.values(topic)] == [10, 10, 1900, 10]


async def test_a_limit_that_a_broker_has_lowered_meanwhile_is_found_out(kafka: Kafka) -> None:
    topic = kafka.topic(max_message_bytes="2000")
    writer = sink(kafka, topic)
    await writer.open()
    writer._topics[topic] = type(writer._topics[topic])((0,), 1_000_000)  # as it was before
    with pytest.raises(RecordsRefused) as failure:
        await writer.write(["x" * size for size in (100, 900, 3000, 900, 800, 100)])
    assert sorted(failure.value.refused) == [2]
    assert sorted(len(value) - 2 for value in kafka.values(topic)) == [100, 100, 800, 900, 900]
    await writer.write(["y"])
    await writer.close()
    assert kafka.values(topic)[-1] == b'"y"'
    assert writer.statistics() == {"records": 6}


async def test_a_write_that_is_cancelled_leaves_a_writer_that_works(kafka: Kafka) -> None:
    topic = kafka.topic()
    writer = sink(kafka, topic)
    await writer.open()
    writing = asyncio.ensure_future(writer.write([1, 2, 3]))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait((writing,))
    await writer.write([4])
    await writer.close()
    assert kafka.values(topic)[-1] == b"4"


async def test_what_is_wrong_with_the_target_is_told(kafka: Kafka) -> None:
    with pytest.raises(ConnectorError, match=r"has no topic no-such-topic; make it"):
        await written(kafka, "no-such-topic")
    topic = kafka.topic(2)
    with pytest.raises(BadRecord, match=rf"names partition 7 of {topic}, which has 2") as failure:
        await written(kafka, topic, [{"p": 0}, {"p": 7}], partition_field="p")
    assert failure.value.index == 1
    assert kafka.values(topic) == []
