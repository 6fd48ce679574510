"""Streams that meet in hubs: who comes and goes when, who waits for whom, what becomes of tokens and of failures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.hubs import BroadcastHub, HubClosed, HubStatistics, MergeHub, PartitionHub
from teleporter_lab.engine.marks import NoSuchWay
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume
from teleporter_lab.testing.laws import Witness, drain_with_cuts
from teleporter_lab.testing.probes import END, SinkProbe, SourceProbe, pulled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def passes(n: int = 30) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def begun(run: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A run that has come to where it waits."""
    task = asyncio.ensure_future(run)
    await passes()
    return task


async def stopped(*runs: asyncio.Task[Any]) -> None:
    for run in runs:
        run.cancel()
    await asyncio.wait(runs)


def soon(run: asyncio.Task[Any]) -> Any:
    return asyncio.wait_for(run, 5)


# ------------------------------------------------------------------------------------------------------- MergeHub


async def test_streams_come_and_go_and_the_source_gives_what_they_gave() -> None:
    hub: MergeHub[Any] = MergeHub()
    found: list[Any] = []
    receiving = await begun(hub.source().to(foreach(found.append)).run())
    for text in ("abc", "de"):
        await iterate(text).to(hub.sink()).run()
    late = await begun(SourceProbe([["f"]], wait=True).as_source().to(hub.sink()).run())
    assert "".join(found) == "abcdef"
    hub.complete()
    await passes()
    assert not receiving.done(), "one of them still runs"
    with pytest.raises(HubClosed, match="takes no more streams"):
        await iterate("x").to(hub.sink()).run()
    await stopped(late)
    await soon(receiving)
    assert hub.statistics() == HubStatistics(0, 0, 0)


async def test_they_take_turns_and_each_waits_when_it_has_given_enough() -> None:
    hub: MergeHub[int] = MergeHub(size=3)
    sources = [SourceProbe([[i] * 100]) for i in range(3)]
    runs = [await begun(source.as_source().to(hub.sink()).run()) for source in sources]
    assert [source.given for source in sources] == [3, 3, 3], "also when nobody takes it yet"
    assert hub.statistics() == HubStatistics(3, 0, 9)
    async with pulled(hub.source()) as stage:
        found: list[int] = []
        for _ in range(60):
            chunk = await stage.pull(1)
            assert chunk is not None
            found += chunk.data
            await passes(3)
    assert [found.count(i) for i in range(3)] == [20, 20, 20]
    for run in runs:
        with pytest.raises(HubClosed, match="has ended, failed or was cancelled"):
            await soon(run)
    assert [source.closes for source in sources] == [1, 1, 1]


async def test_a_run_ends_when_all_that_it_gave_was_taken() -> None:
    hub: MergeHub[int] = MergeHub()
    giving = await begun(iterate([1, 2]).to(hub.sink()).run())
    assert not giving.done()
    async with pulled(hub.source()) as stage:
        assert await stage.pull(5) is not None
        assert await stage.pull(5) is not None
        await soon(giving)


async def test_a_drain_ends_streams_that_wait_and_what_was_given_goes_on() -> None:
    hub: MergeHub[int] = MergeHub(size=2)
    idle, full = SourceProbe([[1]], wait=True), SourceProbe([[2, 3, 4, 5]])
    runs = [await begun(source.as_source().to(hub.sink()).run()) for source in (idle, full)]
    hub.drain()
    assert sorted(await hub.source().to(to_list()).run()) == [1, 2, 3]
    for run in runs:
        await soon(run)
    assert (idle.closes, full.closes) == (1, 1)


