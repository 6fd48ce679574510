"""The broker is killed in the middle and started again: nothing is missing, and what is idempotent is there once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.connectors.kafka import KafkaAddressOptions, KafkaConnector
from teleporter_lab.engine.endpoints import Mark
from teleporter_lab.errors import AddressUnreachable
from tests.connectors.kafka_ends import Window, cluster, numbers, reader, rest, sink, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.kafka import Server
    from tests.services.kafka_client import Kafka

pytestmark = [pytest.mark.kafka, pytest.mark.faults]


async def crash(server: Server) -> None:
    """Kills the broker and starts it on what it had."""
    server.kill()
    await asyncio.to_thread(server.start)


async def again(call: Callable[[], Awaitable[None]]) -> None:
    """What a rule `retry` does, until it goes well: a broker that has just started is slow."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await call()
            except AddressUnreachable:
                await asyncio.sleep(0.1)


async def test_a_reader_waits_for_the_broker_and_loses_nothing(kafka: Kafka, kafka_server: Server) -> None:
    topic = kafka.topic(3)
    for partition in range(3):
        kafka.produce(topic, numbers(2000, partition * 10_000), partition=partition)
    source = reader(kafka, topic, partition_bytes=2000)
    await source.open(None)
    found: list[int] = []
    while len(found) < 1500:
        found += await source.read(100)
    await crash(kafka_server)
    while len(found) < 6000:
        found += await source.read(100)
    kafka.produce(topic, [b"-1"])
    found += await source.read(100)
    await source.close()
    assert sorted(found) == sorted([-1, *(n + p * 10_000 for p in range(3) for n in range(2000))])
    assert source.position == {topic: {"0": 2001, "1": 2000, "2": 2000}}


async def test_a_member_commits_after_the_broker_is_back_and_nothing_is_missing(
    kafka: Kafka, kafka_server: Server
) -> None:
    topic, group = kafka.topic(2), kafka.name()
    for partition in range(2):
        kafka.produce(topic, numbers(2000, partition * 10_000), partition=partition)
    stored: Counter[int] = Counter()
    window = Window(
        reader(kafka, topic, group=group, partition_bytes=2000, session_timeout=5),
        lambda record: stored.update([record]),
    )
    await window.source.open(None)
    while len(window.read) < 1000:
        await window.pull()
    kafka_server.kill()
    committing = asyncio.ensure_future(window.confirm())
    await asyncio.to_thread(kafka_server.start)
    await committing
    while len(stored) < 4000:
        await window.pull()
        await window.confirm()
    await window.source.close()
    assert set(stored) == {n + p * 10_000 for p in range(2) for n in range(2000)}
    again = reader(kafka, topic, group=group, until="end")
    await again.open(None)
    assert await rest(again) == []
    await again.close()
    assert kafka.committed(group) == {(topic, 0): 2000, (topic, 1): 2000}


async def test_what_is_written_over_a_crash_is_there_once(kafka: Kafka, kafka_server: Server) -> None:
    topic = kafka.topic(3)
    writer = sink(kafka, topic)
    await writer.open()
    written = 0

    async def write() -> None:
        nonlocal written
        for start in range(0, 20_000, 200):
            await writer.write(list(range(start, start + 200)))
            written = start + 200

    writing = asyncio.ensure_future(write())
    await until(lambda: written > 2000)
    kafka_server.kill()
    await until(lambda: not writing.done() and written < 20_000)
    await asyncio.to_thread(kafka_server.start)
    await writing
    await writer.close()
    assert sorted(map(int, kafka.values(topic))) == list(range(20_000))


async def test_transactions_over_a_crash_are_exact(kafka: Kafka, kafka_server: Server) -> None:
    topic, group, source = kafka.topic(), kafka.name(), kafka.topic()
    writer = sink(kafka, topic, exactly_once=True, transactional_id=kafka.name("id"))
    await writer.open()
    written = 0

    async def write() -> None:
        nonlocal written
        while written < 3000:
            end = written + 50
            mark = Mark("/key", "", None, {source: {"0": end}}, group)
            await writer.write_marked(list(range(written, end)), mark)
            written = end

    writing = asyncio.ensure_future(write())
    await until(lambda: written > 500)
    await crash(kafka_server)
    await writing
    await writer.close()
    assert list(map(int, kafka.values(topic))) == list(range(3000))
    assert kafka.committed(group) == {(source, 0): 3000}


async def test_a_broker_that_is_away_is_told_at_the_start_and_after_a_limit(kafka: Kafka, kafka_server: Server) -> None:
    topic, group = kafka.topic(), kafka.name()
    kafka.produce(topic, numbers(10))
    quick: Any = KafkaConnector.spec("address").make(
        KafkaAddressOptions(bootstrap_servers=kafka.bootstrap, request_timeout=1), None
    )
    writer = sink(kafka, topic, delivery_timeout=1)
    source = reader(kafka, topic, group=group)
    source._cluster = quick
    await writer.open()
    await source.open(None)
    await source.read(10)
    kafka_server.kill()
    try:
        with pytest.raises(AddressUnreachable, match="was away for 1 seconds; it may have the batch"):
            await writer.write([1])
        with pytest.raises(AddressUnreachable):
            await writer.write([1])
        with pytest.raises(AddressUnreachable, match="does not answer to a commit"):
            await source.commit(source.position)
        for end in (reader(kafka, topic), reader(kafka, topic, group=group), sink(kafka, topic)):
            with pytest.raises(AddressUnreachable, match="does not answer or lets us not in"):
                await (end.open() if hasattr(end, "write") else end.open(None))
            await end.close()
        with pytest.raises(AddressUnreachable):
            await cluster(kafka).check()
    finally:
        await asyncio.to_thread(kafka_server.start)
    await again(lambda: writer.write([2]))
    await again(lambda: source.commit(source.position))
    await writer.close()
    await source.close()
    assert kafka.values(topic)[-1] == b"2"
