"""Many elements as one: while what is below is busy, by weight, or when a function says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume, Retry
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SourceProbe, pulled


async def passes(n: int = 20) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def data(stage: Any, n: int = 9) -> Any:
    """What a pull gives, settled as written; None at the end."""
    chunk = await stage.pull(n)
    if chunk is None:
        return None
    chunk.written()
    return chunk.data


def seed(x: int) -> list[int]:
    return [number(x)]


def add(xs: list[int], x: int) -> list[int]:
    return [*xs, number(x)]


def number(x: int) -> int:
    if x < 0:
        raise ValueError(x)
    return x


async def test_what_comes_while_nobody_asks_becomes_one() -> None:
    window = Witness()
    source = SourceProbe(window=window, wait=True)
    async with pulled(source.as_source().conflate_with_seed(seed, add)) as stage:
        pull = asyncio.ensure_future(data(stage))
        await passes()
        source.give([1])
        assert await pull == [[1]]
        source.give([2, 3], [4])
        await passes()
        source.give([5], END)
        await passes()
        assert await data(stage) == [[2, 3, 4, 5]]
        assert await data(stage) is None
    window.check_all_settled()
    assert window.ledger().merged == 3


async def test_what_is_above_a_conflate_never_waits() -> None:
    source = SourceProbe([[x] for x in range(1000)])
    async with pulled(source.as_source().conflate(lambda a, b: a + b)) as stage:
        assert await data(stage) == [0]
        await passes()
        assert source.given == 1000
        assert await data(stage) == [sum(range(1000))]


async def test_a_full_batch_is_back_pressure() -> None:
    source = SourceProbe([list(range(100))])
    async with pulled(source.as_source().batch(4, seed, add)) as stage:
        assert await data(stage) == [[0, 1, 2, 3]]
        await passes()
        assert source.given == 8
        assert await data(stage) == [[4, 5, 6, 7]]


async def test_a_batch_by_weight_is_never_heavier_unless_it_is_one_element() -> None:
    window = Witness()
    source = SourceProbe([[3, 3, 5, 11, 1], [9, -1, 2]], window=window)
    async with pulled(source.as_source().batch_weighted(10, number, seed, add), supervisor=Resume()) as stage:
        found = await drain(stage)
    assert [x for xs in found for x in xs] == [3, 3, 5, 11, 1, 9, 2]
    assert all(sum(xs) <= 10 or len(xs) == 1 for xs in found)
    assert window.ledger().skipped == 1
    window.check_all_settled()


async def test_pieces_of_a_chunk_answer_for_what_is_in_them() -> None:
    """The second list is confirmed, the first is not: nothing may be committed."""
    window = Witness()
    source = SourceProbe([[1], [1, 2, 3, 4, 5]], window=window)
    async with pulled(source.as_source().batch_weighted(3, lambda _: 1, seed, add)) as stage:
        assert await data(stage) == [[1]]
        first = await stage.pull(1)
        assert first is not None
        lists = [first.data]
        while (chunk := await stage.pull(1)) is not None:
            lists.append(chunk.data)
            chunk.written()
        assert [x for xs in lists for x in xs[0]] == [1, 2, 3, 4, 5]
        progress = window.progress
        assert progress is not None
        assert progress.position == 1
        first.written()
    window.check_all_settled()


async def test_an_aggregate_waits_for_an_element_of_its_chunk_that_is_tried_again() -> None:
    """It has elements whose tokens are not there yet, so it may not go out."""
    clock, window = FakeClock(), Witness()
    left = {3: 1}

    def flaky(xs: list[int], x: int) -> list[int]:
        if left.get(x):
            left[x] -= 1
            raise OSError("away")
        return [*xs, x]

    source = SourceProbe(window=window, wait=True)
    async with (
        Runtime(clock) as runtime,
        pulled(source.as_source().conflate_with_seed(seed, flaky), runtime, Retry(1, delay=5.0)) as stage,
    ):
        source.give([0])
        assert await data(stage) == [[0]]
        source.give([1, 2, 3, 4], END)
        await clock.settle()
        pull = asyncio.ensure_future(data(stage))
        await clock.advance(4.9)
        assert not pull.done()
        await clock.advance(0.2)
        assert await pull == [[1, 2, 3, 4]]
        assert await data(stage) is None
    window.check_all_settled()


async def test_what_came_before_an_element_that_fails_goes_out_before_the_error() -> None:
    window = Witness()
    source = SourceProbe([[1, 2, -3, 4]], window=window)
    async with pulled(source.as_source().batch(9, seed, add)) as stage:
        assert await data(stage) == [[1, 2]]
        for _ in range(2):
            with pytest.raises(ValueError, match="-3"):
                await stage.pull(1)
    assert window.refused == 1


# ---------------------------------------------------------------------------------------- aggregate_with_boundary


def pairs(xs: list[int], x: int) -> tuple[list[int], bool]:
    return add(xs, x), len(xs) == 1


async def test_the_timer_gives_what_is_whole_enough_and_only_when_it_rings() -> None:
    clock, window = FakeClock(), Witness()
    source = SourceProbe([[1], [2], [3]], window=window, wait=True)
    timer: Any = (lambda xs: sum(xs) > 4, 5.0)
    flow = source.as_source().aggregate_with_boundary(list, pairs, tuple, timer)
    async with Runtime(clock) as runtime, pulled(flow, runtime) as stage:
        assert await data(stage) == [(1, 2)]
        pull = asyncio.ensure_future(data(stage))
        await clock.advance(9.0)
        assert not pull.done(), "3 is not enough at 5"
        source.give([5])
        await clock.settle()
        assert await pull == [(3, 5)]
        source.give([6])
        pull = asyncio.ensure_future(data(stage))
        await clock.advance(0.9)
        assert not pull.done()
        await clock.advance(0.2)
        assert await pull == [(6,)]
        source.give(END)
        assert await data(stage) is None
    window.check_all_settled()


async def test_what_is_left_is_given_before_an_error_from_above() -> None:
    source = SourceProbe([[1, 2, 3], OSError("lost")])
    async with pulled(source.as_source().aggregate_with_boundary(list, pairs, tuple)) as stage:
        assert await data(stage) == [(1, 2)]
        assert await data(stage) == [(3,)]
        for _ in range(2):
            with pytest.raises(OSError, match="lost"):
                await stage.pull(1)


async def test_an_element_that_fails_leaves_no_trace() -> None:
    window = Witness()
    source = SourceProbe([[1, -2, 3], [-4, 5, 6]], window=window)
    flow = source.as_source().aggregate_with_boundary(list, pairs, tuple)
    async with pulled(flow, supervisor=Resume()) as stage:
        assert await drain(stage) == [(1, 3), (5, 6)]
    assert window.ledger().skipped == 2
    window.check_all_settled()


class Last:
    """A harvest that fails for what is left at the end, as often as it says."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self, xs: list[int]) -> list[int]:
        if len(xs) == 1 and self.failures:
            self.failures -= 1
            raise OSError("away")
        return xs


