"""`make bench-engine`: the bars of the engine, measured side by side with plain loops, other libraries and Pekko.

    python bench/bench_engine.py [--rounds 7] [--no-jvm]

Every contender of a variant runs once in each round, in any order, and is checked; what is shown are medians of ratios
to the baseline in the same round, so that a noisy machine is noisy for all of them. Ends with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import runpy
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jvm
import loop
import work
from bars import Bar, show

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

HERE = Path(__file__).parent
OURS = runpy.run_path(str(HERE / "engine.py"), init_globals=vars(work))
OURS_WITH_ACKS = "teleporter, acks"
LIBRARIES = ("bytewax", "reactivex")
IDLE_STREAMS = 10_000


def progress(text: str) -> None:
    """One line on the terminal, while something long runs."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def timed(variant: str, name: str, run: Callable[[int], Any]) -> Callable[[int], float]:
    """Elements a second of one run, whose result is checked."""
    share = work.SHARE.get((variant, name), 1.0)

    def rate(n: int) -> float:
        n = int(n * share)
        wanted = work.expected(variant, n)
        gc.collect()
        started = time.perf_counter()
        found = run(n)
        took = time.perf_counter() - started
        if tuple(found) != wanted:
            raise AssertionError(f"{variant} {name}: {found} is not {wanted}")
        return n / took

    return rate


def measure(variant: str, rounds: int, names: Collection[str], java: Collection[str] = ()) -> dict[str, list[float]]:
    """Elements a second of the contenders that `names` has and that are installed, and of workloads on the JVM.

    A value a round. Other libraries and the JVM are measured by themselves with us, as the memory and the threads they
    leave behind are a burden for whoever runs after them.
    """
    n = work.SIZES.get(variant, 1_000_000)
    rates: dict[str, Callable[[int], float]] = {
        name: timed(variant, name, run)
        for (of, name), run in [*work.CONTENDERS.items(), (("D", OURS_WITH_ACKS), OURS["acknowledged"])]
        if of == variant and name in names
    }
    with ExitStack() as stack:
        for workload in java:
            machine = stack.enter_context(jvm.Jvm(workload))
            progress(f"{variant}: warming up {workload} on the JVM")
            machine.warm(n)
            rates[workload] = lambda n, machine=machine: n / machine.seconds(n)
        found: dict[str, list[float]] = {name: [] for name in rates}
        order = random.Random(variant)
        for i in range(rounds + 1):
            for name in order.sample(list(rates), len(rates)):  # nobody always runs after the same one
                progress(f"{variant}: round {i} of {rounds}, {name}")
                rate = rates[name](n)
                if i > 0:  # the first one warms up
                    found[name].append(rate)
    return found


def ratio(rates: dict[str, list[float]], ours: str, baseline: str) -> float | None:
    """The median, over the rounds, of our rate to the baseline's; None when one of them did not run."""
    if not rates.get(ours) or not rates.get(baseline):
        return None
    return statistics.median(a / b for a, b in zip(rates[ours], rates[baseline], strict=True))


def element_bars(rounds: int) -> tuple[list[Bar], dict[str, Any]]:
    """Beside plain loops and other libraries."""
    ours = [name for _, name in work.CONTENDERS if name.startswith("teleporter")]
    a, b, c = (measure(variant, rounds, ["loop", *ours]) for variant in "ABC")
    libraries = measure("A", rounds, ["teleporter", *LIBRARIES])

    def bar(what: str, least: float, rates: dict[str, list[float]], ours: str, baseline: str = "loop") -> Bar:
        return Bar(what, least, "x", ratio(rates, ours, baseline), why=f"{baseline} is not installed")

    bars = [
        bar("A: three trivial operators, supervised / the for-loop calling them", 0.80, a, "teleporter"),
        bar("A with acks / the for-loop", 0.75, a, "teleporter, acks"),
        *(bar(f"A / {name}", 3.0, libraries, "teleporter", name) for name in LIBRARIES),
        bar("B: map_async 16, ordered / awaiting in turn", 1.1, b, "teleporter, ordered"),
        bar("B: map_async 16, unordered / awaiting in turn", 1.3, b, "teleporter, unordered"),
        bar("C: records / the for-loop", 0.90, c, "teleporter"),
        bar("C by columns of 500 rows / the for-loop", 4.0, c, "teleporter, columns of 500"),
    ]
    return bars, {**medians("A", a), **medians("A / libraries", libraries), **medians("B", b), **medians("C", c)}


