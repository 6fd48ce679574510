"""All partitions of topics are read from where it is said, exactly and once, with a position of our own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError
from teleporter_lab.testing.source_contract import AsyncSourceContract, SourceCase
from tests.connectors.kafka_ends import all_of, cluster, numbers, reader, rest, some

if TYPE_CHECKING:
    from tests.services.kafka_client import Kafka

pytestmark = pytest.mark.kafka


class TestAssignedReader(AsyncSourceContract):
    @pytest.fixture
    def case(self, kafka: Kafka) -> SourceCase:
        topic = kafka.topic()
        kafka.produce(topic, numbers(90))
        kafka.transaction(topic, numbers(5, 1000), commit=False)
        kafka.transaction(topic, numbers(10, 90), commit=True)
        return SourceCase(lambda: reader(kafka, topic, until="end"), list(range(100)), most_readers=6)


async def test_many_partitions_are_read_each_in_order(kafka: Kafka) -> None:
    topic = kafka.topic(5)
    for partition in range(5):
        kafka.produce(topic, numbers(30, partition * 100), partition=partition)
    source = reader(kafka, topic, until="end", payload=False)
    await source.open(None)
    first = await source.read(70)
    position = source.position
    await source.close()
    records = first + await all_of(source, position)
    assert source.position == {topic: {str(partition): 30 for partition in range(5)}}
    for partition in range(5):
        mine = [each for each in records if each["partition"] == partition]
        assert [each["offset"] for each in mine] == list(range(30))
        assert [each["value"] for each in mine] == list(range(partition * 100, partition * 100 + 30))


async def test_a_record_has_key_headers_and_time(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.produce(topic, [b'{"a":1}'], keys=[b"k"], headers=[("h", b"x"), ("h", b"y")], timestamp_ms=1_700_000_000_123)
    assert await all_of(reader(kafka, topic, until="end", payload=False)) == [
        {
            "key": "k", "value": {"a": 1}, "topic": topic, "partition": 0, "offset": 0,
            "timestamp": 1_700_000_000_123, "headers": [("h", b"x"), ("h", b"y")],
        }
    ]  # fmt: skip


async def test_reading_begins_where_it_is_said(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    for time in (1000, 2000, 3000):
        kafka.produce(topic, numbers(3, time), timestamp_ms=time)
    kafka.produce(topic, numbers(2, 9000), partition=1, timestamp_ms=1000)

    async def begun(start: Any) -> list[int]:
        return sorted(await all_of(reader(kafka, topic, until="end", start=start)))

    assert await begun("latest") == []
    assert len(await begun("earliest")) == 11
    assert await begun(2000) == [2000, 2001, 2002, 3000, 3001, 3002]
    assert await begun("1970-01-01T00:00:02.500Z") == [3000, 3001, 3002]
    assert await begun({topic: {"0": 8}}) == [3002, 9000, 9001]


async def test_a_position_that_is_given_wins_over_the_start(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    kafka.produce(topic, numbers(5))
    kafka.produce(topic, numbers(5, 100), partition=1)
    source = reader(kafka, topic, until="end", start="latest")
    assert sorted(await all_of(source, {topic: {"0": 3}})) == [3, 4, 100, 101, 102, 103, 104]


async def test_the_start_is_kept_in_the_position_before_anything_is_read(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.produce(topic, numbers(5))
    source = reader(kafka, topic, start="latest")
    await source.open(None)
    assert source.position == {topic: {"0": 5}}
    await source.close()


async def test_a_following_reader_waits_and_takes_in_what_is_new(kafka: Kafka) -> None:
    topic = kafka.topic()
    source = reader(kafka, topic, start="latest", discover=0.1)
    await source.open(None)
    reading = asyncio.ensure_future(source.read(10))
    await asyncio.sleep(0)
    kafka.produce(topic, [b'"late"'])
    assert await reading == ["late"]
    reading = asyncio.ensure_future(source.read(10))
    kafka.add_partitions(topic, 2)
    kafka.produce(topic, [b'"new"'], partition=1)
    assert await reading == ["new"]
    assert source.position == {topic: {"0": 1, "1": 1}}
    assert source.statistics() == {"records": 2, "partitions": 2}
    await source.close()


async def test_topics_are_chosen_by_a_pattern(kafka: Kafka) -> None:
    name = kafka.name("pattern")
    for end in ("a", "b", "other"):
        kafka.produce(kafka.topic(name=f"{name}.{end}"), [b'"%s"' % end.encode()])
    assert sorted(await all_of(reader(kafka, pattern=f"{name}\\.[ab]$", until="end"))) == ["a", "b"]


@pytest.mark.parametrize(("isolation", "found"), [("read_committed", [0, 1, 7]), ("read_uncommitted", [0, 1, 5, 6, 7])])
async def test_aborted_transactions_are_left_out_unless_wanted(kafka: Kafka, isolation: str, found: list[int]) -> None:
    topic = kafka.topic()
    kafka.transaction(topic, numbers(2), commit=True)
    kafka.transaction(topic, numbers(2, 5), commit=False)
    kafka.produce(topic, numbers(1, 7))
    assert await all_of(reader(kafka, topic, until="end", isolation=isolation)) == found


async def test_a_poison_message_is_told_and_reading_goes_on_behind_it(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.produce(topic, [b"0", b"1", b"{", b"]", b"4", b"{"])
    source = reader(kafka, topic, until="end")
    await source.open(None)
    assert await source.read(10) == [0, 1]
    assert source.position == {topic: {"0": 2}}
    for offset in (2, 3):
        with pytest.raises(
            BadRecord, match=rf"^The message at offset {offset} of {topic}-0 is bad: its value is no JSON"
        ):
            await source.read(10)
        assert source.position == {topic: {"0": offset + 1}}
    assert await source.read(10) == [4]
    with pytest.raises(BadRecord, match="offset 5"):
        await source.read(10)
    assert await source.read(10) is None
    await source.close()


async def test_a_message_that_is_gone_fails_or_is_passed_over_with_a_warning(
    kafka: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    topic = kafka.topic()
    kafka.produce(topic, numbers(10))
    kafka.delete_records(topic, 0, 6)
    source = reader(kafka, topic, until="end")
    await source.open({topic: {"0": 2}})
    for _ in range(2):
        with pytest.raises(ConnectorError, match=rf"The message at offset 2 of {topic}-0 is not there: .* begins at 6"):
            await source.read(10)
    await source.close()
    assert await all_of(reader(kafka, topic, until="end", out_of_range="earliest"), {topic: {"0": 2}}) == [6, 7, 8, 9]
    assert f"{topic}-0: offsets 2 to 6 are gone and were not read." in caplog.text


async def test_what_cannot_be_opened_is_told_in_a_sentence(kafka: Kafka) -> None:
    source = reader(kafka, "no-such-topic")
    with pytest.raises(
        ConnectorError, match=r"has no topic no-such-topic; make it, or write the name of one it has\.$"
    ):
        await source.open(None)
    await source.close()
    source = reader(kafka, kafka.topic())
    with pytest.raises(ConnectorError, match="is no position of a kafka source"):
        await source.open({"offset": 3})
    away = cluster(kafka, bootstrap_servers="127.0.0.1:1")
    with pytest.raises(AddressUnreachable, match=r"^The cluster 127\.0\.0\.1:1 does not answer or lets us not in: "):
        await away.check()
    await cluster(kafka).check()


async def test_a_read_that_is_cancelled_while_messages_come_loses_none(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.produce(topic, numbers(500))
    source = reader(kafka, topic, until="end")
    await source.open(None)
    found: list[Any] = []
    for turns in range(120):
        reading = asyncio.ensure_future(source.read(7))
        for _ in range(turns % 12):
            await asyncio.sleep(0)
        reading.cancel()
        found += await _given(reading)
    assert found + await rest(source) == list(range(500))
    await source.close()


async def _given(reading: asyncio.Future[Any]) -> list[Any]:
    await asyncio.wait((reading,))
    return [] if reading.cancelled() else reading.result() or []


async def test_large_reads_are_made_of_all_that_is_there(kafka: Kafka) -> None:
    topic = kafka.topic(3)
    for partition in range(3):
        kafka.produce(topic, numbers(1000), partition=partition)
    source = reader(kafka, topic, until="end")
    await source.open(None)
    assert len(await some(source, 3000, 100_000)) == 3000
    await source.close()