@pytest.mark.parametrize("timer", [None, (lambda _: True, 5.0)], ids=["plain", "timer"])
@pytest.mark.parametrize(
    ("supervisor", "failures", "found"),
    [(Retry(2), 2, [[1, 2], [3]]), (Resume(), 9, [[1, 2]]), (Retry(2), 3, None)],
)
async def test_the_harvest_at_the_end_goes_through_the_rules(
    supervisor: Any, failures: int, found: Any, timer: Any
) -> None:
    window = Witness()
    source = SourceProbe([[1, 2, 3]], window=window)
    flow = source.as_source().aggregate_with_boundary(list, pairs, Last(failures), timer)
    async with pulled(flow, supervisor=supervisor) as stage:
        if found is not None:
            assert await drain(stage) == found
        else:
            assert await data(stage) == [[1, 2]]
            for _ in range(2):
                with pytest.raises(OSError, match="away"):
                    await stage.pull(1)
    if found is None:
        assert window.refused == 1
    else:
        window.check_all_settled()
        assert window.ledger().skipped == (0 if [3] in found else 1)


async def test_an_aggregate_can_be_a_dead_letter() -> None:
    class Aside:
        def __init__(self) -> None:
            self.letters: list[Any] = []

        def decide(self, failure: Failure) -> Decision:
            return Decision(Action.DEAD_LETTER)

        async def put(self, failure: Failure) -> None:
            self.letters.append(failure.element)

    aside, window = Aside(), Witness()
    source = SourceProbe([[1, 2, 3]], window=window)
    flow = (
        source.as_source().aggregate_with_boundary(list, pairs, Last(1)).within(lambda m: m.within(dead_letters=aside))
    )
    async with pulled(flow, supervisor=aside) as stage:
        assert await drain(stage) == [[1, 2]]
    assert aside.letters == [[3]]
    assert window.ledger().dead_lettered == 1
    window.check_all_settled()


async def test_a_predicate_that_fails_ends_it_for_good() -> None:
    def whole(_: list[int]) -> bool:
        raise OSError("away")

    clock = FakeClock()
    source = SourceProbe([[1]], wait=True)
    flow = source.as_source().aggregate_with_boundary(list, pairs, tuple, (whole, 5.0))
    async with Runtime(clock) as runtime, pulled(flow, runtime) as stage:
        pull = asyncio.ensure_future(stage.pull(1))
        await clock.advance(5.1)
        with pytest.raises(OSError, match="away"):
            await pull
        source.give([2])
        await clock.settle()
        with pytest.raises(OSError, match="away"):
            await stage.pull(1)
