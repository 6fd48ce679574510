"""One element again and again through a flow, until its result is good enough."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.backoff import Backoff
from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.graph import Flow, flow
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.retrying import NotOneForOne
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Action, Decision, Resume
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness, drain, drain_with_cuts
from teleporter_lab.testing.probes import SourceProbe, pulled

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import RunnableGraph
    from teleporter_lab.engine.supervision import Failure, Supervisor

BACKOFF = Backoff(1.0, 10.0, jitter=0.0)


async def in_time(graph: RunnableGraph[Any], supervisor: Supervisor | None = None) -> tuple[Any, FakeClock]:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        return await clock.run(graph.run(runtime, supervisor)), clock


def half(x: int) -> int:
    return x // 2


def until_small(x: int, result: int | Exception) -> int | None:
    """Sends what came out again until it is below 3."""
    return result if isinstance(result, int) and result > 2 else None


async def test_an_element_goes_through_again_until_its_result_passes() -> None:
    window = Witness()
    source = SourceProbe([[4, 16], [1]], window=window).as_source()
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        flowing = source.retry_flow(flow(int).map(half), until_small, BACKOFF)
        async with pulled(flowing, runtime) as stage:
            assert await clock.run(drain(stage, 5)) == [2, 2, 0]
    assert clock.sleeps == [1.0, 2.0]
    window.check_all_settled()


async def test_after_so_many_tries_the_last_result_passes() -> None:
    seen: list[Any] = []
    few = Backoff(1.0, 2.0, jitter=0.0, max_restarts=3, on_restart=lambda *what: seen.append(what))
    graph = iterate([1, 2]).retry_flow(flow(int).map(lambda x: x + 10), lambda x, _: x + 1, few).to(to_list())
    found, clock = await in_time(graph)
    assert found == [14, 15]
    assert clock.sleeps == [1.0, 2.0, 2.0] * 2
    assert seen == [(None, 1, 1.0), (None, 2, 2.0), (None, 3, 2.0)] * 2


async def test_an_error_of_the_flow_is_a_result_like_others() -> None:
    """The flow that has failed is made anew; an error that may pass fails the stream, and refuses its record alone."""
    tries: list[int] = []

    def work(x: int) -> int:
        tries.append(x)
        if x == 3 or (x == 2 and tries.count(2) < 3):
            raise OSError("away")
        return x * 10

    def decide(x: int, result: int | Exception) -> int | None:
        return x if isinstance(result, OSError) and x < 3 else None

    window = Witness()
    source = SourceProbe([[1], [2], [3], [4]], window=window).as_source()
    found: list[int] = []
    graph = source.retry_flow(flow(int).map(work), decide, BACKOFF).to(foreach(found.append))
    with pytest.raises(OSError, match="away"):
        await in_time(graph, Resume())
    assert found == [10, 20]
    assert tries == [1, 2, 2, 2, 3]
    assert window.refused == 1
    assert window.progress is not None
    assert window.progress.position == 2


async def test_errors_that_are_not_worth_it_are_not_asked_about() -> None:
    asked: list[Any] = []

    def work(x: int) -> int:
        raise KeyError("k") if x == 2 else OSError("away")

    def decide(x: int, result: int | Exception) -> int:
        asked.append((x, type(result)))
        return x + 1

    graph = iterate([1]).retry_flow(flow(int).map(work), decide, Backoff(1.0, 1.0, when=OSError)).to(ignore())
    with pytest.raises(KeyError):
        await in_time(graph)
    assert asked == [(1, OSError)]


async def test_order_is_kept_while_an_element_waits() -> None:
    tries: list[int] = []

    async def work(x: int) -> int:
        tries.append(x)
        await asyncio.sleep(0)
        if x == 2 and tries.count(2) < 3:
            raise OSError("away")
        return x

    decide = lambda x, result: x if isinstance(result, Exception) else None  # noqa: E731
    source = SourceProbe([[1, 2, 3, 4]]).as_source()
    found, clock = await in_time(source.retry_flow(flow(int).map_async(4, work), decide, BACKOFF).to(to_list()))
    assert found == [1, 2, 3, 4]
    assert tries == [1, 2, 2, 2, 3, 4]
    assert clock.sleeps == [1.0, 2.0]


FLOWS: dict[str, tuple[Flow[int, int], str]] = {
    "fewer": (flow(int).filter(lambda x: x != 2), "nothing"),
    "later": (flow(int).map_async(2, asyncio.sleep).filter(lambda x: x), "nothing"),
    "left out": (flow(int).map(lambda x: 1 // (x - 2)).with_attributes(supervisor=Resume()), "nothing"),
    "ends": (flow(int).take_while(lambda x: x != 2), "nothing"),
    "at once": (flow(int).take(0), "nothing"),
    "more": (flow(int).map_concat(lambda x: [x, x]), "more"),
    "more by source": (flow(int).flat_map_concat(lambda x: iterate([x, x, x])), "more"),
}


@pytest.mark.parametrize("name", FLOWS)
async def test_a_flow_that_is_not_one_for_one_fails_the_stream_instead_of_hanging(name: str) -> None:
    flowing, gave = FLOWS[name]
    graph = iterate([1, 2, 3]).retry_flow(flowing, lambda *_: None, BACKOFF).to(ignore())
    with pytest.raises(NotOneForOne, match=f"this one gave {gave} for one"):
        await in_time(graph)


async def test_a_flow_that_ends_after_an_element_is_made_anew_for_the_next() -> None:
    """A recovery gives an element in the place of the one that failed, and then the end."""

    def work(x: int) -> int:
        if x % 2:
            raise OSError("away")
        return x

    recovering = flow(int).map(work).recover(lambda _: -1)
    graph = iterate(range(4)).retry_flow(recovering, lambda *_: None, BACKOFF).to(to_list())
    assert (await in_time(graph))[0] == [0, -1, 2, -1]
    one = flow(int).take(1)
    assert (await in_time(iterate(range(4)).retry_flow(one, lambda *_: None, BACKOFF).to(to_list())))[0] == [0, 1, 2, 3]


async def test_side_sinks_and_their_failures_are_part_of_the_flow() -> None:
    stored: list[int] = []

    def store(x: int) -> None:
        stored.append(x)
        if len(stored) == 1:
            raise OSError("side")

    decide = lambda x, result: x if isinstance(result, Exception) else None  # noqa: E731
    window = Witness()
    source = SourceProbe([[1], [2]], window=window).as_source()
    graph = source.retry_flow(flow(int).also_to(foreach(store)), decide, BACKOFF).to(to_list())
    assert (await in_time(graph))[0] == [1, 2]
    assert stored[-1] == 2
    window.check_all_settled()


async def test_the_decision_is_supervised() -> None:
    calls: list[int] = []

    def decide(x: int, _: int | Exception) -> int | None:
        calls.append(x)
        if x == 2 and calls.count(2) < 3:
            raise OSError("undecided")
        return None

    class Rule:
        def __init__(self, action: Action) -> None:
            self._action = action

        def decide(self, failure: Failure) -> Decision:
            assert (failure.stage, failure.element) == ("retry_flow(decide)", 2)
            return Decision(self._action, 5.0)

    async def outcome(supervisor: Supervisor | None) -> tuple[Any, list[float], Witness]:
        calls.clear()
        window = Witness()
        source = SourceProbe([[1, 2, 3]], window=window).as_source()
        found, clock = await in_time(source.retry_flow(flow(int), decide, BACKOFF).to(to_list()), supervisor)
        return found, clock.sleeps, window

    found, sleeps, window = await outcome(Rule(Action.RETRY))
    assert (found, sleeps) == ([1, 2, 3], [5.0, 5.0])
    window.check_all_settled()
    found, _, window = await outcome(Rule(Action.RESUME))
    assert found == [1, 3]
    assert window.ledger().skipped == 1
    window.check_all_settled()
    with pytest.raises(OSError, match="undecided"):
        await outcome(None)


@pytest.mark.parametrize("name", ["when", "on_restart"])
async def test_an_error_of_the_functions_of_the_backoff_fails_the_stream(name: str) -> None:
    def bad(*_: Any) -> bool:
        raise SystemExit(3)

    def work(x: int) -> int:
        raise OSError("away")

    window = Witness()
    backoff = Backoff(1.0, 2.0, **{name: bad})  # type: ignore[arg-type]
    source = SourceProbe([[1]], window=window).as_source()
    with pytest.raises(RuntimeError, match="exit"):
        await in_time(source.retry_flow(flow(int).map(work), lambda x, _: x, backoff).to(ignore()))
    assert window.refused == 1


async def test_columns_are_refused() -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    batch = pyarrow.RecordBatch.from_pylist([{"x": i} for i in range(4)])
    graph = SourceProbe([batch]).as_source().retry_flow(flow(), lambda *_: None, BACKOFF).to(ignore())
    with pytest.raises(RowsNeeded, match="retry_flow"):
        await graph.run()


@pytest.mark.parametrize("cuts", [1, 3])
async def test_a_pull_that_is_cancelled_at_any_step_sends_nothing_twice(cuts: int) -> None:
    for passes in range(9):
        clock, window = FakeClock(), Witness()
        sent: list[int] = []

        async def work(x: int) -> int:
            sent.append(x)  # noqa: B023
            await asyncio.sleep(0)
            return x // 2

        source = SourceProbe([[8, 1], [5]], window=window, passes=1).as_source()
        async with Runtime(clock) as runtime:
            flowing = source.retry_flow(flow(int).map_async(2, work), until_small, BACKOFF)
            async with pulled(flowing, runtime) as stage:
                assert await clock.run(drain_with_cuts(stage, passes, cuts)) == [2, 0, 2]
        assert sent == [8, 4, 1, 5], f"cancelled after {passes} passes"
        window.check_all_settled()
