"""What the operators that make lists do beyond the laws: short lists, windows that share elements, tokens of both."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.sinks import foreach, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SourceProbe, pulled

if TYPE_CHECKING:
    from teleporter_lab.engine.stage import Stage


async def given(stage: Stage[Any], n: int) -> list[Any]:
    """The elements of one pull, not settled."""
    chunk = await stage.pull(n)
    assert chunk is not None
    return chunk.data


# --------------------------------------------------------------------------------------------------------- grouped


async def test_grouped_gives_what_it_holds_before_an_error() -> None:
    source = SourceProbe([[1, 2, 3, 4, 5], OSError("lost")])
    found: list[list[int]] = []
    with pytest.raises(OSError, match="lost"):
        await source.as_source().grouped(2).to(foreach(found.append)).run()
    assert found == [[1, 2], [3, 4], [5]]


async def test_a_list_answers_for_every_record_in_it() -> None:
    window = Witness()
    source = SourceProbe([[1, 2], [3, 4], [5, 6]], window=window)
    async with pulled(source.as_source().grouped(3)) as stage:
        first = await stage.pull(1)
        assert first is not None
        assert first.data == [[1, 2, 3]]
        assert window.progress is None
        first.written()
        assert window.progress is not None
        assert window.progress.count == 3
        await drain(stage)
    window.check_all_settled()
    assert window.ledger().merged == 4


@pytest.mark.parametrize("operator", [flow().grouped(3), flow().grouped_within(3, 60.0), flow().sliding(3)], ids=repr)
async def test_what_goes_down_is_never_the_list_a_source_keeps(operator: Any) -> None:
    kept = [3, 1, 2]
    source = SourceProbe([kept])
    async with pulled(source.as_source().via(operator)) as stage:
        chunk = await stage.pull(1)
        assert chunk is not None
        chunk.data[0].sort()
    assert kept == [3, 1, 2]


async def test_grouped_makes_batches_of_columns() -> None:
    rows = [{"x": x} for x in range(5)]
    batches: Any = await iterate(rows).to_batches().grouped(2).to(to_list()).run()
    assert [batch.to_pylist() for batch in batches] == [rows[:2], rows[2:4], rows[4:]]


# --------------------------------------------------------------------------------------------------------- sliding


def windows(data: list[int], size: int, step: int) -> list[list[int]]:
    """Said once more, for comparison: by position."""
    found: list[list[int]] = []
    for start in range(0, len(data), step):
        shown = found[-1][-1] if found else -1
        if start < len(data) and data[min(start + size, len(data)) - 1] > shown:
            found.append(data[start : start + size])
    return found


@pytest.mark.parametrize("seed", range(60))
async def test_windows_over_chunks_of_any_size_are_right_and_every_record_is_accounted_for(seed: int) -> None:
    random = Random(seed)
    data = list(range(random.randrange(1, 40)))
    size, step = random.randrange(1, 9), random.randrange(1, 9)
    script: list[list[int]] = []
    while (done := sum(map(len, script))) < len(data):
        script.append(data[done : done + random.randrange(1, 6)])
    window = Witness()
    source = SourceProbe(script, window=window)
    async with pulled(source.as_source().sliding(size, step)) as stage:
        assert await drain(stage, *(random.randrange(1, 6) for _ in range(5))) == windows(data, size, step)
    window.check_all_settled()
    ledger = window.ledger()
    assert ledger.written + ledger.merged + ledger.filtered == len(data) + ledger.expanded
    assert ledger.filtered == len(data) - len({x for found in windows(data, size, step) for x in found})


async def test_sliding_reads_no_more_than_the_windows_asked_for_need() -> None:
    source = SourceProbe([list(range(100))])
    async with pulled(source.as_source().sliding(5, 2)) as stage:
        for demand, read in ((1, 5), (1, 7), (3, 13)):
            assert await stage.pull(demand) is not None
            assert source.given == read


async def test_sliding_skips_a_gap_before_it_reads_a_window() -> None:
    source = SourceProbe([list(range(100))])
    async with pulled(source.as_source().sliding(2, 10)) as stage:
        assert await given(stage, 1) == [[0, 1]]
        assert source.given == 2
        assert await given(stage, 1) == [[10, 11]]
        assert source.given == 12


async def test_a_record_is_confirmed_when_the_last_of_its_windows_is() -> None:
    window = Witness()
    source = SourceProbe([[x] for x in range(5)], window=window)
    async with pulled(source.as_source().sliding(3)) as stage:
        chunks = [chunk for _ in range(3) if (chunk := await stage.pull(1)) is not None]
        assert [chunk.data for chunk in chunks] == [[[0, 1, 2]], [[1, 2, 3]], [[2, 3, 4]]]
        chunks[1].written()
        chunks[2].written()
        assert window.progress is None
        chunks[0].written()
        assert window.progress is not None
        assert window.progress.count == 3, "3 and 4 may be in one more"
        assert await stage.pull(1) is None
    window.check_all_settled()


async def test_a_window_over_records_that_nobody_acknowledges_is_accounted_for() -> None:
    window = Witness()
    source = SourceProbe([[0], [1], [2]], window=window)
    async with pulled(source.as_source().concat(iterate([3, 4, 5])).sliding(3)) as stage:
        assert await drain(stage, 1) == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert window.late == 0
    assert all(token.settled for token in window.tokens)
    assert window.ledger().in_flight == 0


async def test_the_last_window_may_be_shorter_before_an_error() -> None:
    source = SourceProbe([[1, 2, 3, 4], OSError("lost")])
    found: list[list[int]] = []
    with pytest.raises(OSError, match="lost"):
        await source.as_source().sliding(3, 2).to(foreach(found.append)).run()
    assert found == [[1, 2, 3], [3, 4]]


# ---------------------------------------------------------------------------------------------- weighted, adjacent


async def test_the_element_that_reaches_the_limit_is_the_lists_last() -> None:
    weighed = iterate(["a", "bb", "c", "dddd", "e"]).grouped_weighted(3, len)
    assert await weighed.to(to_list()).run() == [["a", "bb"], ["c", "dddd"], ["e"]]


async def test_lists_by_weight_ask_for_no_more_elements_than_lists() -> None:
    source = SourceProbe([list(range(100))])
    async with pulled(source.as_source().grouped_weighted(3, lambda _: 1)) as stage:
        assert await given(stage, 1) == [[0, 1, 2]]
        assert source.given == 3
        assert await given(stage, 2) == [[3, 4, 5]]
        assert source.given == 7


async def test_a_list_by_key_waits_for_the_element_that_ends_it() -> None:
    source = SourceProbe([["aa"], ["ab"], ["b"]], wait=True)
    async with pulled(source.as_source().grouped_adjacent_by(lambda x: x[0])) as stage:
        assert await given(stage, 1) == [["aa", "ab"]]
        assert source.demands == [1, 1, 1]


async def test_keys_are_compared_with_the_one_before_only() -> None:
    assert await iterate("aabba").grouped_adjacent_by(str).to(to_list()).run() == [["a", "a"], ["b", "b"], ["a"]]


async def test_a_list_that_has_reached_its_limit_waits_for_nothing() -> None:
    source = SourceProbe([[2], [1], [3]], wait=True)
    async with pulled(source.as_source().grouped_adjacent_by_weighted(bool, 3, abs)) as stage:
        assert await given(stage, 1) == [[2, 1]]
        assert await given(stage, 1) == [[3]]


async def test_an_element_dearer_than_the_limit_is_a_list_of_its_own() -> None:
    weighed = iterate([1, 9, 1, 1, 2, 0]).grouped_adjacent_by_weighted(bool, 3, abs)
    assert await weighed.to(to_list()).run() == [[1], [9], [1, 1], [2], [0]]


OPERATORS: dict[str, Any] = {
    "grouped_weighted": lambda f, call: f.grouped_weighted(3, lambda x: call(x) * 0 + 1),
    "grouped_adjacent_by": lambda f, call: f.grouped_adjacent_by(lambda x: call(x) // 3),
    "grouped_adjacent_by_weighted, key": lambda f, call: f.grouped_adjacent_by_weighted(
        lambda x: call(x) * 0, 3, lambda _: 1
    ),
    "grouped_adjacent_by_weighted, cost": lambda f, call: f.grouped_adjacent_by_weighted(
        lambda _: 0, 3, lambda x: call(x) * 0 + 1
    ),
}
EACH = pytest.mark.parametrize("operator", OPERATORS)


class Once:
    """Fails the first time it gets one of `bad`."""

    def __init__(self, *bad: int) -> None:
        self._bad = list(bad)

    def __call__(self, x: int) -> int:
        if x in self._bad:
            self._bad.remove(x)
            raise ValueError(f"bad {x}")
        return x


@EACH
async def test_an_element_that_was_tried_twice_is_in_one_list(operator: str) -> None:
    made = OPERATORS[operator](iterate(range(6)), Once(0, 2, 3))
    assert await made.to(to_list()).run(supervisor=Retry(1)) == [[0, 1, 2], [3, 4, 5]]


@EACH
@pytest.mark.parametrize("size", [1, 2, 8])
async def test_an_element_that_is_left_out_is_in_no_list(operator: str, size: int) -> None:
    window = Witness()
    data = list(range(8))
    source = SourceProbe([data[i : i + size] for i in range(0, 8, size)], window=window)
    async with pulled(OPERATORS[operator](source.as_source(), Once(1, 6)), supervisor=Resume()) as stage:
        found = await drain(stage)
    by_key = operator == "grouped_adjacent_by"
    assert found == ([[0, 2], [3, 4, 5], [7]] if by_key else [[0, 2, 3], [4, 5, 7]])
    assert window.ledger().skipped == 2
    window.check_all_settled()


@EACH
async def test_what_is_held_goes_out_before_the_error_of_an_element(operator: str) -> None:
    window = Witness()
    found: list[list[int]] = []
    source = SourceProbe([[0, 1, 2, 3], [4, 5]], window=window)
    with pytest.raises(ValueError, match="bad 4"):
        await OPERATORS[operator](source.as_source(), Once(4)).to(foreach(found.append)).run()
    assert found == [[0, 1, 2], [3]]
    assert window.progress is not None
    assert window.progress.count == 4


@pytest.mark.parametrize(
    "operator",
    [
        flow().sliding(2),
        flow().grouped_weighted(2, len),
        flow().grouped_adjacent_by(len),
        flow().grouped_adjacent_by_weighted(len, 2, len),
    ],
    ids=repr,
)
async def test_columns_are_refused(operator: Any) -> None:
    async with pulled(iterate([{"x": 1}]).to_batches().via(operator)) as stage:
        for _ in range(2):
            with pytest.raises(RowsNeeded, match=repr(operator).partition("(")[0]):
                await stage.pull(5)


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("grouped", (0,)),
        ("sliding", (0,)),
        ("sliding", (1, 0)),
        ("grouped_weighted", (0, len)),
        ("grouped_adjacent_by_weighted", (len, -1, len)),
    ],
)
def test_what_makes_no_sense_is_said_at_once(operator: str, arguments: Any) -> None:
    with pytest.raises(ValueError, match=f"{operator} needs a "):
        getattr(iterate("a"), operator)(*arguments)
