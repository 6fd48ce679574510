"""The laws every operator keeps, over one table of all of them: demand, end, errors, close, tokens, cancellation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.graph import Flow
from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.engine.stages.sinks import ignore
from teleporter_lab.engine.stages.sources import async_iterate, empty, iterate, single, unfold
from teleporter_lab.testing.probes import END, SourceProbe, pulled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

INPUT = list(range(10))


async def later(x: int) -> int:
    for _ in range(x % 3):
        await asyncio.sleep(0)
    return x * 10


@dataclass(frozen=True)
class Case:
    """An operator below a source of 0..9, and what comes out."""

    name: str
    flow: Callable[[Flow[Any, Any]], Flow[Any, Any]]
    out: list[Any]
    ordered: bool = True


CASES = [
    Case("map", lambda f: f.map(lambda x: x + 1), list(range(1, 11))),
    Case("filter", lambda f: f.filter(lambda x: x % 2), [1, 3, 5, 7, 9]),
    Case("filter, nothing left", lambda f: f.filter(lambda _: False), []),
    Case("filter_not", lambda f: f.filter_not(lambda x: x % 2), [0, 2, 4, 6, 8]),
    Case("map_concat", lambda f: f.map_concat(lambda x: [x] * (x % 3)), [1, 2, 2, 4, 5, 5, 7, 8, 8]),
    Case("scan", lambda f: f.scan(0, lambda a, x: a + x), [0, 1, 3, 6, 10, 15, 21, 28, 36, 45]),
    Case("take", lambda f: f.take(3), [0, 1, 2]),
    Case("take none", lambda f: f.take(0), []),
    Case("take_while", lambda f: f.take_while(lambda x: x < 4), [0, 1, 2, 3]),
    Case("drop", lambda f: f.drop(4), [4, 5, 6, 7, 8, 9]),
    Case("drop_while", lambda f: f.drop_while(lambda x: x < 8), [8, 9]),
    Case("grouped", lambda f: f.grouped(4), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]),
    Case("throttle", lambda f: f.throttle(1000, 1.0), INPUT),
    Case("idle_timeout", lambda f: f.idle_timeout(60.0), INPUT),
    Case("map_async", lambda f: f.map_async(3, later), [x * 10 for x in INPUT]),
    Case("map_async_unordered", lambda f: f.map_async_unordered(3, later), [x * 10 for x in INPUT], ordered=False),
    Case("map_blocking", lambda f: f.map_blocking(lambda xs: [x + 1 for x in xs]), list(range(1, 11))),
    Case("merge", lambda f: f.merge(iterate([100, 101])), [*INPUT, 100, 101], ordered=False),
    Case("concat", lambda f: f.concat(iterate([100, 101])), [*INPUT, 100, 101]),
    Case("zip", lambda f: f.zip(iterate("abcdefghijkl")), list(zip(INPUT, "abcdefghij", strict=True))),
    Case("also_to", lambda f: f.also_to(ignore()), INPUT),
    Case("divert_to", lambda f: f.divert_to(ignore(), when=lambda x: x > 6), list(range(7))),
    Case("recover", lambda f: f.recover(lambda _: -1), INPUT),
    Case("map_error", lambda f: f.map_error(lambda e: e), INPUT),
    Case("kill_switch", lambda f: f.kill_switch(KillSwitch()), INPUT),
    Case("watch_termination", lambda f: f.watch_termination(lambda _: None), INPUT),
    Case("via", lambda f: f.via(Flow[Any, Any]().map(str)), [str(x) for x in INPUT]),
]
EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
FAN_OUT = {"also_to", "divert_to"}
"""Their side sinks go on by themselves: `test_graph` has their errors and ends."""

ALONE = pytest.mark.parametrize("case", [c for c in CASES if c.name not in FAN_OUT], ids=lambda case: case.name)
PASSING = [case for case in CASES if case.name not in {"recover", "take none", "merge", "concat", *FAN_OUT}]


def same(found: list[Any], case: Case) -> bool:
    return found == case.out if case.ordered else sorted(found) == sorted(case.out)


async def outcome(stage: Any) -> tuple[list[Any], Exception | None]:
    """What comes out before the end, or before the error."""
    found: list[Any] = []
    try:
        while (chunk := await stage.pull(5)) is not None:
            found += chunk.data
    except OSError as error:
        return found, error
    return found, None


async def drain(stage: Any, n: int) -> list[Any]:
    """Everything, pulled `n` at a time; checks the demand and that no chunk is empty."""
    found: list[Any] = []
    while (chunk := await stage.pull(n)) is not None:
        assert 1 <= len(chunk) <= n
        found += chunk.data
        chunk.written()
    return found


@EVERY
@pytest.mark.parametrize("n", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("size", [1, 4, 10])
async def test_it_gives_what_it_should_and_never_more_than_asked(case: Case, n: int, size: int) -> None:
    probe = SourceProbe([INPUT[i : i + size] for i in range(0, 10, size)])
    async with pulled(case.flow(probe.as_source())) as stage:
        assert same(await drain(stage, n), case)
        assert await stage.pull(n) is None, "the end stays the end"
        assert await stage.pull(1) is None
    assert probe.closes == 1


@EVERY
async def test_every_token_is_settled_exactly_once(case: Case) -> None:
    window = AckWindow(1000)
    probe = SourceProbe([[0, 1, 2], [3, 4, 5, 6], [7], [8, 9]], window=window)
    async with pulled(case.flow(probe.as_source())) as stage:
        await drain(stage, 3)
    assert window.late == 0, "a token was settled too often"
    assert window.room == window.size, "a token leaks"
    assert window.ledger().in_flight == 0, window.ledger()
    assert window.refused == 0


@pytest.mark.parametrize("case", PASSING, ids=lambda case: case.name)
async def test_an_error_comes_after_all_before_it_and_stays(case: Case) -> None:
    probe = SourceProbe([[0, 1], OSError("lost")])
    async with pulled(case.flow(probe.as_source())) as stage:
        found, error = await outcome(stage)
        assert str(error) == "lost"
        assert str((await outcome(stage))[1]) == "lost", "an error stays"
    assert probe.closes == 1
    if case.name in {"map", "grouped", "map_async", "take_while", "filter_not"}:
        expected = {"map": [1, 2], "grouped": [[0, 1]], "map_async": [0, 10], "take_while": [0, 1], "filter_not": [0]}
        assert found == expected[case.name]


@ALONE
async def test_closing_in_the_middle_reaches_the_source_once(case: Case) -> None:
    probe = SourceProbe([INPUT], wait=True)
    async with pulled(case.flow(probe.as_source())) as stage:
        if case.out:
            assert await stage.pull(1) is not None
        await stage.close()
        await stage.close()
    assert probe.closes == 1


@EVERY
async def test_a_pull_that_is_cancelled_at_any_step_loses_nothing(case: Case) -> None:
    """Cancels each pull after k passes of the loop, for every k, then pulls again."""
    for k in range(6):
        probe = SourceProbe([[0, 1, 2], [3, 4, 5, 6], [7], [8, 9]])
        async with pulled(case.flow(probe.as_source())) as stage:
            found: list[Any] = []
            while True:
                pull = asyncio.ensure_future(stage.pull(2))
                for _ in range(k):
                    await asyncio.sleep(0)
                if pull.cancel():
                    await asyncio.wait((pull,))
                chunk = pull.result() if not pull.cancelled() else await stage.pull(2)
                if chunk is None:
                    break
                found += chunk.data
            assert same(found, case), f"cancelled after {k} passes"
        assert probe.closes == 1


async def test_take_reads_exactly_what_it_takes() -> None:
    for flow in (
        lambda f: f.take(3),
        lambda f: f.map(str).take(3),
        lambda f: f.map_async(8, later).take(3),
        lambda f: f.grouped(1).take(3),
    ):
        probe = SourceProbe([list(range(100))])
        async with pulled(flow(probe.as_source())) as stage:
            assert len(await drain(stage, 1000)) == 3
        assert probe.position == 3


async def test_a_filter_above_take_reads_just_what_it_needs() -> None:
    probe = SourceProbe([list(range(100))])
    async with pulled(probe.as_source().filter(lambda x: x % 10 == 0).take(3)) as stage:
        assert await drain(stage, 1000) == [0, 10, 20]
    assert probe.position <= 23


async def test_grouped_within_gives_a_short_list_when_time_is_up() -> None:
    from teleporter_lab.engine.run import Runtime
    from teleporter_lab.testing.clock import FakeClock

    clock = FakeClock()
    runtime = Runtime(clock=clock)
    probe = SourceProbe([[1, 2]], wait=True)
    async with pulled(probe.as_source().grouped_within(3, 5.0), runtime) as stage:
        first = asyncio.ensure_future(stage.pull(1))
        await clock.advance(4.9)
        assert not first.done()
        await clock.advance(0.2)
        assert (await first).data == [[1, 2]]
        second = asyncio.ensure_future(stage.pull(1))
        probe.give([3, 4, 5])
        await clock.settle()
        assert (await second).data == [[3, 4, 5]]
        probe.give([6], END)
        assert (await stage.pull(1)).data == [[6]]
        assert await stage.pull(1) is None
    await runtime.__aexit__()


async def test_throttle_lets_no_more_pass_than_it_says() -> None:
    from teleporter_lab.engine.run import Runtime
    from teleporter_lab.testing.clock import FakeClock

    clock = FakeClock()
    runtime = Runtime(clock=clock)
    passed: list[int] = []

    async def pull_all(stage: Any) -> None:
        while (chunk := await stage.pull(100)) is not None:
            passed.extend(chunk.data)

    async with pulled(SourceProbe([list(range(50))]).as_source().throttle(10, 1.0), runtime) as stage:
        pulling = asyncio.ensure_future(pull_all(stage))
        await clock.settle()
        counts = [len(passed)]
        for _ in range(4):
            await clock.advance(1.0)
            counts.append(len(passed))
        assert counts == [10, 20, 30, 40, 50]
        await clock.advance(1.0)
        await pulling
    await runtime.__aexit__()


async def test_idle_timeout_fails_when_nothing_comes() -> None:
    from teleporter_lab.engine.run import Runtime
    from teleporter_lab.testing.clock import FakeClock

    clock = FakeClock()
    runtime = Runtime(clock=clock)
    async with pulled(SourceProbe([[1]], wait=True).as_source().idle_timeout(3.0), runtime) as stage:
        assert isinstance(await stage.pull(1), Chunk)
        waiting = asyncio.ensure_future(stage.pull(1))
        await clock.advance(3.1)
        with pytest.raises(TimeoutError, match=r"3\.0 s"):
            await waiting
    await runtime.__aexit__()


async def numbers() -> AsyncIterator[int]:
    for x in INPUT:
        await asyncio.sleep(0)
        yield x


@pytest.mark.parametrize(
    ("make", "out"),
    [
        (lambda: iterate(INPUT), INPUT),
        (lambda: single(7), [7]),
        (empty, []),
        (lambda: async_iterate(numbers()), INPUT),
        (lambda: unfold(0, lambda x: (x + 1, x) if x < 10 else None), INPUT),
    ],
    ids=["iterate", "single", "empty", "async_iterate", "unfold"],
)
@pytest.mark.parametrize("n", [1, 3, 1000])
async def test_a_source_gives_all_and_never_more_than_asked(
    make: Callable[[], Flow[Any, Any]], out: list[Any], n: int
) -> None:
    async with pulled(make()) as stage:
        assert await drain(stage, n) == out
        assert await stage.pull(n) is None
