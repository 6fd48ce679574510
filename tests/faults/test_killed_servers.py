"""SIGKILL and restart of the broker, and of PostgreSQL as source, as sink and as store, under one running stream."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.plant import Plant
from tests.faults.tables import look
from tests.services.postgres import Postgres, Server, installation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.verdicts import Verdicts

pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.timeout(600)]

RATE = 15_000
AWAY = 2.0
"""Seconds a server stays down."""
STREAM = "/stream/faults/servers/copy"
RULE = "AddressUnreachable:WARN => reload(delay = 200.millis, backoff = exponential, max = 2.seconds, jitter = true)"
TEMPLATE = f"""
@stream_logic
def copy(s):
    return s.source("rows").throttle({RATE // 10}, per=0.1).to(s.sink("table"))
"""


def documents(source: str, sink: str) -> dict[str, Any]:
    return {
        "/address/faults/from": {"category": "sql", "client": {"url": source}},
        "/address/faults/to": {"category": "sql", "client": {"url": sink}},
        "/source/faults/servers/copy/rows": {
            "category": "sql", "address": {"key": "/address/faults/from"}, "errorRules": [RULE],
            "client": {"query": "SELECT id, value FROM numbers", "key": "id"},
        },
        "/sink/faults/servers/copy/table": {
            "category": "sql", "address": {"key": "/address/faults/to"}, "errorRules": [RULE],
            "client": {"table": "copied", "mode": "upsert", "keys": ["id"]},
        },
        STREAM: {"template": TEMPLATE},
    }  # fmt: skip


class Killed:
    """A database server that is killed for a while."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        folder.mkdir()
        self.server = Server(folder, installation())
        self.server.start()
        stack.callback(self.server.stop)
        self.database = Postgres(self.server.url("postgres"))

    def __call__(self) -> None:
        self.server.kill()
        time.sleep(AWAY)
        self.server.start()


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("servers")
        for part in (folder, folder.parent, folder.parent.parent):
            part.chmod(0o755)
        yield {name: Killed(folder / name, stack) for name in ("source", "sink", "store")}


def test_streams_resume_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: dict[str, Killed], verdicts: Verdicts, whole: bool
) -> None:
    rounds, count = (3, 900_000) if whole else (1, 250_000)
    servers["source"].database.run(
        "CREATE TABLE numbers (id bigint PRIMARY KEY, value bigint)",
        f"INSERT INTO numbers SELECT n, n % 1000 FROM generate_series(0, {count - 1}) n",
    )
    servers["sink"].database.run("CREATE TABLE copied (id bigint PRIMARY KEY, value bigint)")
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    plant = Plant(store=servers["store"].database.url)
    try:
        plant.start_broker()
        pid = plant.start_instance().pid

        def kill_broker() -> None:
            plant.kill(plant.broker())
            time.sleep(AWAY)
            plant.start_broker()

        with plant.client() as client:
            plant.configure(client, "servers", documents(servers["source"].database.url, servers["sink"].database.url))
            plant.until(client, STREAM, lambda view: view["counts"]["written"] > 0)
        faults = [*servers.values(), kill_broker] * rounds
        for number, kill in enumerate(faults):
            due = count * (number + 1) // (len(faults) + 2)
            with plant.client() as client:
                plant.until(client, STREAM, lambda view, due=due: view["counts"]["written"] >= due)
            kill()
        with plant.client() as client:
            view = plant.until(client, STREAM, lambda view: view["status"] == "COMPLETE")
        assert plant.instance().pid == pid
    finally:
        plant.end()
    found = look(servers["sink"].database, "copied", count)
    matched = view["matched"].get("WARN", 0)
    counts = view["counts"]
    verdicts.add(
        "broker, source, sink, store killed", "0 missing, 0 twice, the rules fired",
        f"{len(faults)} kills: {found}, {matched} matches, read {counts['read']:,} written {counts['written']:,}",
        ok=(found.missing, found.doubled, found.wrong) == (0, 0, 0) and matched >= 2 * rounds
        and counts["read"] == counts["written"] + counts["in_flight"] and counts["in_flight"] == 0,
    )  # fmt: skip
