"""A stream that asks for columns gets them, from the connector to the sink, with positions that rows share."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from teleporter_lab.config.key import Key
from teleporter_lab.instance.runner import StreamRunner
from tests.instance.conftest import STREAM, Desk
from tests.instance.seat import Seat, seat_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.client import Client
    from teleporter_lab.rpc.messages import StreamState

SOURCE, SINK = "/source/test/task/copy/rows", "/sink/test/task/copy/lines"
COLUMNS = (
    "@stream_logic\ndef copy(s):\n    seen = s.source('rows', columnar=True).map_batches(lambda b: b.append_column("
    "'half', __import__('pyarrow.compute').compute.divide(b['id'], 2.0)))\n    return seen.to(s.sink('lines'))\n"
)
ROWS = "@stream_logic\ndef copy(s):\n    return s.source('rows').to(s.sink('lines'))\n"


class Bench:
    """A stream on a real broker, run to its end by `run`."""

    def __init__(self, desk: Desk, seat: Seat) -> None:
        self.desk = desk
        self.seat = seat

    async def run(self, template: str, **ends: dict[str, Any]) -> StreamState:
        """Saves the stream and its ends, and runs it; how it ended."""
        await self.desk.client.save(STREAM, {"template": template})
        for key, value in ends.items():
            await self.desk.client.save({"source": SOURCE, "sink": SINK}[key], value)
        runner = StreamRunner(Key.parse(STREAM), self.seat.services, 5.0, lambda _: None, self.seat.epoch)
        await runner.start()
        task = runner._task
        if task is not None:
            await task
        return runner.statistics()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.desk.output.read_text().splitlines()]


@pytest.fixture
async def bench(broker: Running, client: Client, tmp_path: Path) -> AsyncIterator[Bench]:
    async with seat_at(broker) as seat:
        desk = Desk(client, tmp_path)
        await desk.prepare(3000)
        await client.refresh("/group/test/all")
        yield Bench(desk, seat)


async def test_columns_go_from_the_source_to_the_sink(bench: Bench) -> None:
    state = await bench.run(COLUMNS)
    assert (state.status, state.error) == ("COMPLETE", "")
    assert (state.counts["read"], state.counts["written"]) == (3000, 3000)
    assert bench.lines == [{"id": n, "name": f"name {n}", "half": n / 2} for n in range(3000)]


async def test_columns_go_on_where_rows_stopped(bench: Bench) -> None:
    await bench.run(ROWS)
    with bench.desk.input.open("a") as file:
        file.write("3000,late\n")
    await bench.run(COLUMNS)
    assert [line["id"] for line in bench.lines] == list(range(3001))
    assert bench.lines[-1] == {"id": 3000, "name": "late", "half": 1500.0}


async def test_columns_go_into_parquet_and_into_a_table(bench: Bench, tmp_path: Path) -> None:
    parts, goods = tmp_path / "parts", tmp_path / "goods.db"
    parquet = {"category": "parquet", "client": {"path": str(parts), "batchSize": 1000, "batchTime": "10.millis"}}
    state = await bench.run(COLUMNS, sink=parquet)
    assert (state.status, state.error) == ("COMPLETE", "")
    files = sorted(parts.glob("*.parquet"))
    assert sum(pq.ParquetFile(path).metadata.num_rows for path in files) == 3000
    await bench.desk.client.save("/address/test/goods", {"category": "sql", "client": {"url": f"sqlite:///{goods}"}})
    setup = ["CREATE TABLE IF NOT EXISTS goods (id INTEGER PRIMARY KEY, name TEXT, half REAL)"]
    state = await bench.run(
        ROWS.replace("'rows'", "'rows', columnar=True"),
        source={"category": "parquet", "client": {"path": f"{parts}/*.parquet"}},
        sink={
            "category": "sql",
            "address": {"key": "/address/test/goods"},
            "client": {"table": "goods", "setup": setup},
        },
    )
    assert (state.status, state.error) == ("COMPLETE", "")
    with closing(sqlite3.connect(goods)) as connection:
        assert connection.execute("SELECT count(*), sum(half) FROM goods").fetchone() == (3000, 3000 * 2999 / 4)


async def test_a_connector_without_columns_says_which_have_them(bench: Bench) -> None:
    state = await bench.run(COLUMNS, source={"category": "generator", "client": {"count": 5}})
    assert state.status == "FAILURE"
    assert state.error == (
        "A source of category generator gives no columns: leave out columnar=True, or read from one of csv, file, "
        "kafka, parquet, sql."
    )


async def test_a_format_without_columns_says_which_have_them(bench: Bench) -> None:
    state = await bench.run(COLUMNS, source={"category": "file", "client": {"path": str(bench.desk.input)}})
    assert state.status == "FAILURE"
    assert state.error.startswith("A file source gives columns with the format jsonl only, not with text;")


async def test_a_sink_of_rows_refuses_columns(bench: Bench) -> None:
    await bench.desk.client.save("/address/test/m", {"category": "memory"})
    sink = {"category": "memory", "address": {"key": "/address/test/m"}, "client": {"name": "a"}}
    state = await bench.run(COLUMNS, sink=sink)
    assert state.status == "FAILURE"
    assert "works on rows" in state.error
    assert "to_rows()" in state.error


async def test_the_broker_lists_who_has_columns(client: Client) -> None:
    found = {each["category"]: each["columnar"] for each in await client.connectors()}
    assert found == {
        "csv": ["source", "sink"],
        "file": ["source", "sink"],
        "generator": [],
        "kafka": ["source", "sink"],
        "memory": [],
        "parquet": ["source", "sink"],
        "sql": ["source", "sink"],
    }
