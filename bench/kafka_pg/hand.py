"""The loop that somebody would write by hand: aiokafka, msgspec, asyncpg, an upsert from arrays; the next batch is read
and decoded while the last one is written.

    python hand.py BOOTSTRAP DSN ROWS
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from typing import Any

import asyncpg
import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer
from rows import BATCH, TABLE, TOPIC

UPSERT = (
    f"INSERT INTO {TABLE} (id, name, note, amount) "
    "SELECT * FROM unnest($1::int8[], $2::text[], $3::text[], $4::float8[]) "
    "ON CONFLICT (id) DO UPDATE SET name = excluded.name, note = excluded.note, amount = excluded.amount"
)


class Row(msgspec.Struct):
    id: int
    name: str
    note: str
    amount: float


class Envelope(msgspec.Struct):
    payload: Row


decode = msgspec.json.Decoder(Envelope).decode


async def main(bootstrap: str, dsn: str, rows: int) -> None:
    connection = await asyncpg.connect(dsn)
    statement = await connection.prepare(UPSERT)
    consumer = AIOKafkaConsumer(
        TOPIC, bootstrap_servers=bootstrap, group_id=f"hand-{uuid.uuid4()}", auto_offset_reset="earliest",
        enable_auto_commit=False, max_partition_fetch_bytes=4_194_304, fetch_max_bytes=52_428_800,
    )  # fmt: skip
    await consumer.start()

    async def read() -> tuple[list[list[Any]], dict[Any, int], int]:
        while not (batch := await consumer.getmany(timeout_ms=1000, max_records=BATCH)):
            pass
        decoded = [decode(message.value).payload for messages in batch.values() for message in messages]
        columns = [[getattr(each, name) for each in decoded] for name in ("id", "name", "note", "amount")]
        return columns, {partition: messages[-1].offset + 1 for partition, messages in batch.items()}, len(decoded)

    async def write(columns: list[list[Any]], offsets: dict[Any, int]) -> None:
        await statement.fetch(*columns)
        await consumer.commit(offsets)

    done = 0
    columns, offsets, count = await read()
    while done + count < rows:
        done += count
        writing = asyncio.ensure_future(write(columns, offsets))
        columns, offsets, count = await read()
        await writing
    await write(columns, offsets)
    await consumer.stop()
    await connection.close()


uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
