"""The job: rows as JSON with a schema in Kafka, to be upserted into one table of PostgreSQL. What each contender is
given, how it is watched, and how its result is checked."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from dataclasses import dataclass

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

TOPIC = "bench_rows"
TABLE = "bench_rows"
PARTITIONS = 6
BATCH = 3000
"""Rows a contender writes at a time, like the ancestor of this benchmark; ours may be told another one."""

FIELDS = [("id", "int64"), ("name", "string"), ("note", "string"), ("amount", "double")]
SCHEMA = json.dumps(
    {
        "type": "struct", "optional": False, "name": "row",
        "fields": [{"field": name, "type": kind, "optional": False} for name, kind in FIELDS],
    }
)  # fmt: skip
KEY_SCHEMA = json.dumps(
    {
        "type": "struct", "optional": False, "name": "key",
        "fields": [{"field": "id", "type": "int64", "optional": False}],
    }
)  # fmt: skip
CREATE = f"""CREATE TABLE {TABLE} (
    id bigint PRIMARY KEY, name text NOT NULL, note text NOT NULL, amount float8 NOT NULL)"""


def row(i: int, chance: random.Random) -> dict[str, object]:
    """About 184 bytes of JSON."""
    note = f"{chance.getrandbits(448):0112x}"
    return {"id": i, "name": f"customer-{i:08d}", "note": note, "amount": round(chance.random() * 1000, 2)}


async def fill(bootstrap: str, rows: int) -> None:
    """`rows` records, spread in turn over the partitions: record `i` is in partition `i % PARTITIONS`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    await admin.close()
    chance = random.Random(1)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=262_144, acks=1) as producer:
        for i in range(rows):
            value = f'{{"schema":{SCHEMA},"payload":{json.dumps(row(i, chance))}}}'
            key = f'{{"schema":{KEY_SCHEMA},"payload":{{"id":{i}}}}}'
            await producer.send(TOPIC, value.encode(), key.encode(), partition=i % PARTITIONS)
        await producer.flush()


@dataclass(frozen=True)
class Watched:
    """One run: rows a second between the tenth and the ninetieth hundredth, and CPU seconds by process."""

    rate: float
    cpu: dict[str, float]


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process and of its children that have ended."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def marks(rows: int, share: float) -> list[int]:
    """The id at `share` of each partition."""
    each = rows // PARTITIONS
    return [max(0, int(each * share) - 1) * PARTITIONS + partition for partition in range(PARTITIONS)]


class Watch:
    """Looks for single rows by their key, which costs the database nothing, until all are there."""

    def __init__(self, dsn: str, rows: int, seconds: float = 240.0) -> None:
        self._dsn = dsn
        self._rows = rows
        self._seconds = seconds

    async def clear(self) -> None:
        """A fresh table, on disk."""
        connection = await asyncpg.connect(self._dsn)
        await connection.execute(f"DROP TABLE IF EXISTS {TABLE}; {CREATE}")
        await connection.execute("CHECKPOINT")
        await connection.close()

    async def run(self, pids: dict[str, int]) -> Watched:
        """Returns when every row is there. Raises AssertionError when they are not in time, or are not right."""
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        connection = await asyncpg.connect(self._dsn)
        deadline = time.monotonic() + self._seconds
        tenth = await self._all_there(connection, marks(self._rows, 0.1), deadline)
        ninetieth = await self._all_there(connection, marks(self._rows, 0.9), deadline)
        await self._all_there(connection, marks(self._rows, 1.0), deadline)
        while (found := await connection.fetchval(f"SELECT count(*) FROM {TABLE}")) != self._rows:
            if time.monotonic() > deadline:
                raise AssertionError(f"{found} of {self._rows} rows arrived.")
            await asyncio.sleep(0.1)
        cpu = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        await self._check(connection)
        await connection.close()
        return Watched(0.8 * self._rows / (ninetieth - tenth), cpu)

    async def _all_there(self, connection: asyncpg.Connection, ids: list[int], deadline: float) -> float:
        statement = await connection.prepare(f"SELECT count(*) FROM {TABLE} WHERE id = ANY($1::int8[])")
        while await statement.fetchval(ids) < len(ids):
            if time.monotonic() > deadline:
                raise AssertionError(f"The rows {ids} did not arrive.")
            await asyncio.sleep(0.02)
        return time.monotonic()

    async def _check(self, connection: asyncpg.Connection) -> None:
        """Every row against the generator that made it."""
        chance = random.Random(1)
        async with connection.transaction():
            i = 0
            async for found in connection.cursor(
                f"SELECT id, name, note, amount FROM {TABLE} ORDER BY id", prefetch=5000
            ):
                if dict(found) != row(i, chance):
                    raise AssertionError(f"Row {i} is {dict(found)}.")
                i += 1