@pytest.mark.parametrize("how", ["fails", "is cancelled", "has enough"])
async def test_when_the_receiving_stream_ends_nobody_hangs_and_what_it_held_is_unconfirmed(how: str) -> None:
    def bad(x: int) -> int:
        if x == 1:
            raise OSError("away")
        return x

    hub: MergeHub[Any] = MergeHub()
    window = Witness()
    idle = SourceProbe([[0], [1], [2]], window=window, wait=True)
    giving = await begun(idle.as_source().to(hub.sink()).run())
    below: Any = {"fails": flow().map(bad), "is cancelled": flow(), "has enough": flow().take(1)}[how]
    taken = SinkProbe()
    receiving = asyncio.ensure_future(hub.source().via(below).to(taken.as_sink()).run())
    assert await taken.pull(1) == [0]
    if how == "fails":
        with pytest.raises(OSError, match="away"):
            await taken.pull(1)
    elif how == "is cancelled":
        assert await taken.chunk(1) is not None
        receiving.cancel()
    else:
        assert await taken.pull(1) is None
    await asyncio.wait((receiving,))
    with pytest.raises(HubClosed):
        await soon(giving)
    assert window.progress is not None
    assert window.progress.position == 1
    assert window.late == 0
    assert idle.closes == 1
    with pytest.raises(HubClosed):
        await iterate("x").to(hub.sink()).run()
    assert hub.statistics() == HubStatistics(0, 0, 0)


async def test_a_stream_that_fails_or_is_cancelled_does_not_concern_the_others() -> None:
    hub: MergeHub[Any] = MergeHub()
    found: list[Any] = []
    waiting = await begun(SourceProbe([[1]], wait=True).as_source().to(hub.sink()).run())
    with pytest.raises(OSError, match="lost"):
        await SourceProbe([[2], OSError("lost")]).as_source().to(hub.sink()).run()
    await stopped(waiting)
    receiving = await begun(hub.source().to(foreach(found.append)).run())
    assert sorted(found) == [1, 2], "what was given is given"
    hub.complete()
    await soon(receiving)


async def test_the_receiving_stream_settles_the_records_of_all_that_give() -> None:
    hub: MergeHub[int] = MergeHub()
    windows = [Witness(4), Witness(4)]
    receiving = await begun(hub.source().grouped(3).to(to_list()).run())
    sources = [iterate(range(i, 30, 2)) for i in range(2)]
    probes = [SourceProbe([[x, x + 1] for x in range(0, 20, 2)]) for _ in sources]
    for window, probe in zip(windows, probes, strict=True):
        await soon(asyncio.ensure_future(probe.as_source().source_ack(window).map(str).to(hub.sink()).run()))
    hub.complete()
    assert sum(map(len, await soon(receiving))) == 40
    for window in windows:
        assert window.room == window.size
        assert window.ledger().in_flight == 0


async def test_a_merge_hub_has_one_source() -> None:
    hub: MergeHub[int] = MergeHub()
    receiving = await begun(hub.source().to(ignore()).run())
    with pytest.raises(HubClosed, match="one source"):
        await hub.source().to(ignore()).run()
    assert hub.statistics().takers == 1, "the refused one has closed nothing"
    hub.complete()
    await soon(receiving)


# --------------------------------------------------------------------------------------------------- BroadcastHub


async def test_a_late_listener_gets_what_comes_from_then_on() -> None:
    hub: BroadcastHub[int] = BroadcastHub()
    source = SourceProbe(wait=True)
    giving = await begun(source.as_source().to(hub.sink()).run())
    assert source.demands == [], "while nobody listens nothing is read"
    first = await begun(hub.source().to(to_list()).run())
    source.give([1])
    await passes()
    second = await begun(hub.source().take(1).to(to_list()).run())
    source.give([2])
    assert await soon(second) == [2]
    assert hub.statistics() == HubStatistics(1, 1, 0)
    source.give([3], END)
    assert await soon(first) == [1, 2, 3]
    await soon(giving)
    assert await hub.source().to(to_list()).run() == [], "it is over"
    assert source.closes == 1


async def test_the_slowest_listener_is_back_pressure_until_it_leaves() -> None:
    hub: BroadcastHub[int] = BroadcastHub(size=4)
    source, slow = SourceProbe([[x] for x in range(100)]), SinkProbe()
    found: list[int] = []
    listening = [
        await begun(hub.source().to(slow.as_sink()).run()), await begun(hub.source().to(foreach(found.append)).run())
    ]  # fmt: skip
    assert hub.statistics().takers == 1, "it listens from its first pull"
    giving = asyncio.ensure_future(source.as_source().to(hub.sink()).run())
    assert await slow.pull(1) is not None
    await passes(100)
    assert 4 < len(found) < 100
    await slow.leave()
    await asyncio.gather(giving, *listening)
    assert found == list(range(100))


