"""Acks at the source, in virtual time: back-pressure by the window, and what is delivered again, when and to whom."""

from __future__ import annotations

import asyncio

import pytest

from teleporter_lab.engine.chunk import Chunk, join
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import ignore
from teleporter_lab.engine.supervision import Action, Decision
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness, cut_off
from teleporter_lab.testing.probes import SinkProbe, SourceProbe, pulled
from tests.engine.ack_bench import AGE, Rule, bench


async def test_a_full_window_is_back_pressure_and_goes_on_when_there_is_room() -> None:
    window = Witness(5)
    source = SourceProbe([list(range(20))])
    async with pulled(source.as_source().source_ack(window)) as stage:
        first, second = await stage.pull(3), await stage.pull(10)
        assert first is not None
        assert second is not None
        assert (len(first), len(second)) == (3, 2)
        third = asyncio.ensure_future(stage.pull(10))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not third.done()
        assert source.given == 5
        second.written()
        await asyncio.sleep(0)
        assert not third.done(), "the first is still in the way"
        first.written()
        chunk = await third
        assert chunk is not None
        assert chunk.data == [5, 6, 7, 8, 9]
        chunk.written()


async def test_a_pull_that_waits_for_room_may_be_cancelled() -> None:
    window = Witness(2)
    source = SourceProbe([list(range(4))])
    async with pulled(source.as_source().source_ack(window)) as stage:
        first = await stage.pull(9)
        assert first is not None
        for _ in range(2):
            waiting = asyncio.ensure_future(stage.pull(9))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait((waiting,))
        first.written()
        chunk = await stage.pull(9)
        assert chunk is not None
        assert chunk.data == [2, 3]
        chunk.written()
    window.check_all_settled()


async def test_whoever_listens_to_the_window_goes_on_hearing() -> None:
    heard: list[int] = []
    window = Witness(4)
    window.on_change = lambda: heard.append(window.room)
    await SourceProbe([[1, 2], [3]]).as_source().source_ack(window).to(ignore()).run()
    assert heard == [4, 4]


async def test_what_is_not_confirmed_in_time_goes_out_again_before_anything_new() -> None:
    async with bench([[1, 2], [3], [4]]) as b:
        lost = await b.pull()
        await b.clock.advance(1.0)
        kept = await b.pull()
        await b.clock.advance(AGE - 1.0)
        again = await b.pull()
        assert (lost.data, again.data, again.tokens[0].span.tries) == ([1, 2], [1, 2], 2)
        again.written()
        kept.written()
        lost.written()
        assert (b.written, b.window.late, b.window.redelivered) == (3, 1, 1)
        assert (await b.pull()).data == [4]


async def test_the_timer_runs_while_something_is_unconfirmed_and_at_no_other_time() -> None:
    async with bench([[1], [2]]) as b:
        assert b.clock.timers == []
        first = await b.pull()
        await b.clock.advance(10.0)
        second = await b.pull()
        assert b.clock.timers == [AGE]
        first.written()
        await b.clock.advance(AGE - 10.0)
        assert b.clock.timers == [AGE + 10.0], "the oldest deadline is that of the second record now"
        second.written()
        await b.clock.advance(10.0)
        assert b.clock.timers == []
        assert b.window.redelivered == 0


async def test_a_stream_without_a_maximal_age_has_no_timer() -> None:
    async with bench([[1]], age=float("inf")) as b:
        await b.pull()
        await b.clock.advance(1e9)
        assert b.clock.timers == []
        assert len(asyncio.all_tasks()) == 1


async def test_a_pull_that_waits_for_the_source_is_woken_and_the_source_loses_nothing() -> None:
    async with bench([[1]]) as b:
        (await b.pull()).tokens[0].retain()
        waiting = await b.waiting()
        await b.clock.advance(AGE)
        assert (await waiting).data == [1]
        waiting = await b.waiting()
        b.source.give([2])
        assert (await waiting).data == [2]


async def test_a_full_window_delivers_again_and_then_goes_on() -> None:
    """The ancestor looked at the age only when something else happened: one lost message hung the stream for good."""
    async with bench([[1, 2, 3, 4]], Witness(2)) as b:
        assert (await b.pull()).data == [1, 2]
        waiting = await b.waiting()
        await b.clock.advance(AGE - 1.0)
        assert not waiting.done()
        await b.clock.advance(1.0)
        again = await waiting
        assert again.data == [1, 2]
        again.written()
        assert (await b.pull()).data == [3, 4]


async def test_a_delivery_counts_and_its_time_begins_anew() -> None:
    async with bench([[1]]) as b:
        await b.pull()
        for tries in range(2, 6):
            waiting = await b.waiting()
            await b.clock.advance(AGE - 1.0)
            assert not waiting.done()
            await b.clock.advance(1.0)
            assert (await waiting).tokens[0].span.tries == tries


@pytest.mark.parametrize("n", [1, 2, 3, 7])
async def test_a_delivery_is_cut_to_the_demand(n: int) -> None:
    async with bench([list(range(7)), [7]]) as b:
        await b.pull()
        await b.clock.advance(AGE)
        found: list[int] = []
        while len(found) < 7:
            chunk = await b.pull(n)
            found += chunk.data
            chunk.written()
        assert found == list(range(7))
        assert (await b.pull(n)).data == [7]
        assert b.written == 7


