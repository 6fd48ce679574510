"""Turn-taking and chunk sizes, counted instead of timed."""

from __future__ import annotations

import asyncio
import itertools
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
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
    assert sizes(1e-9, 13) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 2048]
    assert MAX_CHUNK == 2048


def test_slow_elements_make_small_chunks() -> None:
    assert sizes(0.001, 6)[-1] * 0.001 <= TARGET
    assert sizes(1.0, 6) == [1] * 6


def test_a_stream_that_gets_slow_shrinks_and_one_that_gets_fast_grows_again() -> None:
    busy = Busy()
    pace = Pace(Turnstile(), busy)
    found: list[int] = []
    for chunk in range(40):
        n = pace.fit(10**9)
        found.append(n)
        pace.gave(n)
        busy.seconds += n * (0.001 if 12 <= chunk < 20 else 1e-9)
    assert found[12] == 2048
    assert max(found[13:21]) <= 3
    assert found[21:30] == [4, 8, 16, 32, 64, 128, 256, 512, 1024]


def test_what_others_worked_before_the_first_chunk_does_not_hold_it_small() -> None:
    busy = Busy()
    busy.seconds = 100.0
    pace = Pace(Turnstile(), busy)
    pace.gave(1)
    assert pace.fit(100) == 2


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


async def test_of_two_busy_streams_each_gets_its_half() -> None:
    """However many chunks fit into the slice of a pass: the first of two must not take all of it each time."""
    now = 0.0
    turnstile = Turnstile(0.005, lambda: now)
    counts = [0, 0, 0]

    async def busy(i: int) -> None:
        nonlocal now
        while sum(counts) < 3000:
            await turnstile.turn()
            counts[i] += 1
            now += 0.0001

    await asyncio.gather(*(busy(i) for i in range(3)))
    assert max(counts) - min(counts) <= 2


async def test_a_stream_that_is_alone_uses_its_slice_without_waiting() -> None:
    now = 0.0
    turnstile = Turnstile(0.005, lambda: now)
    between = 0

    async def watch() -> None:
        nonlocal between
        while True:
            between += 1
            await asyncio.sleep(0)

    watching = asyncio.ensure_future(watch())
    await turnstile.turn()
    between = 0
    for _ in range(100):
        await turnstile.turn()
        now += 0.001
    watching.cancel()
    assert 18 <= between <= 22, "a pass for each five turns of 1 ms"


async def test_a_stream_that_leaves_while_it_waits_is_in_nobodys_way() -> None:
    turnstile = Turnstile()
    waiting = [asyncio.ensure_future(turnstile.turn()) for _ in range(10)]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    for task in waiting[1::2]:
        await asyncio.wait_for(task, 5)
    assert turnstile.statistics().waiting == 0
    await asyncio.wait_for(turnstile.turn(), 5)


async def test_one_pass_of_the_loop_is_bounded_with_many_busy_streams() -> None:
    """200 streams whose elements take 50 µs, as counted by a clock of ours: no pass works much longer than a slice."""
    now = 0.0

    def work(x: int) -> int:
        nonlocal now
        now += 50e-6
        return x

    passes: list[float] = []
    done: list[int] = [0] * 200

    async def watch() -> None:
        while sum(done) < 200 * 64:
            began = now
            await asyncio.sleep(0)
            passes.append(now - began)

    async with Runtime() as runtime:
        runtime.turnstile = Turnstile(0.005, lambda: now)

        async def stream(i: int) -> None:
            done[i] = len(await iterate(range(64)).map(work).grouped(8).to(to_list()).run(runtime)) * 8

        watching = asyncio.ensure_future(watch())
        await asyncio.gather(*(stream(i) for i in range(200)))
        await watching
    settled = passes[5:]  # the first passes only learn what a turn costs
    assert max(settled) <= 0.02
    assert sum(settled) / sum(1 for x in settled if x) <= 0.008


async def test_what_a_turn_costs_is_learnt_although_all_are_let_through_at_once() -> None:
    """A hundred streams whose turns were cheap at first: else a pass would go on letting all of them through."""
    now = 0.0
    cost = 1e-6
    turnstile = Turnstile(0.005, lambda: now)
    passes: list[float] = []

    async def stream() -> None:
        nonlocal now
        while True:
            await turnstile.turn()
            now += cost

    streams = [asyncio.ensure_future(stream()) for _ in range(100)]
    for i in range(40):
        cost = 1e-6 if i < 10 else 0.001
        began = now
        await asyncio.sleep(0)
        passes.append(now - began)
    for task in streams:
        task.cancel()
    await asyncio.wait(streams)
    assert max(passes[12:]) <= 0.006
    assert turnstile.statistics().cost == pytest.approx(0.001, rel=0.3)


async def test_busy_streams_get_alike_much_done() -> None:
    done = [0] * 10

    def work(i: int) -> Any:
        def count(x: int) -> int:
            done[i] += 1
            return x

        return count

    async with Runtime() as runtime:
        runs = [
            asyncio.ensure_future(iterate(itertools.count()).map(work(i)).to(ignore()).run(runtime)) for i in range(10)
        ]
        while sum(done) < 200_000:
            await asyncio.sleep(0)
        for run in runs:
            run.cancel()
        await asyncio.wait(runs)
    assert min(done) > max(done) / 3


async def test_the_time_that_functions_take_makes_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A millisecond an element, in an operator and in a sink, each by its own clock."""
    now = 0.0
    seen: list[int] = []

    def work(x: int) -> int:
        nonlocal now
        now += 0.001
        return x

    monkeypatch.setattr("teleporter_lab.engine.supervision.time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr("teleporter_lab.engine.stages.sources.islice", lambda it, n: seen.append(n) or islice(it, n))
    await iterate(range(30)).map(work).to(ignore()).run()
    assert max(seen) <= 3
    seen.clear()
    await iterate(range(30)).to(foreach(work)).run()
    assert max(seen) <= 3
    seen.clear()
    await iterate(range(2000)).map(abs).to(ignore()).run()
    assert max(seen) == MAX_CHUNK


# --------------------------------------------------------------------------------------------- work counted, not timed
