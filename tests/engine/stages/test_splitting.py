"""Each element to one of several ways: which one, who holds whom up, ways that end early or fail, tokens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.junction import Branch
from teleporter_lab.engine.marks import NoSuchWay
from teleporter_lab.engine.run import Materializer, Runtime, Tasks
from teleporter_lab.engine.stages.folding_sinks import fold
from teleporter_lab.engine.stages.sinks import foreach, head, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.stages.splitting import First, spread
from teleporter_lab.engine.supervision import Resume, Retry, StopOnError
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SinkProbe, SourceProbe, pulled

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow


async def passes(n: int = 30) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def echo(x: Any) -> Any:
    await asyncio.sleep(0)
    return x


# ------------------------------------------------------------------------------------------------------- partition


async def test_each_element_goes_to_the_sink_with_its_number() -> None:
    window = Witness()
    source = SourceProbe([[0, 1, 2], [3], [4, 5, 6, 7, 8, 9]], window=window)
    sinks = (to_list(), flow().map_async(2, echo).to(to_list()), fold(0, lambda a, x: a + x))
    graph = source.as_source().partition(*sinks, by=lambda x: x % 3)
    assert await graph.run() == [[0, 3, 6, 9], [1, 4, 7], 2 + 5 + 8]
    window.check_all_settled()
    assert window.ledger().expanded == 0
    assert source.closes == 1


async def test_a_number_that_no_sink_has_counts_as_the_failure_of_its_element() -> None:
    window = Witness()
    source = SourceProbe([[0, 1, 2, -1, True]], window=window)
    found = await source.as_source().partition(to_list(), to_list(), by=lambda x: x).run(supervisor=Resume())
    assert found == [[0], [1, True]]
    assert window.ledger().skipped == 2
    window.check_all_settled()
    with pytest.raises(NoSuchWay, match="no way 2: the function has to give a number from 0 to 1") as caught:
        await iterate([0, 2]).partition(ignore(), ignore(), by=int).run()
    assert caught.value.__notes__ == ["In partition(int), on the element 2"]


async def test_a_function_that_fails_is_tried_again() -> None:
    tries: list[int] = []

    def flaky(x: int) -> int:
        tries.append(x)
        if len(tries) == 2:
            raise OSError("away")
        return x % 2

    graph = iterate(range(4)).partition(to_list(), to_list(), by=flaky)
    assert await graph.run(supervisor=Retry(1)) == [[0, 2], [1, 3]]
    assert tries == [0, 1, 1, 2, 3]


async def test_a_sink_that_does_not_take_holds_up_the_others_after_one_chunk() -> None:
    source, slow = SourceProbe([[0, 0], [0, 1], [0], [0]]), SinkProbe()
    found: list[int] = []
    graph = source.as_source().partition(foreach(found.append), slow.as_sink(), by=lambda x: x)
    run = asyncio.ensure_future(graph.run())
    await passes()
    assert found == [0, 0, 0], "nothing of its chunk is lost for the first"
    assert source.given == 4
    assert await slow.pull(1) == [1]
    await passes()
    assert found == [0] * 5
    assert await slow.pull(1) is None
    assert await run == [None, None]


async def test_a_sink_that_has_enough_no_longer_gets_its_elements() -> None:
    window = Witness(6)
    source = SourceProbe([list(range(i, i + 3)) for i in range(0, 30, 3)])
    few = flow().map_async(3, echo).take(2).to(to_list())
    graph = source.as_source().source_ack(window).partition(few, to_list(), by=lambda x: x % 2)
    assert await asyncio.wait_for(graph.run(), 5) == [[0, 2], list(range(1, 30, 2))]
    window.check_all_settled()
    source = SourceProbe([[x] for x in range(50)], wait=True)
    firsts = source.as_source().partition(head(), head(), by=lambda x: int(x > 3))
    assert await firsts.run() == [0, 4], "when all have enough nothing more is read"
    assert source.closes == 1


async def test_a_sink_that_fails_fails_the_stream_and_leaves_the_rest_unconfirmed() -> None:
    def bad(x: int) -> int:
        raise OSError("away")

    window = Witness()
    source = SourceProbe([[0], [0, 1, 0], [0]], window=window)
    with pytest.raises(OSError, match="away"):
        await source.as_source().partition(ignore(), flow().map(bad).to(ignore()), by=lambda x: x).run()
    assert window.progress is not None
    assert window.progress.position == 1
    assert window.late == 0


# --------------------------------------------------------------------------------------------------------- balance


async def test_an_element_goes_to_the_first_that_asks_and_many_are_spread() -> None:
    source, sinks = SourceProbe(wait=True), [SinkProbe() for _ in range(3)]
    run = asyncio.ensure_future(source.as_source().balance(*(sink.as_sink() for sink in sinks)).run())
    pulls = [asyncio.ensure_future(sinks[i].pull(9)) for i in (2, 0)]
    await passes()
    source.give([1])
    assert await pulls[0] == [1], "it was the first to ask, and got all there was"
    source.give([2])
    assert await pulls[1] == [2]
    pulls = [asyncio.ensure_future(sink.pull(9)) for sink in sinks]
    await passes()
    source.give([3, 4, 5, 6], END)
    assert [await pull for pull in pulls] == [[3], [4], [5, 6]], "what was read for one was there for two"
    assert await asyncio.gather(*(sink.pull(1) for sink in sinks)) == [None] * 3
    assert await run == [None] * 3


def test_equal_parts_within_what_each_can_take() -> None:
    assert spread(9, [9, 9, 9]) == [3, 3, 3]
    assert spread(8, [9, 9, 9]) == [3, 3, 2]
    assert spread(2, [9, 9, 9]) == [1, 1, 0]
    assert spread(9, [1, 2, 9]) == [1, 2, 6]
    assert spread(3, [1, 1, 1]) == [1, 1, 1]
    assert spread(0, [1]) == [0]


async def test_a_sink_that_never_asks_holds_nobody_up() -> None:
    window = Witness()
    source, idle = SourceProbe([[x] for x in range(30)], window=window), SinkProbe()
    found: list[int] = []
    run = asyncio.ensure_future(source.as_source().balance(idle.as_sink(), foreach(found.append)).run())
    await passes(400)
    assert found == list(range(30))
    await idle.leave()
    await run
    window.check_all_settled()


async def test_what_a_branch_had_not_begun_with_when_it_was_closed_goes_to_the_others() -> None:
    """It was given something after its pull was cancelled, and is closed without another: a timeout above it, say."""
    window = Witness()
    source = SourceProbe(window=window, wait=True)
    async with Runtime() as runtime, Tasks() as tasks:
        m = Materializer(runtime, tasks, StopOnError())
        junction: First[Any] = First(Ahead(source, m.spawn))
        one, other = (Branch[Any](junction, way) for way in m.split(2, goes_on=False))
        cut = asyncio.ensure_future(one.pull(1))
        await passes()
        cut.cancel()
        source.give([3], END)
        await passes()
        waiting = asyncio.ensure_future(other.pull(5))
        await passes()
        assert source.demands == [1, 1]
        assert not waiting.done(), "what the first was given may still come back"
        await one.close()
        chunk = await waiting
        assert chunk is not None
        assert chunk.data == [3]
        chunk.written()
        assert await other.pull(5) is None
        await other.close()
    window.check_all_settled()
    assert source.closes == 1


# ----------------------------------------------------------------------------------------------------------- unzip


async def test_pairs_end_in_two_sinks() -> None:
    window = Witness()
    source = SourceProbe([[(1, "a"), (2, "b")], [[3, "c"]]], window=window)
    graph = source.as_source().unzip(fold(0, lambda a, x: a + x), flow().map(str.upper).to(to_list()))
    assert await graph.run() == (6, ["A", "B", "C"])
    window.check_all_settled()
    assert window.ledger().expanded == 3


async def test_what_is_no_pair_goes_to_neither() -> None:
    source: Any = iterate([(1, "a"), 5, (1, 2, 3), (2, "b")])
    assert await source.unzip(to_list(), to_list()).run(supervisor=Resume()) == ([1, 2], ["a", "b"])
    with pytest.raises(TypeError) as caught:
        await source.unzip(to_list(), to_list()).run()
    assert caught.value.__notes__ == ["In unzip, on the element 5"]


# -------------------------------------------------------------------------------------------------------- balanced


async def test_workers_run_side_by_side() -> None:
    running, most = 0, 0

    async def work(x: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await passes(20)
        running -= 1
        return x

    one_at_a_time = flow().with_attributes(chunk=1).map_async(1, work)
    assert sorted(await iterate(range(40)).balanced(4, one_at_a_time).to(to_list()).run()) == list(range(40))
    assert most == 4


async def test_no_worker_is_asked_for_more_than_its_part() -> None:
    source = SourceProbe([list(range(100))])
    async with pulled(source.as_source().balanced(3, flow().map(str)).take(7)) as stage:
        assert len(await drain(stage, 1000)) == 7
    assert source.given == 7


async def test_a_worker_that_fails_fails_the_stream_and_an_error_from_above_comes_last() -> None:
    async def slow(x: int) -> int:
        for _ in range(x * 10):
            await asyncio.sleep(0)
        return x

    found: list[int] = []
    source = SourceProbe([[5], [1], [2], OSError("lost")])
    with pytest.raises(OSError, match="lost"):
        await source.as_source().balanced(3, flow().map_async(1, slow)).to(foreach(found.append)).run()
    assert sorted(found) == [1, 2, 5]
    with pytest.raises(ZeroDivisionError):
        await iterate([1, 0, 2]).balanced(2, flow().map(lambda x: 1 / x)).to(ignore()).run()
    recovering = SourceProbe([[5], OSError("lost")]).as_source().balanced(2, flow().recover(lambda _: -1))
    assert await recovering.to(to_list()).run() == [5, -1, -1]


async def test_workers_that_all_have_enough_end_it() -> None:
    source = SourceProbe([[x] for x in range(50)], wait=True)
    assert len(await source.as_source().balanced(3, flow().take(2)).to(to_list()).run()) == 6
    assert source.closes == 1


async def test_what_stands_below_or_in_workers_may_split_again() -> None:
    window = Witness()
    side: list[int] = []
    source = SourceProbe([[x, x + 1] for x in range(0, 20, 2)], window=window)
    graph = source.as_source().balanced(3, flow().also_to(foreach(side.append))).also_to(flow().take(2).to(ignore()))
    assert sorted(await graph.to(to_list()).run()) == list(range(20))
    assert sorted(side) == list(range(20))
    window.check_all_settled()


# ------------------------------------------------------------------------------------------------------------ all

ENDS: dict[str, Callable[[Flow[Any, Any], list[Any]], Any]] = {
    "broadcast": lambda source, sinks: source.broadcast(*sinks),
    "balance": lambda source, sinks: source.balance(*sinks),
    "partition": lambda source, sinks: source.partition(*sinks, by=lambda x: x % 2),
}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("again", [False, True], ids=["cancelled once", "cancelled twice"])
async def test_a_run_that_is_cancelled_at_any_step_closes_everything_once(how: str, again: bool) -> None:
    before = asyncio.all_tasks()
    for k in range(1, 60):
        source = SourceProbe([[0, 1], [2, 3], [4]], passes=1, wait=k % 2 == 0)
        run = asyncio.ensure_future(ENDS[how](source.as_source(), [to_list(), flow().grouped(2).to(to_list())]).run())
        await passes(k)
        run.cancel()
        if again:
            await asyncio.sleep(0)
            run.cancel()
        await asyncio.wait((run,))
        await asyncio.sleep(0)
        assert source.closes == 1, f"cancelled after {k} passes"
        assert asyncio.all_tasks() == before, f"cancelled after {k} passes"


@pytest.mark.parametrize("how", ["broadcast", "balance"])
async def test_columns_pass_where_nobody_looks_at_elements(how: str) -> None:
    source = SourceProbe([pa.RecordBatch.from_pydict({"x": list(range(50))})])
    found: list[int] = []
    sink = foreach(lambda row: found.append(row["x"]))
    await ENDS[how](source.as_source(), [flow().to_rows().to(sink), flow().to_rows().to(sink)]).run()
    assert sorted(found) == sorted(list(range(50)) * (2 if how == "broadcast" else 1))


async def test_columns_are_refused_where_elements_are_looked_at() -> None:
    batch = pa.RecordBatch.from_pydict({"x": [1]})
    for name, graph in (
        ("partition", SourceProbe([batch]).as_source().partition(ignore(), by=int)),
        ("unzip", SourceProbe([batch]).as_source().unzip(ignore(), ignore())),
    ):
        with pytest.raises(RowsNeeded, match=name):
            await graph.run()


def test_arguments_are_checked_and_shown() -> None:
    source: Any = iterate(range(3))
    for wrong in (lambda: source.partition(by=int), source.balance, lambda: source.balanced(0, flow())):
        with pytest.raises(ValueError, match="at least one"):
            wrong()
    assert "partition(ignore, to_list)" in repr(source.partition(ignore(), to_list(), by=int))
    assert "balanced(2, map(str))" in repr(source.balanced(2, flow().map(str)))
