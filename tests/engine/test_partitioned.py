"""The pool with lanes: few of one key at a time, others pass them by, and the output in the order of the input."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from teleporter_lab.engine.stages.sinks import foreach, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume, Retry
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SourceProbe, pulled
from tests.engine.stages.test_asynchronous import Gate, passes


def tens(x: int) -> int:
    return x // 10


async def test_elements_of_a_busy_key_wait_and_hold_up_no_others() -> None:
    gate = Gate()
    source = SourceProbe([[1, 2, 3, 4, 5, 11, 21, 12]])
    async with pulled(source.as_source().map_async_partitioned(3, tens, gate)) as stage:
        pull = asyncio.ensure_future(stage.pull(100))
        await passes()
        assert sorted(gate.waiting) == [1, 11, 21]
        gate.open(11)
        await passes()
        assert sorted(gate.waiting) == [1, 12, 21]
        assert not pull.done(), "the first one is not there"
        gate.open(1)
        assert (await pull).data == [1]  # type: ignore[union-attr]
        await passes()
        assert sorted(gate.waiting) == [2, 12, 21]


async def test_as_many_of_one_key_as_allowed_and_no_more_than_workers() -> None:
    gate = Gate()
    source = SourceProbe([[1, 2, 3, 11, 12, 21]])
    async with pulled(source.as_source().map_async_partitioned(4, tens, gate, 2)) as stage:
        pull = asyncio.ensure_future(stage.pull(100))
        await passes()
        assert sorted(gate.waiting) == [1, 2, 11, 12]
        gate.open(2)
        await passes()
        assert sorted(gate.waiting) == [1, 11, 12, 21], "who has waited longest is next"
        gate.open(21)
        await passes()
        assert sorted(gate.waiting) == [1, 3, 11, 12]
        pull.cancel()


@pytest.mark.parametrize("seed", range(5))
async def test_keys_keep_their_order_in_work_and_all_theirs_in_the_output(seed: int) -> None:
    rng = random.Random(seed)
    numbers = [rng.randrange(60) for _ in range(400)]
    begun: dict[int, list[int]] = {}
    busy: Counter[int] = Counter()

    async def work(x: int) -> int:
        key = tens(x)
        begun.setdefault(key, []).append(x)
        busy[key] += 1
        assert busy[key] == 1, "two of one key at a time"
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        busy[key] -= 1
        return x

    window = Witness()
    size = rng.randrange(1, 50)
    source = SourceProbe([numbers[i : i + size] for i in range(0, 400, size)], window=window)
    async with pulled(source.as_source().map_async_partitioned(5, tens, work)) as stage:
        assert await drain(stage, 7, 100, 1) == numbers
    assert begun == {key: [x for x in numbers if tens(x) == key] for key in begun}
    window.check_all_settled()


@pytest.mark.parametrize("bad", [{0}, {5}, {9}, {0, 4, 9}, set(range(10))], ids=str)
async def test_what_fails_is_tried_again_before_the_next_one_of_its_key(bad: set[int]) -> None:
    left = dict.fromkeys(bad, 2)
    went: list[int] = []

    async def flaky(x: int) -> int:
        await asyncio.sleep(0)
        if left.get(x):
            left[x] -= 1
            raise OSError("away")
        went.append(x)
        return x

    window = Witness()
    source = SourceProbe([[0, 1, 2], list(range(3, 10))], window=window)
    graph = source.as_source().map_async_partitioned(3, lambda x: x % 2, flaky).to(to_list())
    assert await graph.run(supervisor=Retry(2)) == list(range(10))
    assert [x for x in went if x % 2] == [1, 3, 5, 7, 9]
    window.check_all_settled()


async def half(x: int) -> int:
    await asyncio.sleep(0)
    if x % 3 == 1:
        raise ValueError(x)
    return x


async def test_what_is_left_out_is_settled_and_so_is_what_its_key_function_refuses() -> None:
    def key(x: int) -> Any:
        return {} if x == 6 else x % 2

    window = Witness()
    source = SourceProbe([list(range(10))], window=window)
    graph = source.as_source().map_async_partitioned(3, key, half).to(to_list())
    assert await graph.run(supervisor=Resume()) == [0, 2, 3, 5, 8, 9]
    assert window.ledger().skipped == 4
    window.check_all_settled()


async def test_the_first_failure_ends_it_in_its_place() -> None:
    found: list[int] = []
    with pytest.raises(ValueError, match="1") as caught:
        await iterate([0, 2, 3, 1, 5]).map_async_partitioned(5, tens, half).to(foreach(found.append)).run()
    assert found == [0, 2, 3]
    assert caught.value.__notes__ == ["In map_async_partitioned(half), on the element 1"]


async def test_dead_letters_are_put_aside_and_counted() -> None:
    class Aside:
        def __init__(self) -> None:
            self.put_aside: list[int] = []

        def decide(self, failure: Failure) -> Decision:
            return Decision(Action.DEAD_LETTER)

        async def put(self, failure: Failure) -> None:
            self.put_aside.append(failure.element)

    aside, window = Aside(), Witness()
    source = SourceProbe([list(range(6))], window=window)
    flow = source.as_source().map_async_partitioned(3, tens, half).within(lambda m: m.within(dead_letters=aside))
    assert await flow.to(to_list()).run(supervisor=aside) == [0, 2, 3, 5]
    assert sorted(aside.put_aside) == [1, 4]
    assert window.ledger().dead_lettered == 2
    window.check_all_settled()


@pytest.mark.parametrize(("parallelism", "per_partition"), [(0, 1), (1, 0)])
def test_a_pool_of_none_is_refused(parallelism: int, per_partition: int) -> None:
    with pytest.raises(ValueError, match="of 1 or more, not 0"):
        iterate([1]).map_async_partitioned(parallelism, tens, half, per_partition)
