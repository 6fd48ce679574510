"""The ledger of a stream that reads in a Kafka group survives a kill between the commits to the group and our store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.instance.conftest import broker as broker
from tests.instance.conftest import client as client
from tests.instance.conftest import desk as desk
from tests.instance.conftest import instance as instance
from tests.instance.conftest import logs as logs
from tests.services.process import free_port

if TYPE_CHECKING:
    from teleporter_lab.broker.daemon import Running
    from tests.instance.conftest import Desk
    from tests.services.kafka_client import Kafka

pytestmark = pytest.mark.kafka

STREAM = "/stream/test/task/copy"
SOURCE = "/source/test/task/copy/topic"
KEPT = "/position/test/task/copy/topic"
COUNT = 300
COPY = "@stream_logic\ndef copy(s):\n    return s.source('topic').to(s.sink('out'))\n"
RULES = ["ConnectorError => restart(delay = 50.millis)"]


class Place:
    """A topic with records, and a stream that reads it to its end."""

    def __init__(self, desk: Desk, kafka: Kafka) -> None:
        self.desk = desk
        self.kafka = kafka
        self.topic, self.out, self.group = kafka.topic(2), kafka.topic(), kafka.name()

    def produce(self, count: int = COUNT) -> None:
        for partition in range(2):
            self.kafka.produce(self.topic, [b"%d" % number for number in range(count // 2)], partition=partition)

    async def save(self, *, exactly: bool, bootstrap: str = "", **source: Any) -> None:
        address = {"key": "/address/test/kafka"}
        reads = {"topics": [self.topic], "group": self.group, "payload": True, "until": "end"}
        where = {"bootstrapServers": bootstrap or self.kafka.bootstrap}
        documents: dict[str, Any] = {
            "/address/test/kafka": {"category": "kafka", "client": where},
            SOURCE: {"category": "kafka", "address": address, "client": reads, **source},
            "/sink/test/task/copy/out": {
                "category": "kafka", "address": address, "client": {"topic": self.out, "exactlyOnce": exactly},
            },
        }  # fmt: skip
        for key, value in documents.items():
            await self.desk.client.save(key, value)

    async def again(self, since: float) -> dict[str, Any]:
        """Runs to the end once more."""
        await self.desk.client.restart(STREAM)
        return await self.desk.until(lambda view: view["status"] == "COMPLETE" and view["since"] > since)


@pytest.fixture
def place(desk: Desk, kafka: Kafka) -> Place:
    return Place(desk, kafka)


def numbers(view: dict[str, Any]) -> tuple[int, int]:
    return view["counts"]["read"], view["counts"]["written"]


@pytest.mark.parametrize("exactly", [True, False])
async def test_what_the_store_has_missed_is_in_the_note(broker: Running, place: Place, exactly: bool) -> None:
    """The store is put back to what it had before, as if the instance had been killed just before it was told."""
    place.produce()
    await place.save(exactly=exactly)
    await place.desk.deploy(COPY, errorRules=RULES)
    done = await place.desk.status("COMPLETE")
    assert numbers(done) == (COUNT, COUNT)
    early = (await place.desk.client.runtime_get(KEPT))["value"]
    place.produce(20)
    done = await place.again(done["since"])
    assert numbers(done) == (COUNT + 20, COUNT + 20)
    entry = await broker.service.runtime.find(KEPT)
    assert entry is not None
    await broker.service.runtime.write(KEPT, early, entry.text)
    place.produce(10)
    done = await place.again(done["since"])
    assert numbers(done) == (COUNT + 30, COUNT + 30)
    assert (await place.desk.client.runtime_get(KEPT))["value"]["ledger"]["read"] == COUNT + 30
    assert len(place.kafka.values(place.out)) == COUNT + 30
    await broker.service.runtime.delete(KEPT)
    assert numbers(await place.again(done["since"])) == (COUNT + 30, COUNT + 30), "with nothing new to read, too"


async def test_a_position_that_a_person_sets_is_taken_up_once_whatever_the_store_has_heard(
    broker: Running, place: Place
) -> None:
    place.produce()
    await place.save(exactly=True)
    await place.desk.deploy(COPY, errorRules=RULES)
    done = await place.desk.status("COMPLETE")
    await place.desk.client.set_position(SOURCE, {place.topic: {"0": 140, "1": 150}})
    told = (await place.desk.client.runtime_get(KEPT))["value"]
    done = await place.again(done["since"])
    assert numbers(done) == (COUNT + 10, COUNT + 10)
    entry = await broker.service.runtime.find(KEPT)
    assert entry is not None
    await broker.service.runtime.write(KEPT, told, entry.text)
    assert numbers(await place.again(done["since"])) == (COUNT + 10, COUNT + 10)
    assert len(place.kafka.values(place.out)) == COUNT + 10


async def test_a_cluster_that_is_away_is_waited_for_as_the_source_says_and_a_stop_does_not_wait(
    place: Place,
) -> None:
    place.produce()
    away = f"127.0.0.1:{free_port()}"
    await place.save(exactly=False, bootstrap=away, errorRules=["AddressUnreachable:WARN => retry(delay = 1.hours)"])
    await place.desk.deploy(COPY)
    async with asyncio.timeout(20):
        while not (await place.desk.view())["matched"]:
            await asyncio.sleep(0.01)
    async with asyncio.timeout(4):
        await place.desk.client.stop(STREAM)
    assert (await place.desk.view())["status"] == "STOPPED"
    await place.save(exactly=False)
    assert numbers(await place.again(0.0)) == (COUNT, COUNT)
