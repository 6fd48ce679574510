"""`make bench-kafka`: Kafka to PostgreSQL with an idempotent upsert, beside Kafka Connect and a hand-written loop.

    python bench/bench_kafka.py [--rounds 5] [--rows 1200000] [--no-connect]

A real Kafka, a real PostgreSQL with its stock settings and a Connect worker run on this machine. Each contender runs
once in each round, in any order, and every row it has written is compared with the generator that made it; what is
shown are medians of ratios within a round. Ends with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "kafka_pg"), str(HERE.parent)]

import connect  # noqa: E402
from bars import Bar, show  # noqa: E402
from ours import Ours  # noqa: E402
from rows import Watch, Watched, fill  # noqa: E402

from tests.services import kafka, postgres  # noqa: E402
from tests.services.process import free_port  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE = HERE.parent / "build" / "services" / "connect"
HAND, OURS, ONE, TWO = "a loop by hand", "teleporter-lab", "Kafka Connect, 1 task", "Kafka Connect, 2 tasks"


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


class Bench:
    """The servers, and each contender as a function that gives its rate and the CPU seconds of its own processes."""

    def __init__(self, stack: ExitStack, rows: int, with_connect: bool) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-kafka-")))
        self._rows = rows
        self._kafka = kafka.Server(_below(folder, "kafka"), kafka.installation())
        self._kafka.start()
        stack.callback(self._kafka.stop)
        database = postgres.Server(_below(folder, "postgres"), postgres.installation(), fsync=True)
        database.start()
        stack.callback(database.stop)
        self._dsn = database.url("postgres")
        self._watch = Watch(self._dsn, rows)
        say(f"Filling the topic with {rows:,} rows.")
        asyncio.run(fill(self._kafka.bootstrap, rows))
        self._ours = Ours(folder, self._kafka.bootstrap, self._dsn)
        self._ours.start()
        stack.callback(self._ours.stop)
        self.contenders: dict[str, Callable[[], Watched]] = {HAND: self.by_hand, OURS: self.ours}
        if with_connect:
            connect.fetch(CACHE)
            self._worker = connect.Worker(CACHE, _below(folder, "connect"), self._kafka.bootstrap, free_port())
            self._worker.start()
            stack.callback(self._worker.stop)
            self.contenders |= {ONE: lambda: self.connect(1), TWO: lambda: self.connect(2)}

    def by_hand(self) -> Watched:
        asyncio.run(self._watch.clear())
        command = [sys.executable, HERE / "kafka_pg" / "hand.py", self._kafka.bootstrap, self._dsn, str(self._rows)]
        process = subprocess.Popen(command)
        try:
            return asyncio.run(self._watch.run({"hand": process.pid}))
        finally:
            if process.wait(60):
                raise AssertionError("The loop by hand has failed.")

    def ours(self) -> Watched:
        asyncio.run(self._watch.clear())
        self._ours.run()
        try:
            return asyncio.run(self._watch.run(self._ours.pids))
        finally:
            counts = self._ours.end()
            say(f"Our counts: {counts}")

    def connect(self, tasks: int) -> Watched:
        asyncio.run(self._watch.clear())
        name = f"sink-{time.time_ns()}"
        self._worker.sink(name, self._dsn, tasks)
        try:
            return asyncio.run(self._watch.run({"connect": self._worker.pid}))
        finally:
            failures = self._worker.failures(name)
            self._worker.remove(name)
            if failures:
                raise AssertionError(failures[0])


def _below(folder: Path, name: str) -> Path:
    folder.chmod(0o755)
    made = folder / name
    made.mkdir()
    return made


def measured(rounds: int, rows: int, with_connect: bool) -> dict[str, list[Watched]]:
    """Every contender once in each round, after a first round that is not counted."""
    found: dict[str, list[Watched]] = {}
    with ExitStack() as stack:
        bench = Bench(stack, rows, with_connect)
        for number in range(rounds + 1):
            for name in random.sample(list(bench.contenders), len(bench.contenders)):
                run = bench.contenders[name]()
                say(f"Round {number}, {name}: {run.rate:,.0f} rows/s, CPU {run.cpu}")
                if number:
                    found.setdefault(name, []).append(run)
    return found


def bars(found: dict[str, list[Watched]]) -> list[Bar]:
    def ratio(name: str) -> float:
        return statistics.median(o.rate / other.rate for o, other in zip(found[OURS], found[name], strict=True))

    rows = [Bar("rate / a loop by hand", 0.9, "x", ratio(HAND))]
    if TWO not in found:
        return rows
    rates = {name: statistics.median(run.rate for run in found[name]) for name in (ONE, TWO)}
    best = max(rates, key=lambda name: rates[name])
    cpu = statistics.median(
        sum(o.cpu.values()) / sum(other.cpu.values()) for o, other in zip(found[OURS], found[best], strict=True)
    )
    return [
        *rows,
        Bar(f"rate / {best}, its best setting", 1.3, "x", ratio(best)),
        Bar("rate / Kafka Connect at one task", 2.0, "x", ratio(ONE)),
        Bar(f"CPU seconds / those of {best}", 0.5, "x", cpu, "lower"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_200_000)
    parser.add_argument("--no-connect", action="store_true")
    options = parser.parse_args()
    found = measured(options.rounds, options.rows, not options.no_connect)
    details: dict[str, Any] = {
        name: {
            "rows a second": round(statistics.median(run.rate for run in runs)),
            "CPU seconds": round(statistics.median(sum(run.cpu.values()) for run in runs), 2),
        }
        for name, runs in found.items()
    }
    for name, numbers in details.items():
        sys.stdout.write(f"{name:24} {numbers['rows a second']:>9,} rows/s {numbers['CPU seconds']:>7} CPU s\n")
    return show("kafka", bars(found), details, HERE.parent / "build" / "bars")


if __name__ == "__main__":
    sys.exit(main())
