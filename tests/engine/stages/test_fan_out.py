"""Several ways out: the speed of the slowest, branches that end early or fail, and tokens shared between them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.graph import Flow, Sink, flow
from teleporter_lab.engine.stage import Terminal
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.supervision import Resume
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SinkProbe, SourceProbe, pulled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from teleporter_lab.engine.ack import Token


async def passes(n: int = 30) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def echo(x: Any) -> Any:
    await asyncio.sleep(0)
    return x


async def test_the_slowest_branch_sets_the_speed_and_the_smallest_demand_the_chunk() -> None:
    source, slow = SourceProbe([list(range(10))]), SinkProbe()
    found: list[int] = []
    run = asyncio.ensure_future(source.as_source().also_to(slow.as_sink()).to(foreach(found.append)).run())
    await passes()
    assert found == []
    assert source.demands == []
    assert await slow.pull(2) == [0]
    await passes()
    assert found == [0, 1], "the chunk of both, and not one element more"
    assert await slow.pull(3) == [1]
    await passes()
    assert found == [0, 1]
    assert await slow.pull(3) == [2, 3, 4]
    await passes()
    assert found == [0, 1, 2, 3, 4]
    assert source.demands == [2, 3]
    run.cancel()
    await asyncio.wait((run,))
    assert source.closes == 1


@pytest.mark.parametrize("wants", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "stage",
    ["nothing", "map_async", "grouped", "map_concat", "grouped_within"],
)
async def test_a_side_sink_that_has_enough_holds_nobody_up(stage: str, wants: int) -> None:
    """Also when operators of its branch still hold records: a small window would fill up with those."""
    stages: dict[str, Any] = {
        "nothing": lambda f: f,
        "map_async": lambda f: f.map_async(4, echo),
        "grouped": lambda f: f.grouped(3),
        "map_concat": lambda f: f.map_concat(lambda x: [x, x, x]),
        "grouped_within": lambda f: f.grouped_within(3, 60.0),
    }
    window = Witness(12)
    source = SourceProbe([list(range(i, i + 4)) for i in range(0, 80, 4)])
    taken: list[Any] = []
    side = stages[stage](flow()).take(wants).to(foreach(taken.append))
    graph = source.as_source().source_ack(window).also_to(side).to(to_list())
    assert await asyncio.wait_for(graph.run(), 5) == list(range(80))
    assert len(taken) == wants
    window.check_all_settled()


async def test_a_branch_that_is_cut_off_leaves_its_records_unconfirmed() -> None:
    """The main sink has written all; the side one was cancelled with one in its hands."""
    window, side = Witness(), SinkProbe()
    source = SourceProbe([[1], [2]], window=window, wait=True)
    run = asyncio.ensure_future(source.as_source().also_to(side.as_sink()).to(ignore()).run())
    assert await side.pull(1) == [1]
    chunk = await side.chunk(1)
    assert chunk is not None
    await passes()
    assert window.progress is not None
    assert window.progress.position == 1
    run.cancel()
    await asyncio.wait((run,))
    assert window.progress.position == 1
    assert window.late == 0


async def test_records_in_a_branch_that_failed_stay_unconfirmed() -> None:
    def bad(x: int) -> int:
        if x == 2:
            raise OSError("away")
        return x

    window = Witness()
    source = SourceProbe([[0], [1], [2], [3], [4]], window=window)
    with pytest.raises(OSError, match="away"):
        await source.as_source().also_to(flow().map(bad).to(ignore())).to(ignore()).run()
    assert window.progress is not None
    assert window.progress.position == 2, "two records are confirmed, the third was refused"


async def test_a_branch_that_recovers_stays_refused() -> None:
    def bad(x: int) -> int:
        if x == 1:
            raise OSError("away")
        return x

    window = Witness()
    source = SourceProbe([[0], [1], [2]], window=window)
    side: list[int] = []
    branch = flow().map(bad).recover(lambda _: -1).to(foreach(side.append))
    assert await source.as_source().also_to(branch).to(to_list()).run() == [0, 1, 2]
    assert side == [0, -1]
    assert window.progress is not None
    assert window.progress.position == 1
    assert window.refused == 1


async def test_every_branch_settles_and_the_ledger_adds_up() -> None:
    window = Witness()
    source = SourceProbe([[0, 1, 2], [3, 4], [5, 6, 7, 8, 9]], window=window)

    def odd(x: int) -> int:
        if x % 2:
            raise ValueError(x)
        return x

    results = await (
        source.as_source()
        .broadcast(
            flow().grouped(3).to(to_list()),
            flow().map(odd).map_async(2, echo).to(to_list()),
            flow().map_concat(lambda x: [x] * 3).filter(lambda x: x > 4).to(to_list()),
        )
        .run(supervisor=Resume())
    )
    assert results[0] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert results[1] == [0, 2, 4, 6, 8]
    assert results[2] == [x for x in range(5, 10) for _ in range(3)]
    window.check_all_settled()
    ledger = window.ledger()
    assert (ledger.read, ledger.skipped, ledger.filtered) == (10, 5, 15)


async def test_branches_within_branches() -> None:
    window = Witness(6)
    source = SourceProbe([[x] for x in range(30)])
    inner = flow().also_to(flow().take(3).to(ignore())).map_async(2, echo).take(7).to(ignore())
    graph = source.as_source().source_ack(window).also_to(inner).divert_to(ignore(), when=lambda x: x % 2).to(to_list())
    assert await asyncio.wait_for(graph.run(), 5) == list(range(0, 30, 2))
    window.check_all_settled()


async def test_when_all_branches_have_enough_the_source_is_closed() -> None:
    source = SourceProbe([[x] for x in range(100)], wait=True)
    one, other = flow().take(2).to(to_list()), flow().take(5).to(to_list())
    assert await source.as_source().broadcast(one, other).run() == [[0, 1], [0, 1, 2, 3, 4]]
    assert source.closes == 1
    assert source.given <= 6


async def test_the_main_flow_may_have_enough_and_the_side_sink_go_on() -> None:
    window = Witness(4)
    source = SourceProbe([[x] for x in range(20)])
    side: list[int] = []
    graph = source.as_source().source_ack(window).also_to(foreach(side.append)).map_async(3, echo).take(2).to(to_list())
    assert await asyncio.wait_for(graph.run(), 5) == [0, 1]
    assert side == list(range(20))
    window.check_all_settled()


async def test_a_slow_side_branch_bounds_its_own_chunks() -> None:
    """Its chunks are of its own size: those of the main flow are not, and must not be held up or hold the loop."""
    sizes: list[int] = []

    side = SinkProbe()
    source = SourceProbe([list(range(1000))])
    run = asyncio.ensure_future(source.as_source().also_to(side.as_sink()).to(ignore()).run())
    while (chunk := await side.chunk(1 << 30)) is not None:
        sizes.append(len(chunk))
    await run
    assert sizes[:5] == [1, 2, 4, 8, 16], "it begins with one and doubles, although the chunk that came had 1000"


async def test_a_switch_of_channels_within_branches() -> None:
    """Each branch answers for its own channel; the window waits for both, whichever comes first."""
    window = AckWindow(100, channels=2)
    source = SourceProbe([[0, 1], [2]], window=window)
    sinks = [SinkProbe(), SinkProbe()]
    run = asyncio.ensure_future(source.as_source().broadcast(*(sink.as_sink() for sink in sinks)).run())
    pieces: list[list[Token]] = [[], []]
    for _ in range(2):  # the chunk of two comes in two pieces, as each branch begins with one element
        for channel, chunk in enumerate(await asyncio.gather(*(sink.chunk(10) for sink in sinks))):
            assert chunk is not None
            pieces[channel] += [token.switch(channel) for token in chunk.tokens]
    for piece in pieces[1]:
        piece.confirm()
    pieces[0][0].confirm()
    assert window.progress is None
    assert next(window.expired(0.0)).pending == 0b01, "one channel has it all, and would not get it again"
    pieces[0][1].confirm()
    assert window.progress is not None
    assert window.progress.position == 2
    run.cancel()
    await asyncio.wait((run,))


async def test_a_demand_that_shrinks_after_a_cancelled_pull_stalls_nobody() -> None:
    source = SourceProbe([[0, 1, 2, 3]], wait=True, passes=2)
    async with pulled(source.as_source().also_to(ignore())) as stage:
        pull = asyncio.ensure_future(stage.pull(100))
        await passes(3)
        pull.cancel()
        await asyncio.wait((pull,))
        source.give(END)
        assert await asyncio.wait_for(drain(stage, 1), 5) == [0, 1, 2, 3]


async def test_a_side_sink_that_has_enough_and_is_slow_to_store_it_holds_nobody_up() -> None:
    store = asyncio.Event()

    async def slowly(x: int) -> int:
        await store.wait()
        return x

    source = SourceProbe([[x] for x in range(50)])
    found: list[int] = []
    side = flow().take(2).map_async(4, slowly).to(to_list())
    run = asyncio.ensure_future(source.as_source().also_to(side).to(foreach(found.append)).run())
    await passes(400)
    assert found == list(range(50))
    assert not run.done()
    store.set()
    await run


async def test_a_branch_that_splits_again_waits_for_all_of_its_sinks() -> None:
    """Its main sink has enough; the records that its side sink holds are not confirmed before that has stored them."""
    window, slow = Witness(), SinkProbe()
    source = SourceProbe([[1], [2], [3]], window=window)
    side = flow().also_to(slow.as_sink()).take(1).to(ignore())
    run = asyncio.ensure_future(source.as_source().also_to(side).to(ignore()).run())
    chunk = await slow.chunk(1)
    assert chunk is not None
    await passes()
    assert window.progress is None
    chunk.written()
    assert [await slow.pull(1), await slow.pull(1), await slow.pull(1)] == [[2], [3], None]
    await run
    window.check_all_settled()


async def test_pieces_that_switched_channels_are_counted_when_the_branch_leaves_them_out() -> None:
    window = Witness(100, channels=2)
    source = SourceProbe([[0, 1, 2, 3]], window=window)
    sinks = [SinkProbe(), SinkProbe()]
    run = asyncio.ensure_future(source.as_source().broadcast(*(sink.as_sink() for sink in sinks)).run())
    for written in ([0, 1], [1], [1]):  # the first sink keeps two pieces of one chunk
        for channel, chunk in enumerate(await asyncio.gather(*(sink.chunk(4) for sink in sinks))):
            assert chunk is not None
            chunk.tokens = tuple(token.switch(channel) for token in chunk.tokens)
            if channel in written:
                chunk.written()
    await sinks[0].leave()
    assert await sinks[1].pull(1) is None
    await run
    window.check_all_settled()


class By(Terminal[Any]):
    """A sink that is driven by `work` and closes what is above it at once."""

    def __init__(self, upstream: Any, work: Callable[[Any], Awaitable[Any]]) -> None:
        self._upstream = upstream
        self._work = work

    async def run(self) -> Any:
        try:
            return await self._work(self._upstream)
        finally:
            await self._upstream.close()


async def test_a_sink_whose_task_never_began_leaves_nothing_open() -> None:
    """The main sink fails in the very pass of the loop in which a side sink splits into two."""
    go, split = asyncio.Event(), asyncio.Event()

    async def fails(_: Any) -> None:
        await split.wait()
        raise OSError("away")

    def late(m: Any, upstream: Any) -> Terminal[Any]:
        inner: Any = flow().broadcast(ignore(), ignore())
        both = inner.attach(m, upstream)

        async def work(_: Any) -> Any:
            await go.wait()
            split.set()
            return await both.run()

        return By(_Open(), work)

    class _Open:
        async def close(self) -> None:
            """The two sinks close what is above them."""

    source = SourceProbe([[1]], wait=True)
    main: Sink[Any, Any] = Sink("fails", lambda _, up: By(up, fails))
    run = asyncio.ensure_future(source.as_source().also_to(Sink("late", late)).to(main).run())
    await passes(3)
    go.set()
    with pytest.raises(OSError, match="away"):
        await asyncio.wait_for(run, 5)
    assert source.closes == 1


async def test_a_sink_that_was_cancelled_by_nobody_fails_the_stream() -> None:
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    side: Sink[Any, Any] = Sink("lost", lambda _, up: By(up, lambda _: lost))
    run = asyncio.ensure_future(SourceProbe([[1], [2]]).as_source().also_to(side).to(to_list()).run())
    await passes(3)
    lost.cancel()
    with pytest.raises(RuntimeError, match="cancelled by somebody else"):
        await asyncio.wait_for(run, 5)


@pytest.mark.parametrize("side", ["plain", "split", "several"])
async def test_an_error_from_above_is_left_to_whoever_recovers_below(side: str) -> None:
    sinks: dict[str, list[Any]] = {
        "plain": [ignore()],
        "split": [flow().broadcast(ignore(), ignore(), ignore())],
        "several": [ignore(), flow().also_to(ignore()).to(ignore())],
    }
    source = SourceProbe([[1], OSError("lost")])
    graph = source.as_source().also_to(*sinks[side]).recover(lambda _: -1).to(to_list())
    assert await asyncio.wait_for(graph.run(), 5) == [1, -1]
    assert source.closes == 1


async def test_an_error_from_above_that_the_main_flow_never_sees_fails_the_stream() -> None:
    source = SourceProbe([[1], OSError("lost")], wait=True)
    with pytest.raises(OSError, match="lost"):
        await asyncio.wait_for(source.as_source().also_to(ignore()).take(1).to(to_list()).run(), 5)


async def test_one_sink_of_a_broadcast_may_recover_and_the_others_still_fail_it() -> None:
    saved: list[int] = []
    recovering: Sink[Any, Any] = flow().recover(lambda _: -1).to(foreach(saved.append))
    for sinks in ((recovering, ignore()), (ignore(), recovering)):
        with pytest.raises(OSError, match="lost"):
            await asyncio.wait_for(SourceProbe([[1], OSError("lost")]).as_source().broadcast(*sinks).run(), 5)
    saved.clear()
    both = SourceProbe([[1], OSError("lost")]).as_source().broadcast(recovering, recovering)
    assert await both.run() == [None, None]
    assert sorted(saved) == [-1, -1, 1, 1]


def test_a_broadcast_has_sinks() -> None:
    with pytest.raises(ValueError, match="at least one sink"):
        Flow[Any, Any]().broadcast()
