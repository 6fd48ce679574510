"""Records and the position of their source are in one transaction; a second writer fences the first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from teleporter_lab.engine.endpoints import Holding, Mark, Marking
from teleporter_lab.errors import BadRecord, Conflict, ConnectorError, RecordsRefused
from teleporter_lab.testing.sink_contract import SinkCase, SinkContract
from tests.connectors.kafka_ends import numbers, reader, sink, some

if TYPE_CHECKING:
    from tests.services.kafka_client import Kafka

pytestmark = pytest.mark.kafka

RECORDS = [{"id": n} for n in range(20)]


class TestTransactions(SinkContract):
    @pytest.fixture
    def case(self, kafka: Kafka) -> SinkCase:
        topic, name = kafka.topic(), kafka.name("id")
        return SinkCase(
            make=lambda: sink(kafka, topic, exactly_once=True, transactional_id=name),
            read_back=lambda: [msgspec.json.decode(value) for value in kafka.values(topic)],
            records=RECORDS,
            bad=[*RECORDS[:3], {"id": object()}],
        )


def mark(key: str, group: str | None, **offsets: int) -> Mark:
    return Mark(key, "", None, {topic: {"0": offset} for topic, offset in offsets.items()}, group)


async def opened(kafka: Kafka, topic: str, key: str, **options: Any) -> Any:
    writer = sink(kafka, topic, exactly_once=True, **options)
    await writer.open()
    assert isinstance(writer, Marking)
    assert await writer.marked(key) is None
    return writer


async def test_records_and_offsets_are_stored_together(kafka: Kafka) -> None:
    topic, group, key = kafka.topic(2), kafka.name(), f"/{kafka.name('key')}"
    source = kafka.topic(name=kafka.name("source").replace("-", "_"))
    writer = await opened(kafka, topic, key)
    await writer.write_marked([1, 2], mark(key, group, **{source: 7}))
    await writer.write_marked([], mark(key, group, **{source: 9}))
    assert kafka.committed(group) == {(source, 0): 9}
    await writer.close()
    assert kafka.values(topic) == [b"1", b"2"]
    assert writer.statistics() == {"records": 2}


async def test_what_cannot_be_written_stores_neither_records_nor_offsets(kafka: Kafka) -> None:
    topic, group, key = kafka.topic(max_message_bytes="2000"), kafka.name(), f"/{kafka.name('key')}"
    source = kafka.topic(name=kafka.name("source").replace("-", "_"))
    writer = await opened(kafka, topic, key)
    with pytest.raises(BadRecord):
        await writer.write_marked([1, object()], mark(key, group, **{source: 2}))
    with pytest.raises(RecordsRefused) as failure:
        await writer.write_marked([1, "x" * 5000], mark(key, group, **{source: 2}))
    assert sorted(failure.value.refused) == [1]
    writer._topics[topic] = type(writer._topics[topic])((0,), 1_000_000)
    with pytest.raises(ConnectorError, match="refused a transaction: MessageSizeTooLargeError"):
        await writer.write_marked([1, "x" * 5000], mark(key, group, **{source: 2}))
    assert kafka.committed(group) == {}
    assert kafka.values(topic) == []
    await writer.write_marked([3], mark(key, group, **{source: 2}))
    await writer.close()
    assert kafka.values(topic) == [b"3"]
    assert kafka.committed(group) == {(source, 0): 2}


@pytest.mark.parametrize("name", [None, "mine"])
async def test_a_second_writer_of_the_same_stream_fences_the_first(kafka: Kafka, name: str | None) -> None:
    topic, group, key = kafka.topic(), kafka.name(), f"/{kafka.name('key')}"
    source = kafka.topic(name=kafka.name("source").replace("-", "_"))
    options = {} if name is None else {"transactional_id": kafka.name(name)}
    first = await opened(kafka, topic, key, **options)
    await first.write_marked([1], mark(key, group, **{source: 1}))
    second = await opened(kafka, topic, key, **options)
    for _ in range(2):
        with pytest.raises(Conflict, match="Another writer has taken over"):
            await first.write_marked([2], mark(key, group, **{source: 2}))
        assert await first.marked(key) is None
        assert not await first.holds(mark(key, group, **{source: 2})), "and the second one is not fenced by asking"
    await second.write_marked([22], mark(key, group, **{source: 2}))
    with pytest.raises(Conflict):
        await first.write([3])
    await first.close()
    await second.close()
    assert kafka.values(topic) == [b"1", b"22"]
    assert kafka.committed(group) == {(source, 0): 2}


@pytest.mark.parametrize("name", [None, "mine"])
async def test_letters_that_are_redriven_beside_the_stream_do_not_shut_it_out(kafka: Kafka, name: str | None) -> None:
    """They have no position, so no mark is asked for, and the writer has no name that is the stream's."""
    topic, group, key = kafka.topic(), kafka.name(), f"/{kafka.name('key')}"
    source = kafka.topic(name=kafka.name("source").replace("-", "_"))
    options = {} if name is None else {"transactional_id": kafka.name(name)}
    stream = await opened(kafka, topic, key, **options)
    await stream.write_marked([1], mark(key, group, **{source: 1}))
    beside = sink(kafka, topic, exactly_once=True, **options)
    await beside.open()
    await beside.write([2])
    await stream.write_marked([3], mark(key, group, **{source: 2}))
    await beside.close()
    await stream.close()
    assert kafka.values(topic) == [b"1", b"2", b"3"]


