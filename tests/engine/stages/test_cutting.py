"""What the operators that let a part through do beyond the laws: what they read, count and refuse."""

from __future__ import annotations

from typing import Any

import pytest

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.stages.cutting import StreamLimitReached
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SourceProbe, pulled

# ------------------------------------------------------------------------------------------------------ take, drop


async def test_take_closes_what_is_above_before_it_gives_its_last_element() -> None:
    source = SourceProbe([[1, 2, 3, 4]])
    async with pulled(source.as_source().take(2)) as stage:
        chunk = await stage.pull(10)
        assert chunk is not None
        assert chunk.data == [1, 2]
        assert source.closes == 1


async def test_what_take_while_read_beyond_its_end_is_counted_as_filtered() -> None:
    window = Witness()
    source = SourceProbe([list(range(20))], window=window)
    async with pulled(source.as_source().take_while(lambda x: x < 4)) as stage:
        assert await drain(stage) == [0, 1, 2, 3]
    window.check_all_settled()
    assert window.ledger().filtered == source.given - 4


@pytest.mark.parametrize("inclusive", [False, True])
async def test_take_while_may_give_the_element_that_ended_it(inclusive: bool) -> None:
    window = Witness()
    source = SourceProbe([list(range(20))], window=window)
    async with pulled(source.as_source().take_while(lambda x: x != 1, inclusive)) as stage:
        assert await drain(stage, 1) == ([0, 1] if inclusive else [0])
    assert source.given == 2
    assert source.closes == 1
    window.check_all_settled()


async def test_take_while_asks_its_predicate_no_more_once_it_was_false() -> None:
    asked: list[int] = []

    def small(x: int) -> bool:
        asked.append(x)
        return x < 2

    assert await iterate(range(100)).take_while(small, inclusive=True).to(to_list()).run() == [0, 1, 2]
    assert asked == [0, 1, 2]


async def test_a_predicate_that_failed_is_tried_again_and_ends_nothing() -> None:
    failures = [ValueError("once"), ValueError("once")]

    def small(x: int) -> bool:
        if x in (1, 3) and failures:
            raise failures.pop()
        return x < 5

    assert await iterate(range(9)).take_while(small).to(to_list()).run(supervisor=Retry(2)) == [0, 1, 2, 3, 4]


async def test_drop_counts_what_it_drops() -> None:
    window = Witness()
    source = SourceProbe([[x] for x in range(5)] + [list(range(5, 10))], window=window)
    async with pulled(source.as_source().drop(7)) as stage:
        assert await drain(stage) == [7, 8, 9]
    window.check_all_settled()
    assert window.ledger().filtered == 7


async def test_drop_while_does_not_open_for_an_element_that_is_left_out() -> None:
    def small(x: int) -> bool:
        if x == 1:
            raise ValueError(x)
        return x < 3

    assert await iterate([0, 1, 2, 3, 0, 1]).drop_while(small).to(to_list()).run(supervisor=Resume()) == [3, 0, 1]


# ----------------------------------------------------------------------------------------------------------- limit


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_limit_lets_all_within_it_pass_before_it_fails(size: int) -> None:
    window = Witness()
    numbers = list(range(5))
    source = SourceProbe([numbers[i : i + size] for i in range(0, 5, size)], window=window)
    found: list[int] = []
    with pytest.raises(StreamLimitReached, match="more than 3 elements") as failed:
        await source.as_source().limit(3).to(foreach(found.append)).run()
    assert failed.value.limit == 3
    assert found == [0, 1, 2]
    assert source.given == 4
    assert source.closes == 1
    assert window.refused == 1
    assert window.progress is not None
    assert window.progress.count == 3


async def test_limit_fails_again_at_each_pull_and_reads_no_more() -> None:
    source = SourceProbe([[1, 2, 3]])
    async with pulled(source.as_source().limit(0)) as stage:
        for _ in range(3):
            with pytest.raises(StreamLimitReached):
                await stage.pull(5)
    assert source.demands == [1]


async def test_a_stream_of_just_the_limit_completes() -> None:
    assert await iterate(range(3)).limit(3).to(to_list()).run() == [0, 1, 2]


async def test_limit_counts_the_rows_of_columns() -> None:
    flow = iterate([{"x": x} for x in range(4)]).to_batches()
    assert len(await flow.limit(4).to_rows().to(to_list()).run()) == 4
    with pytest.raises(StreamLimitReached):
        await flow.limit(3).to(ignore()).run()


async def test_limit_weighted_sums_costs_up_and_fails_beyond() -> None:
    window = Witness()
    source = SourceProbe([["a", "bb", "ccc", "d"]], window=window)
    found: list[str] = []
    with pytest.raises(StreamLimitReached, match="more than 5"):
        await source.as_source().limit_weighted(5, len).to(foreach(found.append)).run()
    assert found == ["a", "bb"]
    assert window.progress is None


async def test_no_rule_leaves_out_what_is_too_much() -> None:
    """Or the elements that still fit would go on passing."""
    found: list[int] = []
    with pytest.raises(StreamLimitReached):
        await iterate([1, 9, 1, 1]).limit_weighted(3, abs).to(foreach(found.append)).run(supervisor=Resume())
    assert found == [1]


async def test_a_cost_that_fails_is_supervised_and_counts_once() -> None:
    failures = [ValueError("once")]

    def cost(x: int) -> int:
        if x == 2 and failures:
            raise failures.pop()
        return x

    assert await iterate([1, 2, 3]).limit_weighted(6, cost).to(to_list()).run(supervisor=Retry(1)) == [1, 2, 3]
    failures.append(ValueError("left out"))
    assert await iterate([1, 2, 3]).limit_weighted(4, cost).to(to_list()).run(supervisor=Resume()) == [1, 3]


async def test_limit_weighted_refuses_columns() -> None:
    with pytest.raises(RowsNeeded, match="limit_weighted"):
        await iterate([{"x": 1}]).to_batches().limit_weighted(5, lambda _: 1).to(to_list()).run()


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [("take", (-1,)), ("drop", (-1,)), ("limit", (-1,)), ("limit_weighted", (-0.5, abs))],
)
def test_what_makes_no_sense_is_said_at_once(operator: str, arguments: Any) -> None:
    with pytest.raises(ValueError, match=f"{operator} needs a number of 0 or more"):
        getattr(iterate([1]), operator)(*arguments)