async def test_it_may_wait_for_several_and_drop_what_nobody_hears() -> None:
    hub: BroadcastHub[int] = BroadcastHub(start_after=2)
    giving = await begun(iterate(range(5)).to(hub.sink()).run())
    listening = [await begun(hub.source().to(to_list()).run())]
    assert not giving.done()
    listening.append(await begun(hub.source().to(to_list()).run()))
    assert await asyncio.gather(*listening) == [list(range(5))] * 2
    window = Witness()
    source = SourceProbe([[1, 2], [3]], window=window)
    await source.as_source().to(BroadcastHub(alone="drop").sink()).run()
    window.check_all_settled()
    assert window.ledger().filtered == 3


async def test_every_listener_answers_for_what_it_got_and_leaves_out_what_it_does_not_want() -> None:
    async def echo(x: int) -> int:
        await asyncio.sleep(0)
        return x

    hub: BroadcastHub[int] = BroadcastHub(size=8)
    window = Witness(8)
    source = SourceProbe([[x, x + 1] for x in range(0, 40, 2)])
    lists = [
        await begun(hub.source().via(below).to(to_list()).run())
        for below in (flow(), flow().filter(lambda x: x % 2), flow().map_async(4, echo).take(5), flow().grouped(3))
    ]
    await soon(asyncio.ensure_future(source.as_source().source_ack(window).to(hub.sink()).run()))
    found = await asyncio.gather(*lists)
    assert [len(each) for each in found] == [40, 20, 5, 14]
    window.check_all_settled()


async def test_what_a_listener_held_that_failed_stays_unconfirmed_and_the_others_go_on() -> None:
    def bad(x: int) -> int:
        if x == 2:
            raise OSError("away")
        return x

    hub: BroadcastHub[int] = BroadcastHub()
    window = Witness()
    fails, listens = (
        await begun(hub.source().map(bad).to(ignore()).run()),
        await begun(hub.source().to(to_list()).run()),
    )
    await SourceProbe([[x] for x in range(5)], window=window).as_source().to(hub.sink()).run()
    assert await soon(listens) == list(range(5))
    with pytest.raises(OSError, match="away"):
        await fails
    assert window.progress is not None
    assert window.progress.position == 2
    assert window.late == 0


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
async def test_when_the_giving_stream_fails_listeners_get_what_it_gave_and_an_error(how: str) -> None:
    hub: BroadcastHub[int] = BroadcastHub()
    source, listener = SourceProbe([[1]], wait=True), SinkProbe()
    listening = asyncio.ensure_future(hub.source().to(listener.as_sink()).run())
    giving = await begun(source.as_source().to(hub.sink()).run())
    assert await listener.pull(1) == [1]
    asked = asyncio.ensure_future(listener.pull(1))
    await passes()
    if how == "fails":
        source.give([2], OSError("lost"))
        assert await asked == [2]
        asked = asyncio.ensure_future(listener.pull(1))
        with pytest.raises(OSError, match="lost"):
            await giving
    else:
        await stopped(giving)
    with pytest.raises(HubClosed, match="has failed or was stopped"):
        await soon(asked)
    with pytest.raises(HubClosed):
        await listening
    with pytest.raises(HubClosed):
        await hub.source().to(ignore()).run()


@pytest.mark.parametrize("hub", [BroadcastHub(), PartitionHub(lambda n, _: n - 1)], ids=["broadcast", "partition"])
async def test_a_hub_with_listeners_has_one_sink(hub: Any) -> None:
    giving = await begun(SourceProbe(wait=True).as_source().to(hub.sink()).run())
    with pytest.raises(HubClosed, match="one sink"):
        await iterate("a").to(hub.sink()).run()
    await stopped(giving)


# --------------------------------------------------------------------------------------------------- PartitionHub


