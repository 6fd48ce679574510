"""Kafka to Kafka in transactions: the instance and the Kafka broker are killed, and each record is there once."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.faults.plant import Plant
    from tests.faults.verdicts import Verdicts
    from tests.services.kafka import Server
    from tests.services.kafka_client import Kafka

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(600)]

RATE = 12_000
STREAM = "/stream/faults/transactions/copy"
RULE = "AddressUnreachable|ConnectorError|Conflict:WARN => restart(delay = 500.millis)"
TEMPLATE = f"""
@stream_logic
def copy(s):
    return s.source("from").throttle({RATE // 10}, per=0.1).to(s.sink("to"))
"""


def documents(kafka: Kafka, source: str, sink: str, group: str) -> dict[str, Any]:
    address = {"key": "/address/faults/kafka"}
    return {
        "/address/faults/kafka": {"category": "kafka", "client": {"bootstrapServers": kafka.bootstrap}},
        STREAM: {"template": TEMPLATE, "errorRules": [RULE]},
        f"/source{STREAM[7:]}/from": {
            "category": "kafka", "address": address,
            "client": {"topics": [source], "group": group, "payload": True, "sessionTimeout": "2.seconds"},
        },
        f"/sink{STREAM[7:]}/to": {
            "category": "kafka", "address": address,
            "client": {"topic": sink, "exactlyOnce": True, "transactionTimeout": "5.seconds"},
        },
    }  # fmt: skip


def test_each_record_is_there_once(
    plant: Plant, kafka: Kafka, kafka_server: Server, verdicts: Verdicts, whole: bool
) -> None:
    kills, count = (20, 600_000) if whole else (4, 120_000)
    seed = random.randrange(2**32)
    source, sink, group = kafka.topic(2), kafka.topic(2), kafka.name()
    for partition in range(2):
        values = [json.dumps({"id": i}).encode() for i in range(partition, count, 2)]
        kafka.produce(source, values, partition=partition)
    plant.start_broker()
    plant.start_instance()
    points = sorted(random.Random(seed).sample(range(1_000, count - 10_000), kills))
    with plant.client() as client:
        plant.configure(client, "transactions", documents(kafka, source, sink, group))
        for number, point in enumerate(points):
            plant.until(client, STREAM, lambda view, p=point: view["counts"]["written"] >= p, may_fail=True)
            if number % 4 == 3:
                kafka_server.kill()
                time.sleep(0.5)
                kafka_server.start()
            else:
                plant.kill(plant.instance())
                plant.start_instance()
        final = plant.until(client, STREAM, lambda view: view["counts"]["written"] >= count, 180, may_fail=True)
    read, written = final["counts"]["read"], final["counts"]["written"]
    stored = Counter(json.loads(value)["id"] for value in kafka.values(sink))
    doubled, missing = stored.total() - len(stored), len(set(range(count)) - set(stored))
    verdicts.add(
        "Kafka to Kafka, exactly once", "0 missing, 0 twice, and so the ledger says",
        f"{kills} kills, seed {seed}: {stored.total():,} records, {missing:,} missing, {doubled:,} twice; ledger: "
        f"{read:,} read, {written:,} written",
        ok=(missing, doubled) == (0, 0) and len(stored) == read == written == count,
    )  # fmt: skip
