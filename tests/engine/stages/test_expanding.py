"""Something to give while nothing comes: expand and extrapolate."""

from __future__ import annotations

import asyncio
from itertools import count, repeat
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SourceProbe, pulled

if TYPE_CHECKING:
    from collections.abc import Iterator


async def data(stage: Any, n: int = 9) -> Any:
    """What a pull gives, settled as written; None at the end."""
    chunk = await stage.pull(n)
    if chunk is None:
        return None
    chunk.written()
    return chunk.data


async def passes(n: int = 20) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def test_the_last_element_is_repeated_until_the_next_one_comes() -> None:
    window = Witness()
    source = SourceProbe([[1, 2]], window=window, wait=True)
    async with pulled(source.as_source().expand(repeat)) as stage:
        assert [await data(stage) for _ in range(5)] == [[1], [2], [2], [2], [2]]
        source.give([3])
        await passes()
        assert await data(stage) == [3]
        assert await data(stage) == [3]
        source.give(END)
        await passes()
        assert await data(stage) is None
    window.check_all_settled()
    assert window.ledger().written == 3, "what is repeated counts for nothing"


async def test_each_element_is_given_once_when_they_come_fast_enough() -> None:
    found = await iterate(range(1000)).expand(lambda x: iter([x])).to(to_list()).run()
    assert found == list(range(1000))


async def test_an_iterator_that_ends_waits_and_an_empty_one_is_no_element() -> None:
    window = Witness()
    source = SourceProbe([[0, 2, 1]], window=window, wait=True)
    async with pulled(source.as_source().expand(lambda x: iter(["x"] * x))) as stage:
        assert await data(stage) == ["x"]
        assert await data(stage) == ["x"], "of 1, as 2 was not the last one any more"
        pull = asyncio.ensure_future(data(stage))
        await passes()
        assert not pull.done()
        source.give([3])
        assert await pull == ["x"]
        source.give(END)
        await passes()
        assert await data(stage) is None
    assert window.ledger().filtered == 1
    window.check_all_settled()


async def test_an_extrapolation_begins_with_the_element_and_is_made_when_it_is_wanted() -> None:
    made: list[int] = []

    def further(x: int) -> Iterator[int]:
        made.append(x)
        return count(x + 1)

    source = SourceProbe([[10]], wait=True)
    async with pulled(source.as_source().extrapolate(further, initial=0)) as stage:
        assert await data(stage) == [0]
        assert await data(stage) == [10]
        assert made == []
        assert await data(stage) == [11]
        assert await data(stage) == [12]
        assert made == [10]


async def test_there_is_something_before_anything_came() -> None:
    source = SourceProbe(wait=True)
    async with pulled(source.as_source().extrapolate(lambda x: count(x + 1), initial=5)) as stage:
        assert [await data(stage) for _ in range(3)] == [[5], [6], [7]]


def two_then_an_error(x: int) -> Iterator[int]:
    yield x
    yield x + 1
    raise OSError("away")


async def test_a_further_item_that_fails_is_the_end_of_its_iterator_or_of_the_stream() -> None:
    source = SourceProbe([[1]], wait=True)
    async with pulled(source.as_source().expand(two_then_an_error), supervisor=Resume()) as stage:
        assert [await data(stage) for _ in range(2)] == [[1], [2]]
        pull = asyncio.ensure_future(data(stage))
        await passes()
        assert not pull.done()
        source.give([7])
        assert await pull == [7]
    source = SourceProbe([[1]], wait=True)
    async with pulled(source.as_source().expand(two_then_an_error)) as stage:
        assert [await data(stage) for _ in range(2)] == [[1], [2]]
        for _ in range(2):
            with pytest.raises(OSError, match="away") as caught:
                await stage.pull(1)
            source.give([7])
            await passes()
    assert caught.value.__notes__ == ["In expand(two_then_an_error), on the element 1"]


async def test_an_element_whose_function_fails_goes_through_the_rules() -> None:
    left = {2: 1}

    def flaky(x: int) -> Iterator[int]:
        if left.get(x):
            left[x] -= 1
            raise ValueError(x)
        return iter([x])

    source = SourceProbe([[1, 2, 3]])
    async with pulled(source.as_source().expand(flaky), supervisor=Retry(1)) as stage:
        assert await drain(stage) == [1, 2, 3]
    left[2], window = 1, Witness()
    source = SourceProbe([[1, 2, 3]], window=window)
    async with pulled(source.as_source().expand(flaky), supervisor=Resume()) as stage:
        assert await drain(stage) == [1, 3]
    window.check_all_settled()
