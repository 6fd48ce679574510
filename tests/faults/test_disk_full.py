"""A disk that is full, under a sink and under the store of the broker: no position passes what is not written."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.plant import Plant
from tests.services.postgres import Postgres
from tests.services.small_disk import small_disk as small_disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from teleporter_lab.blocking import BlockingClient
    from tests.faults.verdicts import Verdicts
    from tests.services.small_disk import SmallDisk

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RATE = 12_000
STREAM = "/stream/faults/disk/copy"
SOURCE = f"/source{STREAM[7:]}/numbers"
TEMPLATE = '@stream_logic\ndef copy(s):\n    return s.source("numbers").to(s.sink("lines"))\n'
RULE = "No space left:WARN => retry(delay = 100.millis)"
FULL = 3.0
"""Seconds the disk stays full."""


def documents(path: Path, count: int) -> dict[str, Any]:
    return {
        STREAM: {"template": TEMPLATE},
        SOURCE: {
            "category": "generator", "client": {"count": count, "rate": RATE}, "ack": {"commitInterval": "50.millis"},
        },
        f"/sink{STREAM[7:]}/lines": {
            "category": "file", "client": {"path": str(path), "format": "jsonl"}, "errorRules": [RULE],
        },
    }  # fmt: skip


def ids(path: Path) -> list[int]:
    """What whole lines there are, read without the connector."""
    if not path.exists():
        return []
    return [json.loads(line)["id"] for line in path.read_bytes().split(b"\n")[:-1]]


def beyond(client: BlockingClient, path: Path) -> int:
    """Records before the committed position that are not in the file."""
    position = (client.position(SOURCE)["position"] or {"next": 0})["next"]
    return position - len(set(ids(path)) & set(range(position)))


def test_full_under_a_sink(plant: Plant, small_disk: SmallDisk, verdicts: Verdicts) -> None:
    path, count = small_disk.folder / "out.jsonl", 25_000  # about 700 kB
    plant.start_broker()
    plant.start_instance()
    with plant.client() as client:
        small_disk.fill(leave=200_000)
        plant.configure(client, "disk", documents(path, count))
        plant.until(client, STREAM, lambda view: view["matched"].get("WARN", 0) > 3)
        passed, until = 0, time.monotonic() + FULL
        while time.monotonic() < until:
            passed = max(passed, beyond(client, path))
        small_disk.free()
        view = plant.until(client, STREAM, lambda view: view["status"] == "COMPLETE")
        passed = max(passed, beyond(client, path))
    found = ids(path)
    missing, doubled = count - len(set(found)), len(found) - len(set(found))
    verdicts.add(
        "disk full under a sink", "no position passes an unwritten record, 0 missing",
        f"{len(found):,} lines, {missing:,} missing, {doubled:,} twice, {passed:,} passed, "
        f"{view['matched']['WARN']:,} tries failed",
        ok=(missing, doubled, passed) == (0, 0, 0) and view["counts"]["written"] == count,
    )  # fmt: skip


def test_full_under_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_disk: SmallDisk, verdicts: Verdicts
) -> None:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    plant = Plant(store=f"sqlite:{small_disk.folder / 'store'}")
    stuck(plant, tmp_path / "out.jsonl", verdicts, "full", (small_disk.fill, small_disk.free))


@pytest.mark.postgres
def test_read_only_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: Postgres, verdicts: Verdicts
) -> None:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    plant = Plant(store=postgres.url)
    server, _, name = postgres.url.rpartition("/")

    def read_only(setting: str) -> None:
        Postgres(f"{server}/postgres").run(
            f"ALTER DATABASE {name} SET default_transaction_read_only = {setting}",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )

    stuck(plant, tmp_path / "out.jsonl", verdicts, "read-only", (lambda: read_only("on"), lambda: read_only("off")))


def stuck(
    plant: Plant, path: Path, verdicts: Verdicts, kind: str, faults: tuple[Callable[[], None], Callable[[], None]]
) -> None:
    """The store takes nothing for a while, between the two `faults`."""
    count = 120_000
    try:
        plant.start_broker()
        plant.start_instance()
        with plant.client() as client:
            plant.configure(client, "disk", documents(path, count))
            plant.until(client, STREAM, lambda view: view["counts"]["written"] > 5_000)
            faults[0]()
            time.sleep(0.3)
            held = client.position(SOURCE)["position"]
            lines, passed, until = len(ids(path)), 0, time.monotonic() + FULL
            while time.monotonic() < until:
                passed = max(passed, beyond(client, path))
            went_on = len(ids(path)) - lines
            kept = client.position(SOURCE)["position"]
            faults[1]()
            view = plant.until(client, STREAM, lambda view: view["status"] == "COMPLETE")
            end = client.position(SOURCE)["position"]
    finally:
        plant.end()
    found = ids(path)
    missing, doubled = count - len(set(found)), len(found) - len(set(found))
    verdicts.add(
        f"store {kind}", "streams go on, no position passes an unwritten record, 0 missing",
        f"{went_on:,} records written meanwhile, position held at {held}, then {end}; {missing:,} missing, "
        f"{doubled:,} twice, {passed:,} passed",
        ok=(missing, doubled, passed) == (0, 0, 0) and went_on > 0 and kept == held and end == {"next": count}
        and view["restarts"] == 0,
    )  # fmt: skip