async def test_each_element_goes_to_the_listener_that_is_chosen_among_those_there() -> None:
    hub: PartitionHub[int] = PartitionHub(lambda listeners, x: x % listeners, start_after=2)
    window = Witness()
    source = SourceProbe([[0, 1, 2], [3]], window=window, wait=True)
    first, second = [await begun(hub.source().to(to_list()).run()) for _ in range(2)]
    giving = await begun(source.as_source().to(hub.sink()).run())
    third = await begun(hub.source().to(to_list()).run())
    source.give([4, 5, 6, 7, 8], END)
    await soon(giving)
    assert await asyncio.gather(first, second, third) == [[0, 2, 6], [1, 3, 4, 7], [5, 8]]
    window.check_all_settled()


async def test_a_wrong_number_goes_through_the_rules_of_the_giving_stream() -> None:
    for rules in (None, Resume()):
        hub: PartitionHub[int] = PartitionHub(lambda _, x: x)
        listening = await begun(hub.source().to(to_list()).run())
        giving = asyncio.ensure_future(iterate([0, 1, 0]).to(hub.sink()).run(supervisor=rules))
        if rules is None:
            with pytest.raises(NoSuchWay, match="no way 1"):
                await soon(giving)
            with pytest.raises(HubClosed):
                await soon(listening)
        else:
            await soon(giving)
            assert await soon(listening) == [0, 0]


async def test_while_nobody_listens_it_waits_and_what_was_read_is_kept() -> None:
    hub: PartitionHub[int] = PartitionHub(lambda listeners, x: x % listeners)
    source = SourceProbe(wait=True)
    giving = await begun(source.as_source().to(hub.sink()).run())
    leaving = await begun(hub.source().to(ignore()).run())
    assert len(source.demands) == 1
    await stopped(leaving)
    source.give([1, 2], END)
    await passes()
    assert await hub.source().take(2).to(to_list()).run() == [1, 2]
    await soon(giving)


# ------------------------------------------------------------------------------------------------------------ laws

LISTENED: dict[str, Callable[[], Any]] = {
    "merge": MergeHub, "broadcast": BroadcastHub, "partition": lambda: PartitionHub(lambda _, x: 0)
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTENED)
@pytest.mark.parametrize("often", [1, 3])
async def test_a_cancelled_pull_loses_and_doubles_nothing(kind: str, often: int) -> None:
    for cut in range(9):
        hub, window = LISTENED[kind](), Witness()
        source = SourceProbe([[0, 1], [2, 3, 4], [5]], window=window, passes=cut % 3)
        giving = asyncio.ensure_future(source.as_source().to(hub.sink()).run())
        giving.add_done_callback(lambda _, hub=hub: getattr(hub, "complete", list)())
        async with pulled(hub.source()) as stage:
            assert await drain_with_cuts(stage, cut, often) == list(range(6))
        await soon(giving)
        window.check_all_settled()


@pytest.mark.parametrize("kind", LISTENED)
@pytest.mark.parametrize("side", ["giving", "taking"])
async def test_whoever_is_cancelled_at_any_step_leaves_nobody_waiting(kind: str, side: str) -> None:
    before = asyncio.all_tasks()
    for k in range(1, 40):
        hub, source = LISTENED[kind](), SourceProbe([[0, 1], [2]], passes=1)
        runs = {"taking": asyncio.ensure_future(hub.source().to(to_list()).run())}
        runs["giving"] = asyncio.ensure_future(source.as_source().to(hub.sink()).run())
        await passes(k)
        await stopped(runs[side])
        if kind == "merge":
            hub.complete()
        elif side == "taking":
            runs["again"] = asyncio.ensure_future(hub.source().to(ignore()).run())
        await asyncio.wait_for(asyncio.wait(runs.values()), 5)
        await asyncio.gather(*runs.values(), return_exceptions=True)
        assert source.closes == 1, f"cancelled after {k} passes"
        assert asyncio.all_tasks() == before, f"cancelled after {k} passes"


def test_arguments_are_checked() -> None:
    for wrong in (lambda: MergeHub(0), lambda: BroadcastHub(size=0), lambda: PartitionHub(max, size=-1)):
        with pytest.raises(ValueError, match="size of 1 or more"):
            wrong()
    with pytest.raises(ValueError, match="0 listeners or more"):
        BroadcastHub(start_after=-1)
    with pytest.raises(ValueError, match="wait or drop"):
        BroadcastHub(alone="fail")  # type: ignore[arg-type]
    assert "broadcast_hub" in repr(BroadcastHub[int]().source())
