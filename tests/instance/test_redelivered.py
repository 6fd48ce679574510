"""A stream on an instance whose record is held up: it is delivered again, the others go on, and people see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.instance.test_runner import SOURCE, bench_at

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.client import Client


HELD = """
import asyncio
from pathlib import Path

from teleporter_lab import stream_logic

held = []


async def hold(row):
    if row["id"] == 3 and not held:
        held.append(row)
        while not Path(GATE).exists():
            await asyncio.sleep(0.01)
    return row


@stream_logic
def logic(s):
    return s.source("rows").map_async_unordered(8, hold).to(s.sink("lines"))
"""


async def test_what_is_not_confirmed_in_time_is_delivered_again_and_people_see_it(
    broker: Running, client: Client, tmp_path: Path
) -> None:
    async with bench_at(broker, client, tmp_path) as bench:
        source = (await bench.desk.client.get(str(SOURCE)))["value"]
        await bench.desk.client.save(str(SOURCE), {**source, "ack": {"maxAge": "100.millis", "cacheSize": 50}})
        await bench.save(HELD)
        await bench.runner.start()
        async with asyncio.timeout(20):
            while 3 not in (bench.ids if bench.desk.output.exists() else ()):
                await asyncio.sleep(0.01)
            while (acks := bench.runner.statistics().acks)["commits"] < 1:
                await asyncio.sleep(0.01)
        assert acks["redelivered"] >= 1
        state = bench.runner.statistics()
        assert set(state.acks) == {"unconfirmed", "oldest_age", "redelivered", "late", "commits", "commit_lag"}
        assert (state.alarms, state.matched) == (0, {})
        bench.gate.touch()
        await bench.runner.stop()
        assert bench.runner.statistics().acks == {}