def pekko_bars(rounds: int, why: str) -> tuple[list[Bar], dict[str, Any]]:
    """Beside Pekko Streams; `why` says what is missing for that."""
    columns, expressions = "teleporter, columns of 8192", "teleporter, columns of 8192, expressions"
    records = "teleporter, columns of 10000"
    a: dict[str, list[float]] = {}
    c: dict[str, list[float]] = {}
    d: dict[str, list[float]] = {}
    if not why:
        a = measure("A", rounds, ["teleporter", columns, expressions], ["A"])
        c = measure("C", rounds, [records], ["C"])
        d = measure("D", rounds, [OURS_WITH_ACKS], ["D-actor"])
    bars = [
        Bar("A / Pekko, element by element", 0.5, "x", ratio(a, "teleporter", "A"), why=why),
        Bar("A by columns of 8,192 rows / Pekko", 8.0, "x", ratio(a, columns, "A"), why=why),
        Bar("C by columns of 10,000 rows / Pekko", 3.0, "x", ratio(c, records, "C"), why=why),
        Bar(
            "acks, two maps / Pekko, the ancestor's ack design", 1.4, "x", ratio(d, OURS_WITH_ACKS, "D-actor"), why=why
        ),
    ]
    rates = {**medians("A / Pekko", a), **medians("C / Pekko", c), **medians("D / Pekko", d)}
    return bars, {**rates, "A by columns with expressions / Pekko": ratio(a, expressions, "A")}


def medians(prefix: str, rates: dict[str, list[float]]) -> dict[str, float]:
    return {f"{prefix}: {name}, elements a second": statistics.median(found) for name, found in rates.items()}


def loop_bars(rounds: int) -> list[Bar]:
    alone: list[float] = []
    many: list[tuple[float, float]] = []
    for i in range(rounds):
        progress(f"1,000 busy streams: round {i + 1} of {rounds}")
        alone.append(asyncio.run(loop.busy(1, 1.0))[0])
        many.append(asyncio.run(loop.busy(1000, 2.0)))
    progress("kill switch, ticks")
    stops = [asyncio.run(loop.stop_time(0.001)) for _ in range(max(rounds, 10))]
    ticks = [asyncio.run(loop.tick_latency(1000)) for _ in range(rounds)]
    idles = []
    for i in range(rounds):
        progress(f"{IDLE_STREAMS:,} idle streams: round {i + 1} of {rounds}")
        child = [sys.executable, __file__, "--idle", str(IDLE_STREAMS)]
        idles.append(json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout))
    kept = statistics.median(rate / one for (rate, _), one in zip(many, alone, strict=True))
    return [
        Bar(
            "1,000 busy streams: lag of the loop, p99",
            25,
            "ms",
            statistics.median(lag for _, lag in many) * 1e3,
            "lower",
        ),
        Bar("1,000 busy streams: total rate / one stream alone", 0.9, "x", kept),
        Bar("10,000 idle streams: memory each", 6, "KiB", statistics.median(kib for kib, _ in idles), "lower"),
        Bar("10,000 idle streams: time to start, each", 25, "µs", statistics.median(us for _, us in idles), "lower"),
        Bar("kill switch below an operator of 1 ms: stopped, slowest of all", 25, "ms", max(stops) * 1e3, "lower"),
        Bar("1 ms ticks, three operators: source to sink, p99", 100, "µs", statistics.median(ticks) * 1e6, "lower"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7, help="rounds that are measured, 5 or more for a bar")
    parser.add_argument("--no-jvm", action="store_true", help="leave Pekko out")
    parser.add_argument("--idle", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.idle:
        start = next(iter(work.IDLE.values()))
        json.dump(asyncio.run(loop.held(start, options.idle)), sys.stdout)
        return 0
    bars, details = element_bars(options.rounds)
    bars += loop_bars(options.rounds)
    beside, rates = pekko_bars(options.rounds, "left out" if options.no_jvm else jvm.lacking())
    progress("")
    details = {"rounds": options.rounds, **details, **rates}
    return show("engine", [*bars, *beside], details, HERE.parent / "build" / "bars")


if __name__ == "__main__":
    sys.exit(main())
