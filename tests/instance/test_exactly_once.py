"""A sink that keeps the position with its rows, from end to end: fails in the middle, and each row is there once."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from tests.instance.conftest import Desk

COUNT = 3_000
SOURCE = "/source/test/task/copy/numbers"
SINK = "/sink/test/task/copy/table"

FAILING = """
failed = []

def check(row):
    if row["id"] == 2_000 and not MARKER.exists():
        MARKER.touch()
        raise RuntimeError("in the middle")
    return row

@stream_logic
def copy(s):
    return s.source("numbers").map(check).filter(lambda row: row["id"] % 3).to(s.sink("table"))
"""


@pytest.fixture
async def database(desk: Desk, tmp_path: Path) -> Path:
    path = tmp_path / "once.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE copied (id INTEGER, value INTEGER)")
    await desk.client.save("/address/test/once", {"category": "sql", "client": {"url": f"sqlite:///{path}"}})
    await desk.client.save(SOURCE, {"category": "generator", "client": {"count": COUNT}})
    await desk.client.save(SINK, sink())
    return path


def sink(**client: Any) -> dict[str, Any]:
    options = {"table": "copied", "mode": "insert", "exactlyOnce": True, "batchSize": 100, **client}
    return {"category": "sql", "address": {"key": "/address/test/once"}, "client": options}


def ids(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM copied ORDER BY rowid")]


def template(tmp_path: Path) -> str:
    return f"from pathlib import Path\nMARKER = Path({str(tmp_path / 'failed')!r})\n{FAILING}"


async def test_each_row_is_there_once_after_a_failure_in_the_middle(desk: Desk, database: Path, tmp_path: Path) -> None:
    await desk.deploy(template(tmp_path), errorRules=["RuntimeError => restart(delay = 10.millis)"])
    view = await desk.status("COMPLETE")
    assert (tmp_path / "failed").exists()
    assert ids(database) == [number for number in range(COUNT) if number % 3]
    assert view["counts"]["read"] == COUNT
    assert (view["counts"]["written"], view["counts"]["filtered"]) == (2 * COUNT // 3, COUNT // 3)
    assert view["alarms"] == 0


async def test_what_the_sink_has_kept_goes_before_the_store_until_a_person_sets_another(
    broker: Running, desk: Desk, database: Path, tmp_path: Path
) -> None:
    (tmp_path / "failed").touch()
    await desk.deploy(template(tmp_path))
    done = await desk.status("COMPLETE")
    await broker.service.runtime.delete("/position/test/task/copy/numbers")
    await desk.client.restart("/stream/test/task/copy")
    done = await desk.until(lambda view: view["status"] == "COMPLETE" and view["since"] > done["since"])
    assert len(ids(database)) == 2 * COUNT // 3
    await desk.client.reset_position(SOURCE)
    await desk.client.restart("/stream/test/task/copy")
    await desk.until(lambda view: view["status"] == "COMPLETE" and view["since"] > done["since"])
    assert len(ids(database)) == 4 * COUNT // 3


async def test_two_sinks_in_one_stream_are_refused(desk: Desk, database: Path) -> None:
    await desk.client.save("/sink/test/task/copy/other", {**sink(), "client": {"table": "copied", "mode": "insert"}})
    await desk.deploy(
        "@stream_logic\ndef copy(s):\n    return s.source('numbers').also_to(s.sink('other')).to(s.sink('table'))\n"
    )
    view = await desk.status("FAILURE")
    assert f"{SINK} is exactly once in a stream with one sink" in view["error"]
    assert ids(database) == []


async def test_two_sinks_that_keep_the_position_are_refused(desk: Desk, database: Path) -> None:
    await desk.client.save("/sink/test/task/copy/other", sink())
    await desk.deploy("@stream_logic\ndef copy(s):\n    return s.source('numbers').to(s.sink('table'))\n")
    assert "only one sink can keep the position" in (await desk.status("FAILURE"))["error"]
    assert ids(database) == []


async def test_a_sink_that_keeps_the_position_and_is_not_used_is_refused(desk: Desk, database: Path) -> None:
    """The stream would begin where that sink is, and nothing that it stores would be told to anybody."""
    await desk.deploy("@stream_logic\ndef copy(s):\n    return s.source('numbers').to(s.sink('lines'))\n")
    assert f"{SINK} says exactlyOnce, and the code" in (await desk.status("FAILURE"))["error"]
