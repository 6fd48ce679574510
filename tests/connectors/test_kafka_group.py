"""Members of a group share partitions; nothing is missing, and no commit passes what is not stored."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.endpoints import Committing
from teleporter_lab.errors import BadRecord, ConnectorError
from tests.connectors.kafka_ends import Window, numbers, reader, rest, some, until

if TYPE_CHECKING:
    from tests.services.kafka_client import Kafka

pytestmark = pytest.mark.kafka

QUICK = {"session_timeout": 3, "rebalance_timeout": 8}


def member(kafka: Kafka, topic: Any, group: str, **options: Any) -> Any:
    return reader(kafka, topic, group=group, **{**QUICK, **options})


def filled(kafka: Kafka, partitions: int, each: int) -> str:
    topic = kafka.topic(partitions)
    for partition in range(partitions):
        kafka.produce(topic, numbers(each, partition * 1_000_000), partition=partition)
    return topic


async def test_the_group_keeps_the_position(kafka: Kafka) -> None:
    topic, group = filled(kafka, 3, 50), kafka.name()
    source = member(kafka, topic, group)
    assert isinstance(source, Committing)
    assert source.group == group
    await source.open(None)
    first = await some(source, 60, 40)
    position = json.loads(json.dumps(source.position))
    await source.commit(position)
    await source.read(10)  # not committed: read again
    await source.close()
    assert sum(kafka.committed(group).values()) == len(first)
    again = member(kafka, topic, group, until="end")
    await again.open(None)
    second = await rest(again)
    await again.close()
    assert sorted(first + second) == sorted(n + p * 1_000_000 for p in range(3) for n in range(50))


async def test_a_commit_names_only_what_was_given_and_never_goes_backwards(kafka: Kafka) -> None:
    topic, group = filled(kafka, 1, 50), kafka.name()
    source = member(kafka, topic, group)
    await source.open(None)
    await some(source, 30, 30)
    await source.commit({topic: {"0": 20, "7": 5}, "other": {"0": 5}})
    await source.commit({topic: {"0": 10}})
    await source.commit({topic: {"0": 31}})
    await source.commit({})
    assert kafka.committed(group) == {(topic, 0): 20}
    assert source.statistics()["commits"] == 1
    with pytest.raises(ConnectorError, match="is no position of a kafka source"):
        await source.commit({"offset": 5})
    await source.close()


async def test_a_position_that_a_person_has_set_is_taken_up_once_and_kept(kafka: Kafka) -> None:
    topic, group = filled(kafka, 2, 50), kafka.name()
    source = member(kafka, topic, group)
    await source.open(None)
    await some(source, 100)
    await source.commit(source.position)
    await source.close()
    source = member(kafka, topic, group, until="end")
    await source.open({topic: {"0": 45}})
    assert await source.read(2) == [45, 46]
    assert kafka.committed(group) == {(topic, 0): 45, (topic, 1): 50}
    assert await rest(source) == [47, 48, 49]
    await source.commit(source.position)
    await source.close()
    assert kafka.committed(group) == {(topic, 0): 50, (topic, 1): 50}


@pytest.mark.parametrize(
    ("start", "found"), [("latest", []), (2000, [5, 6]), ("1970-01-01T00:00:01Z", [0, 5, 6])], ids=str
)
async def test_a_start_in_the_middle_is_committed_at_once(kafka: Kafka, start: Any, found: list[int]) -> None:
    topic, group = kafka.topic(), kafka.name()
    kafka.produce(topic, [b"0"], timestamp_ms=1000)
    kafka.produce(topic, [b"5", b"6"], timestamp_ms=2000)
    source = member(kafka, topic, group, start=start)
    await source.open(None)
    reading = asyncio.ensure_future(source.read(10))
    await until(lambda: bool(kafka.committed(group)))
    kafka.produce(topic, [b"7"])
    records = await reading or []
    while records[-1] != 7:
        records += await source.read(10)
    assert records == [*found, 7]
    await source.close()
    again = member(kafka, topic, group, start=start, until="end")
    await again.open(None)
    assert await rest(again) == [*found, 7], "the start was not forgotten"
    await again.close()


async def test_a_new_partition_is_read_from_its_first_message(kafka: Kafka) -> None:
    topic, group = kafka.topic(), kafka.name()
    source = member(kafka, topic, group, start="latest", discover=0.1)
    await source.open(None)
    reading = asyncio.ensure_future(source.read(10))
    await asyncio.sleep(0)
    kafka.add_partitions(topic, 2)
    kafka.produce(topic, numbers(3), partition=1)
    assert await reading == [0, 1, 2]
    await source.close()


async def test_topics_of_a_pattern_are_shared(kafka: Kafka) -> None:
    name = kafka.name("pattern")
    for end in "ab":
        kafka.produce(kafka.topic(name=f"{name}.{end}"), numbers(3))
    source = member(kafka, None, kafka.name(), pattern=f"{name}\\..*", until="end")
    await source.open(None)
    assert sorted(await rest(source)) == [0, 0, 1, 1, 2, 2]
    await source.close()


async def test_a_poison_message_can_be_passed_and_the_commit_passes_it_too(kafka: Kafka) -> None:
    topic, group = kafka.topic(), kafka.name()
    kafka.produce(topic, [b"0", b"{", b"2"])
    source = member(kafka, topic, group)
    await source.open(None)
    assert await source.read(10) == [0]
    with pytest.raises(BadRecord, match="offset 1"):
        await source.read(10)
    assert await source.read(10) == [2]
    await source.commit(source.position)
    await source.close()
    assert kafka.committed(group) == {(topic, 0): 3}


class Run:
    """Members that join one after the other while messages are read, and go on until everything is stored."""

    def __init__(self, kafka: Kafka, members: int, *, patient: bool) -> None:
        self.topic, self.group = filled(kafka, 6, 400), kafka.name()
        self.wanted = {n + p * 1_000_000 for p in range(6) for n in range(400)}
        self.stored: Counter[int] = Counter()
        wait = 20 if patient else 0.2
        sources = [member(kafka, self.topic, self.group, rebalance_timeout=wait) for _ in range(members)]
        self.windows = [Window(source, lambda record: self.stored.update([record])) for source in sources]
        for window in self.windows:
            window.patient = patient
        self._quota = 0

    @property
    def _done(self) -> bool:
        return self.stored.keys() >= self.wanted

    async def go(self) -> None:
        step = len(self.wanted) // (len(self.windows) + 1)
        async with asyncio.TaskGroup() as tasks:
            for window in self.windows:
                await window.source.open(None)
                tasks.create_task(self._drive(window))
                await until(lambda window=window: window.source.statistics()["partitions"] > 0)
                self._quota += step
                await until(lambda: self._read >= self._quota)
            self._quota = 1 << 30
        for window in self.windows:
            await window.confirm()
            await window.source.close()

    @property
    def _read(self) -> int:
        return sum(len(window.read) for window in self.windows)

    async def _drive(self, window: Window) -> None:
        """Reads; confirms after every third read, and when there is nothing to read for a moment."""
        turn = 0
        while not self._done:
            await until(lambda: self._read < self._quota or self._done)
            reading = asyncio.ensure_future(window.pull(40))
            await asyncio.wait((reading,), timeout=0.3)
            idle = reading.cancel()
            await asyncio.wait((reading,))
            if not reading.cancelled():
                reading.result()
            turn += 1
            if turn % 3 == 0 or idle:
                await window.confirm()


@pytest.mark.parametrize("members", [2, 3])
async def test_nothing_is_missing_or_twice_when_members_join_and_stores_settle(kafka: Kafka, members: int) -> None:
    run = Run(kafka, members, patient=True)
    await run.go()
    assert set(run.stored) == run.wanted
    assert sum(run.stored.values()) == len(run.wanted), "what was settled before a rebalance is not read again"
    assert run.windows[0].settles >= members - 1
    assert sum(kafka.committed(run.group).values()) == len(run.wanted)


async def test_a_store_that_does_not_settle_makes_records_come_again_and_none_is_missing(
    kafka: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(kafka, 2, patient=False)
    await run.go()
    assert set(run.stored) == run.wanted
    assert run.windows[0].source.statistics()["settles_given_up"] >= 1
    assert "gives back partitions before all that was read of them is committed" in caplog.text


async def test_what_is_not_confirmed_is_never_committed(kafka: Kafka) -> None:
    topic, group = filled(kafka, 2, 200), kafka.name()
    first = Window(member(kafka, topic, group, rebalance_timeout=0.3))
    first.patient = False
    await first.source.open(None)
    while len(first.read) < 100:
        await first.pull(20)
    await first.confirm()
    safe = dict(kafka.committed(group))
    await first.pull(50)
    unconfirmed = first.source.position
    second = member(kafka, topic, group)
    await second.open(None)
    one, two = asyncio.ensure_future(first.pull(10)), asyncio.ensure_future(second.read(10))
    await asyncio.gather(one, two)
    assert kafka.committed(group) == safe
    await first.source.commit(unconfirmed)  # too late: it was given out in an earlier share
    assert kafka.committed(group) == safe
    await first.source.close()
    await second.close()


async def test_a_settle_that_breaks_is_told_by_the_next_read(kafka: Kafka) -> None:
    topic, group = filled(kafka, 2, 50), kafka.name()
    source = member(kafka, topic, group)

    async def broken() -> None:
        raise ZeroDivisionError

    source.settle = broken
    await source.open(None)
    await some(source, 10, 10)
    other = member(kafka, topic, group)
    await other.open(None)
    reading = asyncio.ensure_future(other.read(10))
    with pytest.raises(ZeroDivisionError):
        await rest(source)
    await some(source, 1, 1)
    with pytest.raises(ZeroDivisionError):
        await source.close()
    assert await reading
    await other.close()


async def test_closing_commits_what_is_stored_before_the_group_is_left(kafka: Kafka) -> None:
    topic, group = filled(kafka, 2, 50), kafka.name()
    window = Window(member(kafka, topic, group))
    await window.source.open(None)
    await window.pull(30)
    await window.source.close()
    assert window.settles == 1
    assert sum(kafka.committed(group).values()) == 30


async def test_a_commit_after_closing_is_accepted_where_the_group_has_no_other_member(
    kafka: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    topic, group = filled(kafka, 1, 50), kafka.name()
    first, second = member(kafka, topic, group), member(kafka, topic, group)
    await first.open(None)
    await some(first, 20, 20)
    await first.close()
    await first.commit(first.position)
    assert kafka.committed(group) == {(topic, 0): 20}
    await first.open(None)
    await some(first, 10, 10)
    await first.close()
    await second.open(None)
    await some(second, 20, 20)
    await first.commit(first.position)
    assert kafka.committed(group) == {(topic, 0): 20}, "the other one has it"
    assert "has given the partitions to others before this was committed" in caplog.text
    await second.commit(second.position)
    await second.close()
    await first.commit(first.position)
    assert kafka.committed(group) == {(topic, 0): 40}, "not backwards"


async def test_closing_does_not_wait_for_a_settle(kafka: Kafka) -> None:
    topic, group = filled(kafka, 2, 50), kafka.name()
    window = Window(member(kafka, topic, group, rebalance_timeout=3000))
    window.patient = False
    await window.source.open(None)
    await window.pull(10)
    other = member(kafka, topic, group)
    await other.open(None)
    reading = asyncio.ensure_future(other.read(10))
    async with asyncio.timeout(30):
        await until(lambda: window.settles > 0)
        await window.source.close()
        assert await reading
    await other.close()


async def test_a_commit_after_the_group_has_gone_on_is_told_in_the_log_and_is_no_failure(
    kafka: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    topic, group = filled(kafka, 1, 50), kafka.name()
    source = member(kafka, topic, group, session_timeout=1)
    await source.open(None)
    await some(source, 20, 20)
    raw = source._consumer.raw
    raw._coordinator.generation = 77  # as after a pause in which others got everything
    await source.commit(source.position)
    assert "has given the partitions to others before this was committed" in caplog.text
    assert source.statistics()["commits_refused"] == 1
    assert kafka.committed(group) == {}
    again = await some(source, 50)
    assert again == list(range(50)), "it is a member again, and reads from the last commit"
    await source.close()


async def test_what_the_brokers_refuse_is_told_by_a_read(kafka: Kafka) -> None:
    source = member(kafka, kafka.topic(), kafka.name(), session_timeout=0.5)
    await source.open(None)
    with pytest.raises(ConnectorError, match=r"refused reading: InvalidSessionTimeoutError"):
        await source.read(1)
    await source.close()
    source = member(kafka, "no-such-topic", kafka.name())
    with pytest.raises(ConnectorError, match="has no topic no-such-topic"):
        await source.open(None)
    await source.close()
