"""Functions that wait: as parallel as asked, never idle for want of reading, order, errors in their place, no hang."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.graph import Flow, flow
from teleporter_lab.engine.stages.sinks import foreach, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SourceProbe, pulled

BOTH = pytest.mark.parametrize("operator", ["map_async", "map_async_unordered"])


class Gate:
    """A function whose every call waits until the test opens it; knows how many wait."""

    def __init__(self) -> None:
        self.waiting: dict[int, asyncio.Future[int]] = {}
        self.most = 0

    async def __call__(self, x: int) -> int:
        self.waiting[x] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.waiting))
        try:
            return await self.waiting[x]
        finally:
            del self.waiting[x]

    def open(self, *numbers: int) -> None:
        for x in numbers:
            self.waiting[x].set_result(x)


async def passes(n: int = 20) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


@BOTH
async def test_it_works_on_as_many_as_asked_and_no_more(operator: str) -> None:
    gate = Gate()
    source = SourceProbe([list(range(100))])
    async with pulled(getattr(source.as_source(), operator)(4, gate)) as stage:
        pull = asyncio.ensure_future(stage.pull(100))
        await passes()
        assert len(gate.waiting) == 4
        gate.open(0)
        chunk = await pull
        assert chunk.data == [0]
        await passes()
        assert sorted(gate.waiting) == [1, 2, 3, 4]
    assert gate.most == 4
    assert not gate.waiting, "closing ends the workers"


@BOTH
async def test_single_elements_that_trickle_in_are_worked_on_side_by_side(operator: str) -> None:
    gate = Gate()
    source = SourceProbe([[x] for x in range(6)], wait=True)
    async with pulled(getattr(source.as_source(), operator)(4, gate)) as stage:
        pull = asyncio.ensure_future(stage.pull(100))
        await passes(60)
        assert sorted(gate.waiting) == [0, 1, 2, 3]
        gate.open(0)
        assert (await pull).data == [0]


async def test_a_slow_first_element_does_not_keep_the_others_from_working() -> None:
    """Order is kept, and the workers go on reading behind it, up to the window."""
    first = asyncio.Event()
    done: list[int] = []

    async def function(x: int) -> int:
        if x == 0:
            await first.wait()
        await asyncio.sleep(0)
        done.append(x)
        return x

    source = SourceProbe([list(range(i, i + 10)) for i in range(0, 200, 10)])
    async with pulled(source.as_source().map_async(4, function)) as stage:
        pull = asyncio.ensure_future(stage.pull(1 << 30))
        await passes(400)
        assert len(done) == 199
        assert not pull.done()
        first.set()
        assert (await pull).data == [0]
        assert await drain(stage, 1000) == list(range(1, 200))


@BOTH
async def test_an_end_that_comes_when_all_has_gone_out_ends_it(operator: str) -> None:
    async def function(x: int) -> int:
        await asyncio.sleep(0)
        return x

    source = SourceProbe([[1, 2]], wait=True)
    async with pulled(getattr(source.as_source(), operator)(4, function)) as stage:
        found: list[int] = []
        while len(found) < 2:
            found += (await stage.pull(10)).data
        last = asyncio.ensure_future(stage.pull(10))
        await passes()
        assert not last.done()
        source.give(END)
        assert await asyncio.wait_for(last, 5) is None


@BOTH
async def test_an_error_from_above_waits_for_what_is_still_worked_on(operator: str) -> None:
    gate = Gate()
    source = SourceProbe([[1, 2, 3], OSError("lost")])
    async with pulled(getattr(source.as_source(), operator)(4, gate)) as stage:
        pull = asyncio.ensure_future(stage.pull(100))
        await passes()
        assert not pull.done(), "the error is there, but not its turn"
        gate.open(1, 2, 3)
        found = (await pull).data
        while len(found) < 3:
            found += (await stage.pull(100)).data
        assert sorted(found) == [1, 2, 3]
        with pytest.raises(OSError, match="lost"):
            await stage.pull(100)


async def test_the_error_of_an_element_has_its_place_in_the_order() -> None:
    async def function(x: int) -> int:
        for _ in range(10 - x):
            await asyncio.sleep(0)
        if x == 4:
            raise ValueError(x)
        return x

    found: list[int] = []
    with pytest.raises(ValueError, match="4"):
        await iterate(range(10)).map_async(10, function).to(foreach(found.append)).run()
    assert found == [0, 1, 2, 3]


@pytest.mark.parametrize("bad", [set(), {0}, {5}, {9}, {0, 4, 9}, set(range(10))], ids=str)
@BOTH
async def test_what_fails_at_times_is_tried_again_beside_the_others(operator: str, bad: set[int]) -> None:
    left = dict.fromkeys(bad, 2)

    async def flaky(x: int) -> int:
        await asyncio.sleep(0)
        if left.get(x):
            left[x] -= 1
            raise OSError("away")
        return x

    window = Witness()
    source = SourceProbe([[0, 1, 2], list(range(3, 10))], window=window)
    found = await getattr(source.as_source(), operator)(3, flaky).to(to_list()).run(supervisor=Retry(2))
    assert sorted(found) == list(range(10))
    if operator == "map_async":
        assert found == list(range(10))
    window.check_all_settled()


@BOTH
async def test_one_that_somebody_else_cancels_does_not_leave_the_stream_waiting(operator: str) -> None:
    other: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    other.cancel()

    async def function(x: int) -> int:
        return await other if x == 1 else x

    graph = getattr(iterate(range(4)), operator)(2, function).to(to_list())
    with pytest.raises(RuntimeError, match="cancelled by somebody else"):
        await asyncio.wait_for(graph.run(), 5)
    assert sorted(await asyncio.wait_for(graph.run(supervisor=Resume()), 5)) == [0, 2, 3]


async def test_results_that_cannot_be_compared_are_no_problem() -> None:
    class Array:
        def __eq__(self, other: object) -> bool:
            raise TypeError("the truth value is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    async def function(_: int) -> Any:
        return Array()

    for operator in ("map_async", "map_async_unordered"):
        assert len(await getattr(iterate(range(5)), operator)(2, function).to(to_list()).run()) == 5


def test_a_pool_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="parallelism of 1 or more, not 0"):
        iterate([1]).map_async(0, asyncio.sleep)


# ------------------------------------------------------------------------------------------- scan_async, fold_async


async def total(so_far: int, x: int) -> int:
    await asyncio.sleep(0)
    if x < 0:
        raise ValueError(x)
    return so_far + x


async def test_a_running_result_leaves_out_what_failed() -> None:
    window = Witness()
    source = SourceProbe([[1, 2, -1, 3], [-2, 4]], window=window)
    assert await source.as_source().scan_async(0, total).to(to_list()).run(supervisor=Resume()) == [1, 3, 6, 10]
    window.check_all_settled()


async def test_every_run_begins_with_zero() -> None:
    graph = iterate([1, 2]).scan_async(0, total).to(to_list())
    assert [await graph.run(), await graph.run()] == [[1, 3], [1, 3]]
    folded = iterate([1, 2]).fold_async(0, total).to(to_list())
    assert [await folded.run(), await folded.run()] == [[3], [3]]


async def test_a_call_is_not_broken_off_by_a_pull_that_is_cancelled() -> None:
    calls: list[int] = []
    gate = asyncio.Event()

    async def slow(so_far: int, x: int) -> int:
        calls.append(x)
        await gate.wait()
        return so_far + x

    source = SourceProbe([[1, 2]])
    async with pulled(source.as_source().scan_async(0, slow)) as stage:
        pull = asyncio.ensure_future(stage.pull(5))
        await passes()
        pull.cancel()
        await asyncio.wait((pull,))
        gate.set()
        assert await drain(stage, 5) == [1, 3]
    assert calls == [1, 2]


async def test_the_value_of_a_fold_answers_for_every_record() -> None:
    window = Witness()
    source = SourceProbe([[1, 2], [-1], [3]], window=window)
    async with pulled(source.as_source().fold_async(10, total), supervisor=Resume()) as stage:
        chunk = await stage.pull(1)
        assert chunk is not None
        assert chunk.data == [16]
        assert window.progress is None
        chunk.written()
        assert await stage.pull(1) is None
    window.check_all_settled()
    assert (window.ledger().merged, window.ledger().skipped) == (2, 1)


async def test_a_fold_of_nothing_is_zero_and_one_that_fails_is_nothing() -> None:
    assert await iterate([]).fold_async(7, total).to(to_list()).run() == [7]
    found: list[int] = []
    with pytest.raises(ValueError, match="-1"):
        await iterate([1, -1]).fold_async(7, total).to(foreach(found.append)).run()
    assert found == []


# --------------------------------------------------------------------------------------------------------- lazy_flow


async def test_a_lazy_flow_is_made_once_a_run_with_the_first_element() -> None:
    made: list[int] = []

    def make() -> Flow[int, str]:
        made.append(1)
        return flow(int).map(str)

    source = SourceProbe([[1, 2], END], wait=True)
    async with pulled(source.as_source().lazy_flow(make)) as stage:
        assert not made
        assert await drain(stage, 10) == ["1", "2"]
        assert made == [1]
    assert await iterate([]).lazy_flow(make).to(to_list()).run() == []
    assert made == [1]


async def test_one_that_cannot_be_made_fails_the_stream() -> None:
    def make() -> Flow[int, int]:
        raise KeyError("no such thing")

    window = Witness()
    source = SourceProbe([[1, 2]], window=window)
    async with pulled(source.as_source().lazy_flow(make), supervisor=Resume()) as stage:
        for _ in range(2):
            with pytest.raises(KeyError, match="no such thing"):
                await stage.pull(1)
    assert source.closes == 1
    assert window.refused == 1
