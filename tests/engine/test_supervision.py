"""A user's function that fails: its neighbours go on, what came before goes out, nothing is lost without a word."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.folding_sinks import fold
from teleporter_lab.engine.stages.sinks import foreach, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume, Retry
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.probes import SourceProbe, pulled

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Flow

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


# ------------------------------------------------------------------------------------ every operator that calls a user


def supervised(name: str, function: Any) -> Any:
    """The operator `name` over `function(x) -> x`, built so that it gives x for each element that passes."""
    flows: dict[str, Any] = {
        "map": lambda f: f.map(function),
        "filter": lambda f: f.filter(lambda x: function(x) >= 0),
        "filter_not": lambda f: f.filter_not(lambda x: function(x) < 0),
        "map_concat": lambda f: f.map_concat(lambda x: [function(x)]),
        "scan": lambda f: f.scan(0, lambda _, x: function(x)),
        "take_while": lambda f: f.take_while(lambda x: function(x) >= 0),
        "drop_while": lambda f: f.drop_while(lambda x: function(x) < 0),
        "map_async": lambda f: f.map_async(2, waiting(function)),
    }
    return flows[name]


def waiting(function: Any) -> Any:
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return function(x)

    return later


OPERATORS = pytest.mark.parametrize(
    "operator", ["map", "filter", "filter_not", "map_concat", "scan", "take_while", "drop_while", "map_async"]
)


@OPERATORS
@PLACES
@pytest.mark.parametrize("size", [1, 3, 10])
async def test_resume_leaves_every_neighbour_alone(operator: str, bad: set[int], size: int) -> None:
    numbers = list(range(10))
    source = SourceProbe([numbers[i : i + size] for i in range(0, 10, size)])
    flow: Flow[Any, int] = supervised(operator, failing(bad))(source.as_source())
    good = [x for x in numbers if x not in bad]
    if operator == "drop_while" and 0 not in bad:
        good = numbers  # it calls the function no more once one has passed
    assert await flow.to(to_list()).run(supervisor=Resume()) == good


@OPERATORS
@PLACES
@pytest.mark.parametrize("size", [1, 3, 10])
async def test_retry_gives_all_of_them_in_order(operator: str, bad: set[int], size: int) -> None:
    numbers = list(range(10))
    left = dict.fromkeys(bad, 2)

    def flaky(x: int) -> int:
        if left.get(x):
            left[x] -= 1
            raise OSError(f"away {x}")
        return x

    source = SourceProbe([numbers[i : i + size] for i in range(0, 10, size)])
    flow: Flow[Any, int] = supervised(operator, flaky)(source.as_source())
    assert await flow.to(to_list()).run(supervisor=Retry(2)) == numbers


@OPERATORS
@pytest.mark.parametrize("bad", [0, 5, 9])
@pytest.mark.parametrize("size", [1, 3, 10])
async def test_stop_lets_out_all_before_the_bad_one(operator: str, bad: int, size: int) -> None:
    numbers = list(range(10))
    source = SourceProbe([numbers[i : i + size] for i in range(0, 10, size)])
    found: list[int] = []
    flow: Flow[Any, int] = supervised(operator, failing({bad}))(source.as_source())
    graph = flow.to(foreach(found.append))
    if operator == "drop_while" and bad:  # it calls the function no more once one has passed
        await graph.run()
        assert found == numbers
    else:
        with pytest.raises(ValueError, match=f"bad {bad}"):
            await graph.run()
        assert found == numbers[:bad]
    assert source.closes == 1


@pytest.mark.parametrize(
    ("operator", "bad"),
    [
        *(
            (name, bad)
            for name in ("map", "filter", "filter_not", "map_concat", "scan", "take_while")
            for bad in (0, 4, 9)
        ),
        ("map_async", 4),
        ("drop_while", 0),
    ],
)
@pytest.mark.parametrize("size", [1, 10])
async def test_no_operator_takes_a_stop_iteration_for_the_end(operator: str, bad: int, size: int) -> None:
    numbers = list(range(10))
    chunks = [numbers[i : i + size] for i in range(0, 10, size)]
    above = SourceProbe(chunks).as_source()
    flow: Flow[Any, int] = supervised(operator, failing({bad}, StopIteration))(above)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await flow.to(to_list()).run()
    above = SourceProbe(chunks).as_source()
    left_out = supervised(operator, failing({bad}, StopIteration))(above).to(to_list()).run(supervisor=Resume())
    assert await left_out == [x for x in numbers if x != bad]


@pytest.mark.parametrize("bad", [0, 4, 9])
async def test_sinks_are_supervised_too(bad: int) -> None:
    seen: list[int] = []
    check = failing({bad})
    await iterate(range(10)).to(foreach(lambda x: seen.append(check(x)))).run(supervisor=Resume())
    assert seen == [x for x in range(10) if x != bad]
    total = await iterate(range(10)).to(fold(0, lambda a, x: a + check(x))).run(supervisor=Resume())
    assert total == 45 - bad
    with pytest.raises(RuntimeError, match="StopIteration"):
        await iterate(range(10)).to(foreach(failing({bad}, StopIteration))).run()


async def test_a_cancelled_error_of_a_user_is_an_error_like_any_other() -> None:
    """`future.result()` raises it in a plain function, an awaited future in an asynchronous one."""

    def cancelled(x: int) -> int:
        if x == 2:
            raise asyncio.CancelledError
        return x

    for operator in ("map", "map_async"):
        graph = supervised(operator, cancelled)(iterate(range(4))).to(to_list())
        with pytest.raises(RuntimeError, match="cancelled by somebody else"):
            await graph.run()
        assert await graph.run(supervisor=Resume()) == [0, 1, 3]


# --------------------------------------------------------------------------------------------------------- cut off


@pytest.mark.parametrize("decision", [Decision(Action.RETRY, 5.0), Decision(Action.RESUME, 5.0)], ids=str)
@pytest.mark.parametrize("demand", [1, 2, 100])
async def test_a_pull_that_is_cancelled_in_a_delay_loses_nothing(decision: Decision, demand: int) -> None:
    clock = FakeClock()
    tries: list[int] = []

    class Once:
        asked = 0

        def decide(self, failure: Failure) -> Decision:
            self.asked += 1
            return decision

    def flaky(x: int) -> int:
        tries.append(x)
        if x == 3 and tries.count(3) == 1:
            raise OSError("away")
        return x

    supervisor = Once()
    window = AckWindow(100)
    source = SourceProbe([list(range(6))], window=window)
    async with pulled(source.as_source().map(flaky), Runtime(clock), supervisor) as stage:
        for _ in range(3):
            pull = asyncio.ensure_future(stage.pull(100))
            await clock.settle()
            assert not pull.done()
            pull.cancel()
            await asyncio.wait((pull,))
        found: list[int] = []
        last = asyncio.ensure_future(stage.pull(demand))
        await clock.advance(5.0)
        chunk = await last
        while chunk is not None:
            assert len(chunk) <= demand
            found += chunk.data
            chunk.written()
            chunk = await stage.pull(demand)
    assert found == [x for x in range(6) if x != 3 or decision.action is Action.RETRY]
    assert supervisor.asked == 1, "one failure, one decision"
    assert window.room == window.size
    assert window.ledger().in_flight == 0
    assert window.late == 0


async def test_an_endless_retry_without_a_delay_lets_others_run_and_can_be_stopped() -> None:
    def never(_: int) -> int:
        raise OSError("away")

    run = asyncio.ensure_future(iterate([1]).map(never).to(to_list()).run(supervisor=Retry(10**9)))
    for _ in range(10):
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait((run,))
    assert run.cancelled()


class Unshowable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


async def test_an_element_that_cannot_be_shown_does_not_hide_the_error() -> None:
    with pytest.raises(OSError, match="away") as caught:
        await iterate([Unshowable()]).map(failing_always).to(to_list()).run()
    assert any("Unshowable" in note for note in caught.value.__notes__)


def failing_always(_: object) -> int:
    raise OSError("away")


def leave(_: int) -> int:
    sys.exit(3)


async def leave_later(_: int) -> int:
    sys.exit(3)


@pytest.mark.parametrize(
    "flow",
    [
        iterate([1]).map(leave),
        iterate([1]).filter(leave),
        iterate([1]).map_async(2, leave_later),
        iterate([1]).map_async_unordered(2, leave_later),
        iterate([1]).map_blocking(lambda xs: [leave(x) for x in xs]),
        iterate(leave(x) for x in [1]),
    ],
    ids=repr,
)
async def test_a_function_that_exits_ends_its_stream_and_not_the_process(flow: Any) -> None:
    with pytest.raises(RuntimeError, match=r"called sys\.exit\(3\)"):
        await flow.to(to_list()).run()


async def test_one_that_exits_goes_through_the_rules_like_any_other() -> None:
    def some(x: int) -> int:
        return leave(x) if x == 2 else x

    assert await iterate([1, 2, 3]).map(some).to(to_list()).run(supervisor=Resume()) == [1, 3]
