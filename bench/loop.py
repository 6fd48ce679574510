"""How streams share one event loop: many busy ones, one that is stopped, one that ticks, many idle ones."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import foreach, ignore
from teleporter_lab.engine.stages.sources import async_iterate, iterate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PAGE = 4096


def percentile(values: list[float], part: float) -> float:
    """The smallest value that `part` (0 to 1) of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def inc(x: int) -> int:
    return x + 1


def even(x: int) -> bool:
    return x % 2 == 0


def triple(x: int) -> int:
    return x * 3


def read(source: itertools.count[int]) -> int:
    """How many elements were taken from it."""
    return source.__reduce__()[1][0]  # type: ignore[index,return-value]


async def busy(streams: int, seconds: float) -> tuple[float, float]:
    """Elements a second of that many busy streams together, and the 99th percentile of the loop's lag in seconds."""
    sources = [itertools.count() for _ in range(streams)]
    lags: list[float] = []
    async with Runtime() as runtime:
        graphs = [iterate(source).map(inc).filter(even).map(triple).to(ignore()) for source in sources]
        tasks = [asyncio.create_task(graph.run(runtime)) for graph in graphs]
        await asyncio.sleep(0.5)
        before, started = sum(map(read, sources)), time.perf_counter()
        while (now := time.perf_counter()) < started + seconds:
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - now - 0.001)
        rate = (sum(map(read, sources)) - before) / (time.perf_counter() - started)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return rate, percentile(lags, 0.99)


async def stop_time(cost: float) -> float:
    """Seconds from firing a kill switch, at any moment and from a thread, to the end of a stream that takes `cost`
    seconds an element above it."""

    def work(x: int) -> int:
        end = time.perf_counter() + cost
        while time.perf_counter() < end:
            pass
        return x

    loop, switch, fired = asyncio.get_running_loop(), KillSwitch(), [0.0]

    def fire() -> None:
        fired[0] = time.perf_counter()
        loop.call_soon_threadsafe(switch.shutdown)

    timer = threading.Timer(0.1, fire)
    timer.start()
    await iterate(itertools.count()).map(work).kill_switch(switch).to(ignore()).run()
    timer.join()
    return time.perf_counter() - fired[0]


async def tick_latency(ticks: int) -> float:
    """The 99th percentile of the seconds from source to sink, through three operators, at one element a millisecond."""

    async def clock() -> AsyncIterator[float]:
        for _ in range(ticks):
            await asyncio.sleep(0.001)
            yield time.perf_counter()

    late: list[float] = []
    source = async_iterate(clock()).map(float).filter(bool).map(float)
    await source.to(foreach(lambda at: late.append(time.perf_counter() - at))).run()
    return percentile(late, 0.99)


async def held(start: Callable[[int], Any], count: int) -> tuple[float, float]:
    """KiB and microseconds that each of `count` waiting streams takes to start; in a process of its own."""
    gc.collect()
    memory, started = _resident(), time.perf_counter()
    tasks = await start(count)
    for _ in range(3):
        await asyncio.sleep(0)
    took, memory = time.perf_counter() - started, _resident() - memory
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return memory / count / 1024, took / count * 1e6


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE
