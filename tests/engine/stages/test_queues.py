"""The queue that a stream is filled from: order, room, the end from either side, offers and pulls cut short."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.run import Materializer, Runtime
from teleporter_lab.engine.stages.queues import QueueClosed, SourceQueue, queue
from teleporter_lab.engine.stages.sinks import foreach, head, ignore, to_list
from teleporter_lab.engine.supervision import StopOnError
from teleporter_lab.testing.laws import cut_off, drain, drain_with_cuts

if TYPE_CHECKING:
    from teleporter_lab.engine.stage import Stage


async def settle(n: int = 20) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


def opened(size: int) -> tuple[Stage[Any], SourceQueue[Any]]:
    """The stage of a queue and what it has published."""
    m = Materializer(Runtime(), asyncio.get_running_loop().create_task, StopOnError())
    stage = queue(size).attach(m)
    return stage, m.values[0]


async def test_what_is_offered_goes_down_and_the_stream_ends_when_it_is_complete() -> None:
    async with queue(2, str).map(int).to(to_list()).start() as running:
        offers = running.value(SourceQueue)
        for text in "12345":
            await offers.offer(text)
        offers.complete()
        offers.complete()
        assert offers.closed
    assert await running.right() == [1, 2, 3, 4, 5]


async def test_an_offer_waits_for_room_and_a_try_does_not() -> None:
    stage, offers = opened(2)
    await offers.offer(1)
    assert offers.try_offer(2)
    assert not offers.try_offer(3)
    waiting = [asyncio.ensure_future(offers.offer(x)) for x in (3, 4, 5)]
    await settle()
    assert not any(offer.done() for offer in waiting)
    assert len(offers) == 2
    assert (await stage.pull(1)).data == [1]  # type: ignore[union-attr]
    assert not offers.try_offer(9), "those who wait come first"
    await settle()
    assert [offer.done() for offer in waiting] == [True, False, False]
    found: list[int] = []
    while len(found) < 4:
        found += (await stage.pull(9)).data  # type: ignore[union-attr]
        await settle()
    assert found == [2, 3, 4, 5]
    assert all(offer.done() for offer in waiting)
    await stage.close()


async def test_an_offer_that_is_cancelled_was_not_taken_and_makes_way() -> None:
    stage, offers = opened(1)
    await offers.offer(1)
    waiting = [asyncio.ensure_future(offers.offer(x)) for x in (2, 3, 4)]
    await settle()
    waiting[1].cancel()
    assert (await stage.pull(1)).data == [1]  # type: ignore[union-attr]
    waiting[0].cancel()  # it was just told that there is room
    await settle()
    assert [offer.cancelled() for offer in waiting] == [True, True, False]
    assert waiting[2].done()
    offers.complete()
    assert await drain(stage) == [4]
    await stage.close()


@pytest.mark.parametrize("end", ["complete", "fail", "close"])
async def test_after_the_end_offers_are_refused_also_those_that_wait(end: str) -> None:
    stage, offers = opened(1)
    await offers.offer(1)
    waiting = [asyncio.ensure_future(offers.offer(x)) for x in (2, 3)]
    await settle()
    if end == "close":
        await stage.close()
    elif end == "fail":
        offers.fail(OSError("lost"))
    else:
        offers.complete()
    await settle()
    for offer in waiting:
        with pytest.raises(QueueClosed, match="takes no more"):
            await offer
    with pytest.raises(QueueClosed):
        await offers.offer(4)
    with pytest.raises(QueueClosed):
        offers.try_offer(4)
    assert offers.closed
    await stage.close()


async def test_an_error_comes_after_all_that_was_offered_and_stays() -> None:
    stage, offers = opened(8)
    for x in (1, 2, 3):
        offers.try_offer(x)
    offers.fail(OSError("lost"))
    offers.complete()
    assert [(await stage.pull(1)).data for _ in range(3)] == [[1], [2], [3]]  # type: ignore[union-attr]
    for _ in range(2):
        with pytest.raises(OSError, match="lost"):
            await stage.pull(1)
    await stage.close()


async def test_a_stream_that_ends_by_itself_or_fails_refuses_offers() -> None:
    async with queue(4).to(head()).start() as running:
        await running.value(SourceQueue).offer(1)
        assert await running.right() == 1
        assert running.value(SourceQueue).closed

    def bad(_: int) -> None:
        raise OSError("lost")

    async def talk() -> None:
        async with queue(4).to(foreach(bad)).start() as running:
            await running.value(SourceQueue).offer(1)
            await settle()
            with pytest.raises(QueueClosed):
                await running.value(SourceQueue).offer(2)

    with pytest.raises(OSError, match="lost"):
        await talk()


async def test_each_run_has_a_queue_of_its_own() -> None:
    graph = queue(1).to(to_list())
    async with graph.start() as first, graph.start() as second:
        for i, running in enumerate((first, second)):
            await running.value(SourceQueue).offer(i)
            running.value(SourceQueue).complete()
        assert (await first.right(), await second.right()) == ([0], [1])


async def test_a_chunk_is_what_has_come_and_what_fits() -> None:
    stage, offers = opened(1000)
    for x in range(100):
        offers.try_offer(x)
    sizes: list[int] = []
    while len(offers):
        sizes.append(len(await stage.pull(40)))  # type: ignore[arg-type]
    assert sizes == [1, 2, 4, 8, 16, 32, 37]
    await stage.close()


@pytest.mark.parametrize("often", [1, 3])
async def test_a_pull_that_is_cancelled_at_any_step_loses_and_doubles_nothing(often: int) -> None:
    for passes in range(6):
        stage, offers = opened(2)

        async def fill(offers: SourceQueue[int] = offers) -> None:
            for x in range(10):
                await offers.offer(x)
            offers.complete()

        filling = asyncio.ensure_future(fill())
        assert await drain_with_cuts(stage, passes, often) == list(range(10))
        await filling
        await stage.close()


@pytest.mark.parametrize("seed", range(20))
async def test_many_who_offer_and_are_cancelled_lose_and_double_nothing(seed: int) -> None:
    chance = random.Random(seed)
    stage, offers = opened(chance.randint(1, 3))
    taken: list[tuple[int, int]] = []

    async def fill(who: int) -> None:
        for i in range(20):
            done, _ = await cut_off(offers.offer((who, i)), chance.randint(0, 4))
            if done:
                taken.append((who, i))

    filling = asyncio.gather(*(fill(who) for who in range(4)))
    filling.add_done_callback(lambda _: offers.complete())
    found = await drain_with_cuts(stage, chance.randint(0, 3), 2)
    await filling
    assert sorted(found) == sorted(taken)
    for who in range(4):
        assert [i for one, i in found if one == who] == [i for one, i in taken if one == who]
    await stage.close()


async def test_a_run_that_is_cancelled_refuses_offers_and_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()

    async def talk() -> None:
        async with queue(1).via(flow().map(str)).to(ignore()).start() as running:
            await running.cancel()
            await running.value(SourceQueue).offer(1)

    with pytest.raises(QueueClosed):
        await talk()
    assert asyncio.all_tasks() == before


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="queue needs a size"):
        queue(0)
