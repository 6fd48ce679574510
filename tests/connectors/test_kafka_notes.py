"""Notes are kept beside the offsets of a group, with each commit and in each transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.connectors import kafka_positions
from teleporter_lab.connectors.kafka import KafkaConnector, KafkaSourceOptions
from teleporter_lab.connectors.kafka_positions import LONGEST_NOTE, noted
from teleporter_lab.engine.endpoints import Mark
from tests.connectors.kafka_ends import cluster, numbers, reader, sink, some

if TYPE_CHECKING:
    from tests.services.kafka_client import Kafka

QUICK: dict[str, Any] = {"session_timeout": 1, "rebalance_timeout": 1}


async def notes(kafka: Kafka, group: str | None) -> list[str]:
    """As a run asks for them: before there is a reader."""
    ask: Any = KafkaConnector.spec("source").noted
    named: dict[str, Any] = {"assign": "all"} if group is None else {"group": group}
    return await ask(KafkaSourceOptions(topics=["t"], **named), cluster(kafka))


async def writer_at(kafka: Kafka, topic: str, key: str) -> Any:
    writer = sink(kafka, topic, exactly_once=True)
    await writer.open()
    await writer.marked(key)
    return writer


def test_a_note_is_at_one_partition_and_only_if_it_is_not_too_long() -> None:
    offsets = {("t", 3): 5, ("t", 0): 7, ("u", 0): 1}
    assert noted(offsets, "n") == {("t", 3): (5, ""), ("t", 0): (7, "n"), ("u", 0): (1, "")}
    assert noted({("t", 1): 2}, "é" * (LONGEST_NOTE // 2)) == {("t", 1): (2, "é" * (LONGEST_NOTE // 2))}
    assert noted({("t", 1): 2}, "é" * (LONGEST_NOTE // 2 + 1)) == {("t", 1): (2, "")}
    assert noted({}, "n") == {}


@pytest.mark.kafka
async def test_a_note_survives_the_reader_that_has_committed_it(kafka: Kafka) -> None:
    topic, group = kafka.topic(2), kafka.name()
    for partition in range(2):
        kafka.produce(topic, numbers(50), partition=partition)
    assert await notes(kafka, group) == []
    abandoned = reader(kafka, topic, group=group, **QUICK)
    await abandoned.open(None)
    await some(abandoned, 100)
    await abandoned.commit(abandoned.position, "all")
    assert await notes(kafka, group) == ["all"], "and while it holds its partitions still"
    await abandoned.commit(abandoned.position, "nothing new, so nothing is committed")
    other = reader(kafka, topic, group=group, **QUICK)
    await abandoned.close()
    kafka.produce(topic, numbers(3), partition=1)
    await other.open(None)
    await some(other, 3)
    assert await notes(kafka, group) == ["all"], "taking a partition over changes nothing"
    await other.commit(other.position, "of the other")
    assert sorted(await notes(kafka, group)) == ["all", "of the other"]
    await other.close()
    assert await notes(kafka, None) == [], "no group, no request"


@pytest.mark.kafka
async def test_a_late_commit_has_its_note_and_a_long_one_is_left_out(kafka: Kafka) -> None:
    topic, group = kafka.topic(), kafka.name()
    kafka.produce(topic, numbers(20))
    source = reader(kafka, topic, group=group, **QUICK)
    await source.open(None)
    await some(source, 10, 10)
    await source.commit(source.position, "x" * (LONGEST_NOTE + 1))
    assert (kafka.committed(group), await notes(kafka, group)) == ({(topic, 0): 10}, [])
    await some(source, 10, 10)
    await source.close()
    await source.commit(source.position, "late")
    assert (kafka.committed(group), await notes(kafka, group)) == ({(topic, 0): 20}, ["late"])


@pytest.mark.kafka
async def test_the_text_of_a_mark_is_in_the_transaction(kafka: Kafka) -> None:
    topic, copy, group = kafka.topic(2), kafka.topic(), kafka.name()
    key = f"/{kafka.name('key')}"
    position = {topic: {"0": 3, "1": 4}}
    abandoned = await writer_at(kafka, copy, key)
    await abandoned.write_marked([1], Mark(key, "first", None, {topic: {"0": 2}}, group))
    await abandoned.write_marked([2], Mark(key, "second", None, position, group))
    assert await notes(kafka, group) == ["second"]
    raw = await abandoned._producer.ready()
    await raw.begin_transaction()
    await raw.send_offsets_to_transaction(abandoned._cluster.with_note({(topic, 0): 9}, "never committed"), group)
    writer = await writer_at(kafka, copy, key)
    assert (kafka.committed(group)[topic, 0], await notes(kafka, group)) == (3, ["second"])
    await writer.write_marked([3], Mark(key, "x" * (LONGEST_NOTE + 1), None, {topic: {"0": 5}}, group))
    assert (kafka.committed(group)[topic, 0], await notes(kafka, group)) == (5, [])
    await abandoned._producer.give_up()
    await writer.close()


@pytest.mark.kafka
async def test_brokers_that_take_shorter_notes_than_ours_get_none(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kafka_positions, "LONGEST_NOTE", 10_000)
    topic, copy, group, other = kafka.topic(), kafka.topic(), kafka.name(), kafka.name()
    long, key = "x" * 5000, f"/{kafka.name('key')}"
    kafka.produce(topic, numbers(20))
    source = reader(kafka, topic, group=group, **QUICK)
    await source.open(None)
    for _ in range(2):
        await some(source, 10, 10)
        await source.commit(source.position, long)
    await source.close()
    assert (kafka.committed(group), await notes(kafka, group)) == ({(topic, 0): 20}, [])
    writer = await writer_at(kafka, copy, key)
    await writer.write_marked([1], Mark(key, long, None, {topic: {"0": 2}}, other))
    await writer.write_marked([2], Mark(key, "short", None, {topic: {"0": 3}}, other))
    await writer.close()
    assert (kafka.committed(other), kafka.values(copy)) == ({(topic, 0): 3}, [b"1", b"2"])
    said = [record for record in caplog.records if "refuses our notes" in record.message]
    assert len(said) == 2, "once for each client, of which the sink and the source have one each here"
