"""map_blocking: a chunk a call in a driver thread, and only the elements that fail go through the rules."""

from __future__ import annotations

import asyncio
import threading

import pytest

from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SourceProbe, pulled


async def test_a_chunk_whose_call_was_cancelled_is_worked_once_and_the_next_one_too() -> None:
    started, go_on = threading.Event(), threading.Event()
    seen: list[list[int]] = []

    def function(xs: list[int]) -> list[int]:
        seen.append(xs)
        started.set()
        assert go_on.wait(10)
        return [x * 10 for x in xs]

    window = Witness()
    source = SourceProbe([[1, 2], [3]], window=window)
    async with pulled(source.as_source().map_blocking(function)) as stage:
        pull = asyncio.ensure_future(stage.pull(5))
        assert await asyncio.to_thread(started.wait, 10)
        pull.cancel()
        await asyncio.wait((pull,))
        go_on.set()
        assert await drain(stage, 5) == [10, 20, 30]
    assert seen == [[1, 2], [3]]
    window.check_all_settled()


async def test_a_function_that_changes_its_list_changes_nobody_elses() -> None:
    def function(xs: list[int]) -> list[int]:
        out = sorted(xs)
        xs.clear()
        return out

    kept = [3, 1, 2]
    window = Witness()
    source = SourceProbe([kept], window=window)
    assert await source.as_source().map_blocking(function).to(to_list()).run() == [1, 2, 3]
    assert kept == [3, 1, 2]


async def test_its_error_stays_and_is_noted() -> None:
    def function(xs: list[int]) -> list[int]:
        if 3 in xs:
            raise OSError("away")
        return xs

    window = Witness()
    source = SourceProbe([[1, 2], [3], [4]], window=window)
    async with pulled(source.as_source().map_blocking(function)) as stage:
        assert (await stage.pull(5)).data == [1, 2]  # type: ignore[union-attr]
        for _ in range(2):
            with pytest.raises(OSError, match="away") as caught:
                await stage.pull(5)
    assert caught.value.__notes__ == ["In map_blocking(function), on the element 3"]
    assert window.refused == 1


class Picky:
    """A driver that refuses a whole batch for a single bad record, and remembers what it was called with."""

    def __init__(self, *bad: int, times: int = 1 << 30) -> None:
        self.left = dict.fromkeys(bad, times)
        self.calls: list[list[int]] = []

    def __call__(self, xs: list[int]) -> list[int]:
        self.calls.append(xs)
        for x in xs:
            if self.left.get(x):
                self.left[x] -= len(xs) == 1
                raise ValueError(x)
        return [x * 10 for x in xs]


@pytest.mark.parametrize("bad", [{0}, {4}, {9}, {3, 4}, {0, 9}, {1, 5, 6}, set(range(10))], ids=str)
async def test_only_the_elements_that_fail_are_left_out_of_a_batch(bad: set[int]) -> None:
    window, picky = Witness(), Picky(*bad)
    source = SourceProbe([list(range(10)), list(range(10, 13))], window=window)
    found = await source.as_source().map_blocking(picky).to(to_list()).run(supervisor=Resume())
    assert found == [x * 10 for x in range(13) if x not in bad]
    assert window.ledger().skipped == len(bad)
    window.check_all_settled()


async def test_the_failing_element_is_found_by_halves_and_tried_again_alone() -> None:
    picky = Picky(5, times=2)
    source = SourceProbe([list(range(8))])
    async with pulled(source.as_source().map_blocking(picky), supervisor=Retry(2)) as stage:
        assert await drain(stage, 100) == [x * 10 for x in range(8)]
    assert picky.calls == [
        list(range(8)), [0, 1, 2, 3], [4, 5], [4], [5],
        [5], [5],
        [6, 7],
    ]  # fmt: skip


async def test_what_came_before_the_failing_element_goes_out_before_its_error() -> None:
    window = Witness()
    source = SourceProbe([list(range(8))], window=window)
    async with pulled(source.as_source().map_blocking(Picky(5))) as stage:
        chunk = await stage.pull(100)
        assert chunk is not None
        assert chunk.data == [0, 10, 20, 30, 40]
        for _ in range(2):
            with pytest.raises(ValueError, match="5") as caught:
                await stage.pull(100)
    assert caught.value.__notes__ == ["In map_blocking(Picky), on the element 5"]
    assert window.refused == 1
