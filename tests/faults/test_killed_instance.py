"""SIGKILL of the instance at random moments, while three streams write the same records in three ways."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.tables import look

if TYPE_CHECKING:
    from tests.faults.plant import Plant
    from tests.faults.verdicts import Verdicts
    from tests.services.postgres import Postgres

pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.timeout(600)]

RATE = 12_000
CACHE = 20_000
TEMPLATE = '@stream_logic\ndef copy(s):\n    return s.source("numbers").to(s.sink("table"))\n'
SINKS: dict[str, dict[str, Any]] = {
    "plain": {"mode": "insert"},
    "upsert": {"mode": "upsert", "keys": ["id"]},
    "once": {"mode": "insert", "exactlyOnce": True},
}


def documents(url: str, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "/address/faults/database": {"category": "sql", "client": {"url": url}},
        "/task/faults/kill": {"template": TEMPLATE},
    }
    for name, sink in SINKS.items():
        found[f"/source/faults/kill/{name}/numbers"] = {
            "category": "generator", "client": {"count": count, "rate": RATE}, "ack": {"cacheSize": CACHE},
        }  # fmt: skip
        found[f"/sink/faults/kill/{name}/table"] = {
            "category": "sql", "address": {"key": "/address/faults/database"}, "client": {"table": name, **sink},
        }  # fmt: skip
        found[f"/stream/faults/kill/{name}"] = {}
    return found


def test_killed_at_random_moments(plant: Plant, postgres: Postgres, verdicts: Verdicts, whole: bool) -> None:
    kills, count = (20, 600_000) if whole else (6, 150_000)
    seed = random.randrange(2**32)
    points = sorted(random.Random(seed).sample(range(1_000, count - 20_000), kills))
    for name in SINKS:
        key = "PRIMARY KEY" if name == "upsert" else "NOT NULL"
        postgres.run(f"CREATE TABLE {name} (id bigint {key}, value bigint)")
    plant.start_broker()
    plant.start_instance()
    with plant.client() as client:
        plant.configure(client, "kill", documents(postgres.url, count))
        for point in points:
            plant.until(client, "/stream/faults/kill/plain", lambda view, p=point: view["counts"]["written"] >= p)
            plant.kill(plant.instance())
            plant.start_instance()
        for name in SINKS:
            view = plant.until(client, f"/stream/faults/kill/{name}", lambda view: view["status"] == "COMPLETE")
            assert view["counts"]["read"] == view["counts"]["written"] == count
    where = f"{kills} kills, seed {seed}"
    found = {name: look(postgres, name, count) for name in SINKS}
    within = kills * CACHE
    for name, most in (("plain", within), ("upsert", 0), ("once", 0)):
        verdicts.add(
            f"instance killed, {name}", f"0 missing, ≤ {most:,} twice", f"{where}: {found[name]}",
            ok=found[name].missing == found[name].wrong == 0 and found[name].doubled <= most,
        )  # fmt: skip