async def test_the_rest_of_a_delivery_that_is_too_old_itself_is_not_given() -> None:
    async with bench([[1, 2, 3]]) as b:
        await b.pull()
        await b.clock.advance(AGE)
        assert (await b.pull(1)).data == [1]
        await b.clock.advance(AGE)
        found: list[int] = []
        while len(found) < 3:
            chunk = await b.pull(2)
            assert chunk.tokens[0].span.tries in (2, 3)
            if chunk.tokens[0].span.tries == 3 and chunk.tokens[0].generation == 2:
                found += chunk.data
                chunk.written()
        assert found == [1, 2, 3]
        assert b.written == 3


async def test_what_is_confirmed_before_it_is_taken_does_not_go_out_again() -> None:
    async with bench([[1], [2]]) as b:
        slow = await b.pull()
        await b.clock.advance(AGE)
        slow.written()
        assert (await b.pull()).data == [2]
        assert b.window.redelivered == 0


@pytest.mark.parametrize("passes", range(7))
async def test_a_pull_cancelled_at_any_moment_loses_no_delivery(passes: int) -> None:
    async with bench([[1, 2], [3]], rule=Rule(Action.RETRY)) as b:
        (await b.pull()).nack(OSError("no"))
        found: list[int] = []
        for _ in range(12):
            done, chunk = await cut_off(b.stage.pull(1), passes)
            if done:
                chunk.written()
                found += chunk.data
        while b.written < 3:
            chunk = await b.pull(1)
            chunk.written()
            found += chunk.data
        assert found == [1, 2, 3]


async def test_a_pull_that_is_woken_and_cancelled_at_once_is_cancelled() -> None:
    async with bench([[1]], rule=Rule(Action.RESUME)) as b:
        chunk = await b.pull()
        waiting = await b.waiting()
        chunk.nack(OSError("no"))
        waiting.cancel()
        await asyncio.wait((waiting,))
        assert waiting.cancelled()


# ---- the end


async def test_the_end_waits_for_what_is_to_be_delivered_again_and_for_nothing_else() -> None:
    async with bench([[1], [2]], rule=Rule(Decision(Action.RETRY, 5.0)), wait=False) as b:
        (await b.pull()).nack(OSError("no"))
        slow = await b.pull()
        ending = await b.waiting()
        assert not ending.done()
        await b.clock.advance(5.0)
        (await ending).written()
        assert not b.window.exhausted
        assert await b.stage.pull(9) is None
        assert b.window.exhausted
        await b.clock.advance(10 * AGE)
        assert await b.stage.pull(9) is None, "the end stays"
        assert b.clock.timers == []
        slow.written()
        assert b.written == 2


async def test_an_error_of_the_source_comes_out_as_before() -> None:
    async with bench([[1], OSError("lost")]) as b:
        (await b.pull()).written()
        for _ in range(2):
            with pytest.raises(OSError, match="lost"):
                await b.pull()


# ---- channels


async def test_only_the_channels_that_have_not_confirmed_get_it_again() -> None:
    window, clock = Witness(10, channels=2), FakeClock()
    source = SourceProbe([[1], [2]], wait=True)
    left, right = SinkProbe(), SinkProbe()
    graph = (
        source.as_source()
        .source_ack(window, AGE)
        .also_to(flow().switch_channel(1).to(right.as_sink()))
        .switch_channel(0)
        .to(left.as_sink())
    )
    run = asyncio.ensure_future(graph.run(Runtime(clock)))
    lost, kept = await asyncio.gather(left.chunk(9), right.chunk(9))
    assert lost is not None
    assert kept is not None
    kept.written()
    assert await asyncio.gather(left.pull(9), right.pull(9)) == [[2], [2]]
    more = [asyncio.ensure_future(left.pull(9)), asyncio.ensure_future(right.pull(9))]
    await clock.advance(AGE)
    assert [pull.done() for pull in more] == [True, False], "the right one has it already"
    assert more[0].result() == [1]
    lost.written()
    assert window.progress is not None
    assert (window.progress.position, window.progress.ledger.in_flight) == (2, 0)
    assert (window.progress.ledger.written, window.late) == (4, 1)
    run.cancel()
    await asyncio.wait((run, *more))


async def test_a_chunk_that_only_one_of_its_records_needs_goes_to_the_channel_as_a_whole() -> None:
    """Joined above the channel, so that nobody can tell the records apart: both have to be confirmed again."""
    window = Witness(10, channels=2)
    first = window.open(1, 1, 0.0)
    first.retain()
    first.switch(0).confirm()
    first.switch(1)
    again = window.redeliver(next(window.unconfirmed()), 1.0)
    assert (again.wants(0), again.wants(1)) == (False, True)
    whole = join([Chunk([1], (again,)), Chunk([2], (window.open(1, 2, 0.0),))])
    for token in whole.tokens:
        token.retain()
    whole.tokens[-1].account("expanded", 2)
    left, right = (Chunk(whole.data, tuple(token.switch(i) for token in whole.tokens)) for i in range(2))
    right.written()
    assert window.progress is None, "its channel 0 has a piece on its way again"
    left.written()
    assert window.progress is not None
    assert window.progress.position == 2