async def test_a_writer_that_failed_does_not_go_on_where_another_has_gone_on(kafka: Kafka) -> None:
    topic, group, key = kafka.topic(max_message_bytes="2000"), kafka.name(), f"/{kafka.name('key')}"
    source = kafka.topic(name=kafka.name("source").replace("-", "_"))
    first = await opened(kafka, topic, key)
    await first.write_marked([1], mark(key, group, **{source: 1}))
    first._topics[topic] = type(first._topics[topic])((0,), 1_000_000)
    with pytest.raises(ConnectorError):
        await first.write_marked(["x" * 5000], mark(key, group, **{source: 2}))
    second = await opened(kafka, topic, key)
    await second.write_marked([22], mark(key, group, **{source: 5}))
    await second.close()
    with pytest.raises(Conflict):
        await first.write_marked([2], mark(key, group, **{source: 2}))
    await first.close()
    assert kafka.values(topic) == [b"1", b"22"]


@pytest.mark.parametrize("committed", [True, False])
async def test_a_commit_of_which_nobody_knows_is_found_out_before_it_is_repeated(
    kafka: Kafka, committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, group, key = kafka.topic(), kafka.name(), f"/{kafka.name('key')}"
    source = kafka.topic(name=kafka.name("source").replace("-", "_"))
    writer = await opened(kafka, topic, key)
    await writer.write_marked([1], mark(key, group, **{source: 1}))
    raw = await writer._producer.ready()
    commit = raw.commit_transaction

    async def lost() -> None:
        if committed:
            await commit()
        raise TimeoutError

    monkeypatch.setattr(raw, "commit_transaction", lost)
    with pytest.raises(ConnectorError, match="does not answer to a transaction"):
        await writer.write_marked([2, 3], mark(key, group, **{source: 3}))
    assert isinstance(writer, Holding)
    assert await writer.holds(mark(key, group, **{source: 3})) is committed
    await writer.write_marked([2], mark(key, group, **{source: 2}))  # as the halves of the batch
    await writer.write_marked([3], mark(key, group, **{source: 3}))
    await writer.write_marked([4], mark(key, group, **{source: 4}))
    await writer.close()
    assert kafka.values(topic) == [b"1", b"2", b"3", b"4"]
    assert kafka.committed(group) == {(source, 0): 4}


async def test_a_transaction_that_is_cancelled_leaves_no_trace(kafka: Kafka) -> None:
    topic, group, key = kafka.topic(), kafka.name(), f"/{kafka.name('key')}"
    source = kafka.topic(name=kafka.name("source").replace("-", "_"))
    writer = await opened(kafka, topic, key)
    writing = asyncio.ensure_future(writer.write_marked([1], mark(key, group, **{source: 1})))
    for _ in range(5):
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait((writing,))
    await writer.write_marked([1], mark(key, group, **{source: 1}))
    await writer.close()
    assert kafka.values(topic) == [b"1"]


async def test_a_source_without_a_group_is_refused(kafka: Kafka) -> None:
    writer = await opened(kafka, kafka.topic(), "/key")
    with pytest.raises(ConnectorError, match="exactly once only with a kafka source that reads in a group"):
        await writer.write_marked([1], mark("/key", None, t=1))
    await writer.close()


async def test_a_copy_of_a_topic_is_exact_over_restarts(kafka: Kafka) -> None:
    topic, copy, group, key = kafka.topic(3), kafka.topic(), kafka.name(), f"/{kafka.name('key')}"
    for partition in range(3):
        kafka.produce(topic, numbers(40, partition * 100), partition=partition)
    stored = 0
    while stored < 120:
        source, writer = reader(kafka, topic, group=group), await opened(kafka, copy, key)
        await source.open(None)
        for _ in range(3):
            records = await some(source, 1, 13)
            await writer.write_marked(records, Mark(key, "", None, source.position, source.group))
            stored += len(records)
            if stored == 120:
                break
        if stored < 120:
            await source.read(13)  # given, and never written
        await source.close()
        await writer.close()
    assert sorted(map(int, kafka.values(copy))) == sorted(n + 100 * p for p in range(3) for n in range(40))
    assert sum(kafka.committed(group).values()) == 120
