"""A user's function that fails: its neighbours go on, what came before goes out, nothing is lost without a word."""

from __future__ import annotations

from typing import Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume, Retry
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.probes import SourceProbe, pulled

PLACES = pytest.mark.parametrize("bad", [{0}, {4}, {9}, {0, 1}, {3, 4, 5}, {8, 9}, set(range(10))], ids=str)


def failing(bad: set[int], error: type[BaseException] = ValueError) -> Any:
    def function(x: int) -> int:
        if x in bad:
            raise error(f"bad {x}")
        return x

    return function


@PLACES
async def test_resume_leaves_out_just_the_failing_ones(bad: set[int]) -> None:
    good = [x for x in range(10) if x not in bad]
    for operator in ("map", "filter", "map_concat"):
        function = failing(bad)
        graphs = {
            "map": lambda f, g=function: f.map(g),
            "filter": lambda f, g=function: f.filter(lambda x: g(x) >= 0),
            "map_concat": lambda f, g=function: f.map_concat(lambda x: [g(x)]),
        }
        found = await graphs[operator](iterate(range(10))).to(to_list()).run(supervisor=Resume())
        assert found == good, operator


@PLACES
async def test_resume_is_counted_as_skipped(bad: set[int]) -> None:
    window = AckWindow(100)
    probe = SourceProbe([list(range(10))], window=window)
    await probe.as_source().map(failing(bad)).to(to_list()).run(supervisor=Resume())
    ledger = window.ledger()
    assert (ledger.skipped, ledger.written, ledger.in_flight) == (len(bad), 10 - len(bad), 0)


@pytest.mark.parametrize("bad", [0, 1, 5, 9])
async def test_stop_lets_out_what_came_before_and_confirms_nothing_of_the_rest(bad: int) -> None:
    window = AckWindow(100)
    probe = SourceProbe([list(range(10))], window=window)
    async with pulled(probe.as_source().map(failing({bad}))) as stage:
        if bad:
            part = await stage.pull(100)
            assert part is not None
            assert part.data == list(range(bad))
            part.written()
        with pytest.raises(ValueError, match=f"bad {bad}") as caught:
            await stage.pull(1)
        with pytest.raises(ValueError, match=f"bad {bad}"):
            await stage.pull(1)
    assert window.progress is None
    assert any("map(function)" in note and f"element {bad}" in note for note in caught.value.__notes__)


async def test_a_long_element_is_cut_in_the_note() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        await iterate(["x" * 10_000]).map(lambda _: 1 // 0).to(to_list()).run()
    assert all(len(note) < 300 for note in caught.value.__notes__)


@pytest.mark.parametrize("bad", [0, 4, 9])
@pytest.mark.parametrize("operator", ["map", "filter", "filter_not"])
async def test_a_stop_iteration_never_ends_a_chunk_without_a_word(bad: int, operator: str) -> None:
    flow = getattr(iterate(range(10)), operator)(failing({bad}, StopIteration))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await flow.to(to_list()).run()


async def test_retry_tries_again_after_its_delay_and_keeps_order() -> None:
    clock = FakeClock()
    left = {3: 2, 7: 1}

    def flaky(x: int) -> int:
        if left.get(x):
            left[x] -= 1
            raise OSError("away")
        return x

    import asyncio

    runtime = Runtime(clock=clock)
    graph = iterate(range(10)).map(flaky).to(to_list())
    run = asyncio.ensure_future(graph.run(runtime, Retry(2, delay=5.0)))
    for _ in range(3):
        await clock.advance(5.0)
    assert await run == list(range(10))
    assert clock.sleeps == [5.0, 5.0, 5.0]
    await runtime.__aexit__()


async def test_retries_that_are_used_up_stop_the_stream() -> None:
    calls: list[int] = []

    def always(x: int) -> int:
        calls.append(x)
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        await iterate([1]).map(always).to(to_list()).run(supervisor=Retry(3))
    assert calls == [1, 1, 1, 1]


async def test_the_supervisor_is_told_where_and_how_often() -> None:
    seen: list[tuple[str, Any, int]] = []

    class Watch:
        def decide(self, failure: Failure) -> Decision:
            seen.append((failure.stage, failure.element, failure.tries))
            return Decision(Action.RETRY if failure.tries < 2 else Action.RESUME)

    assert await iterate([1, 2, 3]).map(failing({2})).to(to_list()).run(supervisor=Watch()) == [1, 3]
    assert seen == [("map(function)", 2, 1), ("map(function)", 2, 2)]


async def test_map_async_goes_through_the_same_supervision() -> None:
    async def function(x: int) -> int:
        return failing({2, 5})(x)

    for operator in ("map_async", "map_async_unordered"):
        flow = getattr(iterate(range(8)), operator)(3, function)
        assert sorted(await flow.to(to_list()).run(supervisor=Resume())) == [0, 1, 3, 4, 6, 7]
    with pytest.raises(ValueError, match="bad 2"):
        await iterate(range(8)).map_async(3, function).to(to_list()).run()
