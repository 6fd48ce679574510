"""Turn-taking and chunk sizes, counted instead of timed."""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import Any

from teleporter_lab.engine.stages.sinks import ignore
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.turnstile import MAX_CHUNK, TARGET, Busy, Pace, Turnstile


def sizes(cost: float, chunks: int) -> list[int]:
    """The chunk sizes of a stream whose elements take `cost` seconds each."""
    busy = Busy()
    pace = Pace(Turnstile(), busy)
    found: list[int] = []
    for _ in range(chunks):
        n = pace.fit(10**9)
        found.append(n)
        pace.gave(n)
        busy.seconds += n * cost
    return found


def test_a_chunk_begins_with_one_and_doubles_to_its_most() -> None:
    assert sizes(1e-9, 12) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024]
    assert MAX_CHUNK == 1024


def test_slow_elements_make_small_chunks() -> None:
    assert sizes(0.001, 6)[-1] * 0.001 <= TARGET
    assert sizes(1.0, 6) == [1] * 6


def test_it_never_asks_for_more_than_the_demand() -> None:
    pace = Pace(Turnstile(), Busy())
    pace.gave(1)
    assert pace.fit(1) == 1


async def test_busy_streams_take_turns_and_others_are_served_between() -> None:
    """Time is a counter: each turn costs 1 ms, a pass of the loop has 5 ms."""
    now = 0.0
    turnstile = Turnstile(0.005, lambda: now)
    turns: dict[int, int] = dict.fromkeys(range(20), 0)
    between: list[int] = []

    async def stream(number: int) -> None:
        nonlocal now
        for _ in range(50):
            await turnstile.turn()
            turns[number] += 1
            now += 0.001

    async def watch() -> None:
        while sum(turns.values()) < 1000:
            between.append(sum(turns.values()))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in turns:
            group.create_task(stream(number))
        group.create_task(watch())
    steps = [b - a for a, b in itertools.pairwise(between)]
    assert max(steps[20:]) <= 12, "one pass of the loop let too many through"
    assert set(turns.values()) == {50}


async def test_no_stream_is_starved() -> None:
    turnstile = Turnstile()
    counts = [0] * 10

    async def busy(i: int) -> None:
        while min(counts) < 20:
            await turnstile.turn()
            counts[i] += 1

    await asyncio.gather(*(busy(i) for i in range(10)))
    assert max(counts) < 20 * 200


async def calls_for(elements: int) -> int:
    """Python calls that a stream of three trivial operators makes, those of the user's functions left out."""
    graph = iterate(range(elements)).map(abs).filter(bool).map(abs).to(ignore())
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        await graph.run()
    finally:
        sys.setprofile(None)
    return calls


async def test_the_engine_makes_no_call_for_each_element() -> None:
    """Work is counted, not timed: ten thousand more elements cost some calls a chunk, not some calls an element."""
    few, many = await calls_for(50_000), await calls_for(60_000)
    assert (many - few) / 10_000 < 0.1
