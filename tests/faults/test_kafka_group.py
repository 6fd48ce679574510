"""A Kafka group of three instances of which one leaves and comes back every few seconds, some of them by SIGKILL."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.tables import look

if TYPE_CHECKING:
    from tests.faults.plant import Plant
    from tests.faults.verdicts import Verdicts
    from tests.services.kafka_client import Kafka
    from tests.services.postgres import Postgres

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(600)]

RATE = 12_000
PARTITIONS = 6
RULE = "AddressUnreachable|ConnectorError => restart(delay = 500.millis)"
MEMBERS = ("one", "two", "three")
TEMPLATE = '@stream_logic\ndef copy(s):\n    return s.source("topic").to(s.sink("table"))\n'


def documents(kafka: Kafka, topic: str, group: str, url: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "/address/faults/kafka": {"category": "kafka", "client": {"bootstrapServers": kafka.bootstrap}},
        "/address/faults/database": {"category": "sql", "client": {"url": url}},
        "/task/faults/group": {"template": TEMPLATE},
    }
    for member in MEMBERS:
        found[f"/stream/faults/group/{member}"] = {
            "errorRules": ["AddressUnreachable|ConnectorError => restart(delay = 500.millis)"]
        }
        found[f"/source/faults/group/{member}/topic"] = {
            "category": "kafka", "address": {"key": "/address/faults/kafka"}, "ack": {"commitInterval": "200.millis"},
            "client": {"topics": [topic], "group": group, "payload": True, "sessionTimeout": "2.seconds"},
        }  # fmt: skip
        found[f"/sink/faults/group/{member}/table"] = {
            "category": "sql", "address": {"key": "/address/faults/database"},
            "client": {"table": "copied", "mode": "upsert", "keys": ["id"]},
        }  # fmt: skip
    return found


async def produce(bootstrap: str, topic: str, stop: threading.Event) -> int:
    """Record `id` goes to partition `id % PARTITIONS`, so that its offset there is `id // PARTITIONS`; how many."""
    from aiokafka import AIOKafkaProducer

    loop = asyncio.get_running_loop()
    began, count = loop.time(), 0
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=10) as producer:
        while not stop.is_set() or count % PARTITIONS:
            value = json.dumps({"id": count, "value": count % 1000}).encode()
            await producer.send(topic, value, partition=count % PARTITIONS)
            count += 1
            if count % 600 == 0:
                await asyncio.sleep(max(0.0, began + count / RATE - loop.time()))
        await producer.flush()
    return count


def passed(kafka: Kafka, database: Postgres, group: str) -> int:
    """How many records stand before a committed offset and are not in the table."""
    committed = {partition: offset for (_, partition), offset in kafka.committed(group).items()}
    missing = 0
    for partition, offset in committed.items():
        (row,) = database.rows(
            f"SELECT count(*) AS stored FROM copied"
            f" WHERE id % {PARTITIONS} = {partition} AND id < {partition + offset * PARTITIONS}"
        )
        missing += offset - row["stored"]
    return missing


def test_members_come_and_go(plant: Plant, kafka: Kafka, postgres: Postgres, verdicts: Verdicts, whole: bool) -> None:
    changes, seed = (16 if whole else 5), random.randrange(2**32)
    chance = random.Random(seed)
    topic, group = kafka.topic(PARTITIONS), kafka.name()
    postgres.run("CREATE TABLE copied (id bigint PRIMARY KEY, value bigint)")
    plant.start_broker()
    for member in MEMBERS:
        plant.start_instance(member)
    stop, counts = threading.Event(), list[int]()
    producing = threading.Thread(target=lambda: counts.append(asyncio.run(produce(kafka.bootstrap, topic, stop))))
    over = 0
    with plant.client() as client:
        plant.configure(client, "group", documents(kafka, topic, group, postgres.url), MEMBERS)
        producing.start()
        try:
            owners = {s["key"].rpartition("/")[2]: s["instance"] for s in client.streams("/stream/faults/group/")}
            assert len(set(owners.values())) == len(MEMBERS), owners
            for number in range(changes):
                member = chance.choice(MEMBERS)
                if number % 2:
                    plant.kill(plant.instance(member))
                else:
                    plant.stop_instance(member)
                over += passed(kafka, postgres, group)
                time.sleep(chance.uniform(0.5, 2.5))
                over += passed(kafka, postgres, group)
                plant.start_instance(member)
                time.sleep(chance.uniform(0.5, 2.5))
        finally:
            stop.set()
            producing.join()
    (count,) = counts
    deadline = time.monotonic() + 120
    while (found := look(postgres, "copied", count)).missing and time.monotonic() < deadline:
        time.sleep(0.5)
    over += passed(kafka, postgres, group)
    verdicts.add(
        "Kafka group, members come and go", "0 missing, no offset passes an unwritten record",
        f"{changes} changes, seed {seed}: {found}, {over:,} passed",
        ok=found.missing == found.wrong == over == 0,
    )  # fmt: skip
