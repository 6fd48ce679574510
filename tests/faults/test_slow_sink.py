"""A sink ten times slower than its source: back-pressure holds the source, and memory stays flat."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.plant import rss

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.plant import Plant
    from tests.faults.verdicts import Verdicts

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

SOURCE_RATE = 100_000
SINK_RATE = SOURCE_RATE // 10
STREAM = "/stream/faults/slow/copy"
TEMPLATE = f"""
import time

def write(_, records):
    time.sleep(len(records) / {SINK_RATE})

@stream_logic
def copy(s):
    from teleporter_lab.engine.stages.writing import resource_sink
    return s.source("numbers").to(resource_sink(lambda: None, write, lambda _: None, blocking=True))
"""
SLOPE = 2.0
"""Megabytes an hour beyond which memory is not flat, in a run of its full length; noise is that of the allocator."""


def documents() -> dict[str, Any]:
    return {
        STREAM: {"template": TEMPLATE},
        "/source/faults/slow/copy/numbers": {
            "category": "generator", "client": {"rate": SOURCE_RATE, "payloadSize": 200},
        },
    }  # fmt: skip


def slope(samples: list[tuple[float, int]]) -> float:
    """Bytes a second, by least squares."""
    times, sizes = zip(*samples, strict=True)
    return statistics.linear_regression(times, sizes).slope


def test_memory_is_flat(tmp_path: Path, plant: Plant, verdicts: Verdicts, whole: bool) -> None:
    seconds, warm = (300, 60) if whole else (15, 10)
    plant.start_broker()
    pid = plant.start_instance().pid
    with plant.client() as client:
        plant.configure(client, "slow", documents())
        plant.until(client, STREAM, lambda view: view["counts"]["written"] > warm * SINK_RATE * 0.8, warm * 3)
        before = client.streams(STREAM)[0]["counts"]["written"]
        samples: list[tuple[float, int]] = []
        started = time.monotonic()
        while (now := time.monotonic()) - started < seconds:
            samples.append((now - started, rss(pid)))
            time.sleep(0.25)
        view = client.streams(STREAM)[0]
    rate = (view["counts"]["written"] - before) / seconds
    growth = slope(samples) * 3600 / 1e6
    most = SLOPE if whole else 500.0
    verdicts.add(
        f"sink 10 times slower, {seconds} s", f"memory flat: ≤ {most:g} MB/h",
        f"{growth:+.1f} MB/h at {samples[-1][1] / 1e6:.0f} MB, {rate:,.0f} records/s written, "
        f"{view['counts']['in_flight']:,} in flight",
        ok=growth <= most and view["counts"]["in_flight"] <= 65_536 and rate >= SINK_RATE * 0.5,
    )  # fmt: skip
