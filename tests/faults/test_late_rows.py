"""Rows that are committed late, with an earlier id and an earlier moment, while a stream follows their table."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.faults.tables import look

if TYPE_CHECKING:
    from tests.faults.plant import Plant
    from tests.faults.verdicts import Verdicts
    from tests.services.postgres import Postgres

pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.timeout(300)]

RATE = 12_000
ROWS = 300
"""Rows of one transaction."""
LATE = 1.5
"""Seconds that some transactions stay open."""
STREAMS = ("keyset", "windows", "without")
TEMPLATE = '@stream_logic\ndef copy(s):\n    return s.source("rows").to(s.sink("table"))\n'
KEYSET = {"query": "SELECT id, value FROM events", "key": "id", "follow": True, "interval": "100.millis"}


def documents(url: str) -> dict[str, Any]:
    window = "SELECT id, value FROM events WHERE at >= #{start} AND at < #{end} ORDER BY id"
    sources = {
        "keyset": {"client": {**KEYSET, "lag": 4 * RATE}},
        "windows": {
            "client": {"query": window},
            "roller": {"start": "2000-01-01T00:00:00Z", "period": "500.millis", "maxPeriod": "36500.days",
                       "deadline": "fromNow", "lag": "4.seconds"},
        },
        "without": {"client": KEYSET},
    }  # fmt: skip
    found: dict[str, Any] = {
        "/address/faults/database": {"category": "sql", "client": {"url": url, "poolSize": 20}},
        "/task/faults/late": {"template": TEMPLATE},
    }
    for name, source in sources.items():
        address = {"key": "/address/faults/database"}
        found[f"/stream/faults/late/{name}"] = {}
        found[f"/source/faults/late/{name}/rows"] = {"category": "sql", "address": address, **source}
        found[f"/sink/faults/late/{name}/table"] = {
            "category": "sql", "address": address, "client": {"table": name, "mode": "upsert", "keys": ["id"]},
        }  # fmt: skip
    return found


async def write(url: str, seconds: float, seed: int) -> int:
    """Transactions in a row, of which one in ten stays open while later ones are committed; how many rows."""
    chance = random.Random(seed)
    pool = await asyncpg.create_pool(url, min_size=4, max_size=16)
    first, number, late = 0, 0, []

    async def one(first: int, wait: float) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO events (id, value, at) SELECT n, n % 1000, clock_timestamp()"
                f" FROM generate_series({first}, {first + ROWS - 1}) n"
            )
            await asyncio.sleep(wait)

    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < seconds:
        wait = chance.random() * LATE if number % 10 == 5 else 0.0
        writing = asyncio.create_task(one(first, wait))
        if wait:
            late.append(writing)
        else:
            await writing
        first, number = first + ROWS, number + 1
        await asyncio.sleep(max(0.0, began + first / RATE - loop.time()))
    await asyncio.gather(*late)
    await pool.close()
    return first


def test_late_rows_are_read_with_lag(plant: Plant, postgres: Postgres, verdicts: Verdicts, whole: bool) -> None:
    seconds, seed = (60.0 if whole else 10.0), random.randrange(2**32)
    postgres.run(
        "CREATE TABLE events (id bigint PRIMARY KEY, value bigint, at timestamptz)", "CREATE INDEX ON events (at)",
        *(f"CREATE TABLE {name} (id bigint PRIMARY KEY, value bigint)" for name in STREAMS),
    )  # fmt: skip
    plant.start_broker()
    plant.start_instance()
    with plant.client() as client:
        plant.configure(client, "late", documents(postgres.url))
        for name in STREAMS:
            plant.until(client, f"/stream/faults/late/{name}", lambda view: view["status"] == "RUNNING")
        count = asyncio.run(write(postgres.url, seconds, seed))
        for name in ("keyset", "windows"):
            stream = f"/stream/faults/late/{name}"
            plant.until(client, stream, lambda view: view["counts"]["written"] >= count, 60)
    found = {name: look(postgres, name, count) for name in STREAMS}
    for name in ("keyset", "windows"):
        verdicts.add(
            f"rows committed late, {name} with lag", "0 missing", f"seed {seed}: {found[name]}",
            ok=found[name].missing == found[name].wrong == 0,
        )  # fmt: skip
    verdicts.add(
        "rows committed late, without lag", "some missing, as the docs say", f"seed {seed}: {found['without']}",
        ok=found["without"].missing > 0,
    )  # fmt: skip
