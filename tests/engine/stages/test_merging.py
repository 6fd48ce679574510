"""Sources merged by their elements: order, equals, what is replaced, numbers that are missing or come twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.merging import SequenceBroken
from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.stages.sources import empty, iterate
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.laws import Witness, drain, drain_with_cuts
from teleporter_lab.testing.probes import END, SourceProbe, pulled


async def passes(n: int = 20) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


def probes(*scripts: list[Any], **options: Any) -> tuple[list[SourceProbe], Witness]:
    """Sources over one window."""
    window = Witness()
    return [SourceProbe(script, window=window, **options) for script in scripts], window


# ---------------------------------------------------------------------------------------------------------- sorted


@pytest.mark.parametrize("demand", [1, 3, 100])
async def test_two_sorted_sources_are_one_and_equals_come_from_here_first(demand: int) -> None:
    (here, there), window = probes([[1, 3, 3], [5], [9, 9]], [[0.5, 3.0], [3.0, 5.0, 8.5, 9.0, 10.0]])
    async with pulled(here.as_source().merge_sorted(there.as_source())) as stage:
        found = await drain(stage, demand)
    assert found == [0.5, 1, 3, 3, 3.0, 3.0, 5, 5.0, 8.5, 9, 9, 9.0, 10.0]
    assert [x for x in found if isinstance(x, int)] == [1, 3, 3, 5, 9, 9]
    assert str(found[2:6]) == "[3, 3, 3.0, 3.0]"
    window.check_all_settled()


async def test_it_waits_until_it_knows_which_is_smaller() -> None:
    (here, there), _ = probes([[1, 5]], [], wait=True)
    async with pulled(here.as_source().merge_sorted(there.as_source())) as stage:
        waiting = asyncio.ensure_future(stage.pull(5))
        await passes()
        assert not waiting.done()
        there.give([4])
        found = await waiting
        assert found is not None
        there.give(END)
        here.give(END)
        assert [*found.data, *await drain(stage)] == [1, 4, 5]


async def test_a_key_that_fails_goes_through_the_rules() -> None:
    tries: list[int] = []

    def key(x: int) -> int:
        tries.append(x)
        if x == 3 or (x == 4 and tries.count(4) == 1):
            raise ValueError(x)
        return -x

    (here, there), window = probes([[5, 4, 3]], [[6, 2]])
    graph = here.as_source().merge_sorted(there.as_source(), key).to(to_list())
    assert await graph.run(supervisor=Resume()) == [6, 5, 2], "3 and 4 are left out"
    assert window.ledger().skipped == 2
    assert window.room == window.size
    tries.clear()
    with pytest.raises(ValueError, match="3") as caught:
        await iterate([5, 4, 3]).merge_sorted(iterate([6, 2]), key).to(to_list()).run(supervisor=Retry(1))
    assert tries.count(4) == 2
    assert caught.value.__notes__ == ["In merge_sorted(key), on the element 3"]


async def test_what_cannot_be_compared_fails_after_what_can() -> None:
    (here, there), window = probes([[1, 2, "x"]], [[0, 3]])
    async with pulled(here.as_source().merge_sorted(there.as_source())) as stage:
        found: list[Any] = []
        for _ in range(3):
            chunk = await stage.pull(1)
            assert chunk is not None
            found += chunk.data
        assert found == [0, 1, 2]
        for _ in range(2):
            with pytest.raises(TypeError, match="not supported") as caught:
                await stage.pull(5)
    assert caught.value.__notes__ == ["In merge_sorted, comparing ('x', 3)"]
    assert window.refused == 2
    assert window.progress is None


# ---------------------------------------------------------------------------------------------------------- latest


async def test_latest_of_three_begins_when_all_gave_one() -> None:
    (one, two, three), window = probes([], [], [], wait=True)
    async with pulled(one.as_source().merge_latest(two.as_source(), three.as_source())) as stage:
        waiting = asyncio.ensure_future(stage.pull(9))
        for source, given in ((one, [1]), (two, ["a"]), (one, [2]), (two, ["b"])):
            source.give(given)
            await passes()
        assert not waiting.done()
        assert window.ledger().filtered == 2
        three.give([True])
        chunk = await waiting
        assert chunk is not None
        assert chunk.data == [(2, "b", True)]
        assert len(chunk.tokens) == 3
        chunk.written()
        assert window.room == window.size, "what is remembered holds nothing"
        two.give(["c"])
        for source in (one, two, three):
            source.give(END)
        assert await drain(stage) == [(2, "c", True)], "it goes on to the end of the last"
    window.check_all_settled()


async def test_a_chunk_that_makes_it_begin_counts_right_with_and_without_tokens() -> None:
    window = Witness()
    kept = SourceProbe([[1]], window=window)
    late = SourceProbe([["a", "b", "c"]], passes=3)
    async with pulled(kept.as_source().merge_latest(late.as_source())) as stage:
        assert await drain(stage, 9) == [(1, "a"), (1, "b"), (1, "c")]
    assert window.room == window.size
    assert window.ledger().in_flight == 0


async def test_it_ends_when_one_ends_that_gave_none_or_with_the_first_when_eager() -> None:
    (one, other), _ = probes([[1]], [END], wait=True)
    assert await asyncio.wait_for(one.as_source().merge_latest(other.as_source()).to(to_list()).run(), 5) == []
    assert (one.closes, other.closes) == (1, 1)
    (one, other), _ = probes([[1]], [["a"], END], wait=True)
    graph = one.as_source().merge_latest(other.as_source(), eager=True).to(to_list())
    assert await asyncio.wait_for(graph.run(), 5) == [(1, "a")]


# -------------------------------------------------------------------------------------------------------- sequence


@pytest.mark.parametrize("demand", [1, 4, 100])
async def test_numbers_come_in_order_again(demand: int) -> None:
    sources, window = probes([[0, 4], [5, 9]], [[1, 2, 3], [8]], [[6, 7]])
    one, two, three = (source.as_source() for source in sources)
    async with pulled(one.merge_sequence(two, three, sequence=lambda x: x)) as stage:
        assert await drain(stage, demand) == list(range(10))
    window.check_all_settled()


async def test_it_restores_the_order_that_parallel_workers_lost() -> None:
    async def later(pair: tuple[int, str]) -> tuple[int, str]:
        for _ in range(pair[0] % 3):
            await asyncio.sleep(0)
        return pair

    workers = [iterate(enumerate("abcdefghij")).filter(lambda pair, i=i: pair[0] % 3 == i) for i in range(3)]
    one, two, three = (worker.via(flow().map_async(2, later)) for worker in workers)
    merged = one.merge_sequence(two, three, sequence=lambda pair: pair[0]).map(lambda pair: pair[1])
    assert "".join(await merged.to(to_list()).run()) == "abcdefghij"


@pytest.mark.parametrize(
    ("scripts", "error"),
    [
        ([[[0, 1]], [[1, 2]]], "Number 1 comes twice or out of order: 2 is next"),
        ([[[0, 2, 1]], [[]]], "Number 1 is missing: the sources go on with 2"),
        ([[[0, 5]], [[1, 4]]], "Number 2 is missing: the sources go on with 4, 5"),
        ([[[-1]], [[0]]], "Number -1 comes twice or out of order: 0 is next"),
    ],
)
async def test_a_number_that_is_missing_or_comes_twice_fails_the_stream(scripts: Any, error: str) -> None:
    (one, other), window = probes(*([step for step in script if step] for script in scripts))
    async with pulled(one.as_source().merge_sequence(other.as_source(), sequence=lambda x: x)) as stage:
        found: list[int] = []
        for _ in range(2):
            with pytest.raises(SequenceBroken, match=error):
                found += await drain(stage)
    assert window.late == 0


async def test_a_number_must_be_a_whole_one_and_what_is_left_out_is_missing() -> None:
    with pytest.raises(TypeError, match="integer"):
        await iterate([0.0]).merge_sequence(sequence=lambda x: x).to(to_list()).run()  # type: ignore[arg-type, return-value]
    numbers = iterate([0, "1", 2]).merge_sequence(empty(), sequence=lambda x: x)  # type: ignore[arg-type, return-value]
    with pytest.raises(SequenceBroken, match="Number 1 is missing"):
        await numbers.to(to_list()).run(supervisor=Resume())


# ------------------------------------------------------------------------------------------------------------ laws


@pytest.mark.parametrize("operator", ["merge_sorted", "merge_sequence"])
@pytest.mark.parametrize("often", [1, 3])
@pytest.mark.parametrize("slow", [0, 2])
async def test_cancelled_pulls_lose_nothing_of_either_side(operator: str, often: int, slow: int) -> None:
    for cut in range(9):
        (here, there), window = probes([[0, 3], [4, 5]], [[1], [2, 6]], passes=slow)
        arguments: dict[str, Any] = {"sequence": lambda x: x} if operator == "merge_sequence" else {}
        async with pulled(getattr(here.as_source(), operator)(there.as_source(), **arguments)) as stage:
            assert await drain_with_cuts(stage, cut, often) == list(range(7))
        window.check_all_settled()


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("merge_sorted", {}),
        ("merge_sorted", {"key": lambda x: x}),
        ("merge_latest", {}),
        ("merge_sequence", {"sequence": lambda x: x}),
    ],
)
@pytest.mark.parametrize("columns", [0, 1])
async def test_columns_are_refused_on_either_side(operator: str, arguments: Any, columns: int) -> None:
    window = Witness()
    sides = [SourceProbe([[1, 2]], wait=True), SourceProbe([[1, 2]], wait=True)]
    sides[columns] = SourceProbe([pa.RecordBatch.from_pydict({"x": [1, 2]})], window=window)
    async with pulled(getattr(sides[0].as_source(), operator)(sides[1].as_source(), **arguments)) as stage:
        for _ in range(2):
            with pytest.raises(RowsNeeded, match=operator):
                await drain(stage)
    assert window.refused == 1
    assert window.progress is None
