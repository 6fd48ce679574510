"""Pairs of two sources: what has no partner, who ends them, which elements are replaced, failing functions, tokens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.laws import Witness, drain, drain_with_cuts
from teleporter_lab.testing.probes import END, SourceProbe, pulled

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow


async def passes(n: int = 20) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def test_zip_pairs_uneven_chunks_and_settles_both_sides() -> None:
    left, right = Witness(), Witness()
    one = SourceProbe([[1, 2, 3], [4], [5, 6]], window=left)
    other = SourceProbe([["a"], ["b", "c", "d", "e"], ["f"]], window=right)
    async with pulled(one.as_source().zip(other.as_source())) as stage:
        found = await drain(stage, 4, 1)
    assert found == list(zip([1, 2, 3, 4, 5, 6], "abcdef", strict=True))
    left.check_all_settled()
    right.check_all_settled()
    assert left.ledger().merged == 6
    assert right.ledger().written == 6


async def test_what_has_no_partner_stays_unconfirmed() -> None:
    window = Witness()
    one = SourceProbe([[1, 2, 3]], window=window)
    assert await one.as_source().zip(iterate("ab")).to(to_list()).run() == [(1, "a"), (2, "b")]
    assert window.progress is not None
    assert window.progress.position == 1, "the third has none, and came in a chunk with the second"
    assert window.late == 0


async def test_zip_ends_as_soon_as_either_side_has() -> None:
    for ends, waits in ((0, 1), (1, 0)):
        sides = [SourceProbe([[1]], wait=True), SourceProbe([["a"]], wait=True)]
        run = asyncio.ensure_future(sides[0].as_source().zip(sides[1].as_source()).to(to_list()).run())
        await passes()
        assert not run.done()
        sides[ends].give(END)
        assert await asyncio.wait_for(run, 5) == [(1, "a")]
        assert [sides[ends].closes, sides[waits].closes] == [1, 1]


async def test_zip_reads_no_more_of_either_side_than_is_asked_for() -> None:
    one, other = SourceProbe([list(range(9))]), SourceProbe([list("abc"), list("defghi")])
    async with pulled(one.as_source().zip(other.as_source()).take(5)) as stage:
        assert await drain(stage, 100) == list(zip(range(5), "abcde", strict=True))
    assert (one.given, other.given) == (5, 5)


# ------------------------------------------------------------------------------------------------------- functions

OPERATORS: dict[str, Callable[[Any, Callable[[Any, Any], Any]], Flow[Any, Any]]] = {
    "zip_with": lambda other, function: iterate([1, 2, 0, 4]).zip_with(other, function),
    "zip_latest_with": lambda other, function: other.zip_latest_with(
        iterate([1, 2, 0, 4]), lambda x, y: function(y, x)
    ),
}


@pytest.mark.parametrize("operator", OPERATORS)
async def test_a_pair_whose_function_fails_goes_through_the_rules(operator: str) -> None:
    tens: Any = iterate([10] * 4) if operator == "zip_with" else SourceProbe([[10]], wait=True).as_source()
    graph = OPERATORS[operator](tens, lambda x, y: y / x).to(to_list())
    with pytest.raises(ZeroDivisionError) as caught:
        await graph.run()
    assert caught.value.__notes__[0].startswith(f"In {operator}, on the element (")
    tens = iterate([10] * 4) if operator == "zip_with" else SourceProbe([[10]], wait=True).as_source()
    assert await OPERATORS[operator](tens, lambda x, y: y / x).to(to_list()).run(supervisor=Resume()) == [10, 5, 2.5]


async def test_a_pair_is_tried_again() -> None:
    tries: list[tuple[int, str]] = []

    def flaky(x: int, y: str) -> str:
        tries.append((x, y))
        if len(tries) == 2:
            raise OSError("away")
        return y * x

    window = Witness()
    source = SourceProbe([[1, 2, 3]], window=window)
    graph = source.as_source().zip_with(iterate("abc"), flaky).to(to_list())
    assert await graph.run(supervisor=Retry(1)) == ["a", "bb", "ccc"]
    assert tries == [(1, "a"), (2, "b"), (2, "b"), (3, "c")]
    window.check_all_settled()


# --------------------------------------------------------------------------------------------------------- zip_all


@pytest.mark.parametrize(("here", "there"), [(5, 2), (2, 5), (0, 3), (3, 0), (0, 0), (4, 4)])
@pytest.mark.parametrize("demand", [1, 3, 100])
async def test_the_shorter_side_is_filled_up(here: int, there: int, demand: int) -> None:
    left, right = Witness(), Witness()
    one = SourceProbe([[x] for x in range(here)], window=left)
    other = SourceProbe([list(range(there))] if there else [], window=right)
    async with pulled(one.as_source().zip_all(other.as_source(), "-", "=")) as stage:
        found = await drain(stage, demand)
    wanted = [(x if x < here else "-", x if x < there else "=") for x in range(max(here, there))]
    assert found == wanted
    left.check_all_settled()
    right.check_all_settled()


# ------------------------------------------------------------------------------------------------------ zip_latest


async def test_the_latest_of_each_once_both_gave_one() -> None:
    left, right = Witness(), Witness()
    one, other = SourceProbe(wait=True, window=left), SourceProbe(wait=True, window=right)
    async with pulled(one.as_source().zip_latest(other.as_source())) as stage:
        waiting = asyncio.ensure_future(stage.pull(10))
        one.give([1, 2])
        await passes()
        one.give([3])
        await passes()
        assert left.ledger().filtered == 2, "two were replaced before there was a pair"
        other.give(["a", "b"])
        chunk = await waiting
        assert chunk is not None
        assert chunk.data == [(3, "a")]
        assert len(chunk.tokens) == 2, "the first pair answers for the 3 as well"
        chunk.written()
        left.check_all_settled()
        chunk = await stage.pull(10)
        assert chunk is not None
        assert chunk.data == [(3, "b")]
        chunk.written()
        one.give([4])
        chunk = await stage.pull(10)
        assert chunk is not None
        assert chunk.data == [(4, "b")]
        chunk.written()
        other.give(END)
        assert await stage.pull(10) is None
    left.check_all_settled()
    right.check_all_settled()


async def test_zip_latest_without_a_pair_is_empty() -> None:
    idle = SourceProbe(wait=True)
    assert await idle.as_source().zip_latest(iterate([])).to(to_list()).run() == []
    assert idle.closes == 1


# ------------------------------------------------------------------------------------------------------------ laws


@pytest.mark.parametrize("often", [1, 3])
@pytest.mark.parametrize("slow", [0, 2])
async def test_cancelled_pulls_lose_nothing_of_the_other_side(often: int, slow: int) -> None:
    for cut in range(9):
        left, right = Witness(), Witness()
        one = SourceProbe([[0, 1], [2, 3, 4]], window=left)
        other = SourceProbe([[0], [1, 2, 3], [4, 5]], window=right, passes=slow)
        async with pulled(one.as_source().zip_all(other.as_source(), None, None)) as stage:
            assert await drain_with_cuts(stage, cut, often) == [*((x, x) for x in range(5)), (None, 5)]
        left.check_all_settled()
        right.check_all_settled()


@pytest.mark.parametrize("how", ["zip", "zip_with", "zip_all", "zip_latest", "zip_latest_with"])
@pytest.mark.parametrize("columns", [0, 1])
async def test_columns_are_refused_on_either_side(how: str, columns: int) -> None:
    window = Witness()
    batch = pa.RecordBatch.from_pydict({"x": [1, 2]})
    sides: list[Any] = [SourceProbe([[1, 2]], wait=True), SourceProbe([[1, 2]], wait=True)]
    sides[columns] = SourceProbe([batch], window=window)
    arguments: dict[str, Any] = {"zip_with": (max,), "zip_latest_with": (max,), "zip_all": (0, 0)}
    flow = getattr(sides[0].as_source(), how)(sides[1].as_source(), *arguments.get(how, ()))
    async with pulled(flow) as stage:
        for _ in range(2):
            with pytest.raises(RowsNeeded, match=how):
                await drain(stage)
    assert window.refused == 1
    assert window.progress is None
