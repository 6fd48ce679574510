"""Started again: after which failures, after how long, with what in place; and what stays un-confirmed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.backoff import Backoff
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.restarting import restart_flow, restart_sink, restart_source
from teleporter_lab.engine.stages.sinks import foreach, head, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate, single
from teleporter_lab.engine.stages.writing import write_to
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness, cut_off, drain_with_cuts
from teleporter_lab.testing.probes import SinkProbe, SourceProbe, pulled
from tests.engine.stages.restarts import AWAY, BACKOFF, bad, failing_once, in_time

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Sink, Source


class Probes:
    """Makes one source after the other, as the scripts say."""

    def __init__(self, *scripts: list[Any], **options: Any) -> None:
        self.made: list[SourceProbe] = []
        self._scripts = list(scripts)
        self._options = options

    def __call__(self) -> Source[Any]:
        self.made.append(SourceProbe(self._scripts[len(self.made)], **self._options))
        return self.made[-1].as_source()

    @property
    def closes(self) -> list[int]:
        return [probe.closes for probe in self.made]


# ------------------------------------------------------------------------------------------------------------- sources


async def test_a_source_that_fails_is_made_anew_after_a_growing_delay() -> None:
    probes = Probes([[1], AWAY], [AWAY], [[2, 3], AWAY], [[4]])
    found, clock = await in_time(restart_source(BACKOFF, probes).to(to_list()))
    assert found == [1, 2, 3, 4]
    assert clock.sleeps == [1.0, 2.0, 4.0]
    assert probes.closes == [1, 1, 1, 1]


async def test_it_ends_with_the_source_or_begins_again() -> None:
    found, clock = await in_time(restart_source(BACKOFF, Probes([[1]], [[2]])).to(to_list()))
    assert (found, clock.sleeps) == ([1], [])
    probes = Probes([[1]], [AWAY], [[2]], [[3, 4]])
    found, clock = await in_time(restart_source(BACKOFF, probes, on="end").take(3).to(to_list()))
    assert found == [1, 2, 3]
    assert clock.sleeps == [1.0, 2.0, 4.0]
    assert probes.closes == [1, 1, 1, 1]
    few = Backoff(1.0, 10.0, max_restarts=1)
    found, _ = await in_time(restart_source(few, Probes([[1]], [[2]], [[3]]), on="end").to(to_list()))
    assert found == [1, 2]


async def test_it_gives_up_with_the_last_error() -> None:
    few = Backoff(1.0, 10.0, max_restarts=2)
    errors = [OSError(str(i)) for i in range(3)]
    with pytest.raises(OSError, match="2"):
        await in_time(restart_source(few, Probes(*([error] for error in errors))).to(to_list()))
    with pytest.raises(KeyError):
        await in_time(restart_source(Backoff(1.0, 2.0, when=OSError), Probes([AWAY], [KeyError("k")])).to(ignore()))


async def test_the_count_begins_anew_when_it_has_run_for_long() -> None:
    clock = FakeClock()
    few = Backoff(1.0, 60.0, jitter=0.0, max_restarts=1, within_seconds=5.0)
    probes = Probes(*([] for _ in range(4)), wait=True)
    async with Runtime(clock) as runtime:
        run = asyncio.ensure_future(restart_source(few, probes).to(ignore()).run(runtime))
        for i in range(3):
            await clock.advance(6.0)
            probes.made[i].give(AWAY)
            await clock.advance(1.0)
        assert len(probes.made) == 4
        probes.made[3].give(AWAY)
        await clock.advance(1.0)
        with pytest.raises(OSError, match="away"):
            await run
    assert clock.sleeps == [1.0, 1.0, 1.0]


async def test_a_maker_that_fails_is_tried_again_too() -> None:
    calls = 0

    def make() -> Source[int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("no address")
        if calls == 2:
            raise SystemExit(3)
        return single(calls)

    found, clock = await in_time(restart_source(BACKOFF, make).to(to_list()))
    assert (found, clock.sleeps) == ([3], [1.0, 2.0])
    wrong: Any = lambda: [1]  # noqa: E731
    with pytest.raises(TypeError, match="make has to give a source, and gave"):
        await in_time(restart_source(Backoff(1.0, 1.0, max_restarts=0), wrong).to(ignore()))


@pytest.mark.parametrize("name", ["when", "on_restart"])
async def test_an_error_of_the_users_functions_fails_the_stream(name: str) -> None:
    def bad(*_: Any) -> bool:
        raise KeyError("mine")

    backoff = Backoff(1.0, 2.0, **{name: bad})  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="mine") as caught:
        await in_time(restart_source(backoff, Probes([AWAY])).to(ignore()))
    assert caught.value.__cause__ is AWAY
    with pytest.raises(KeyError, match="mine"):
        await in_time(single(3).to(restart_sink(backoff, lambda: flow().map(bad).to(ignore()))))


async def test_whoever_watches_is_told() -> None:
    told: list[Any] = []
    backoff = Backoff(1.0, 10.0, jitter=1.0, random=lambda: 0.5, on_restart=lambda *what: told.append(what))
    await in_time(restart_source(backoff, Probes([AWAY], [[1]], [[2]]), on="end").take(2).to(ignore()))
    assert told == [(AWAY, 1, 1.5), (None, 2, 3.0)]


async def test_a_side_sink_that_fails_is_a_failure_of_its_source_alone() -> None:
    stored: list[int] = []
    before = asyncio.all_tasks()

    def store(x: int) -> None:
        if not stored and x == 2:
            stored.append(0)
            raise OSError("away")
        stored.append(x)

    probes = Probes([[2], [3]], [[4], [5]])
    found, _ = await in_time(restart_source(BACKOFF, lambda: probes().also_to(foreach(store))).to(to_list()))
    assert found[-2:] == [4, 5]
    assert stored == [0, 4, 5]
    assert probes.closes == [1, 1]
    assert asyncio.all_tasks() == before


async def test_what_does_not_close_is_no_reason_to_give_up() -> None:
    probes = Probes([AWAY], [[1]])

    def make() -> Source[int]:
        made = probes()

        async def close() -> None:
            raise KeyError("closing")

        if len(probes.made) == 1:
            probes.made[0].on_close = close  # type: ignore[method-assign]
        return made

    error = OSError("away")
    probes = Probes([error], [[1]])
    found, _ = await in_time(restart_source(BACKOFF, make).to(to_list()))
    assert found == [1]
    assert "Closing what has failed did not go well either: KeyError('closing')" in error.__notes__


@pytest.mark.parametrize("how", ["cancel", "switch", "leave"])
async def test_it_can_be_stopped_while_it_waits(how: str) -> None:
    clock, switch, sink = FakeClock(), KillSwitch(), SinkProbe()
    probes = Probes([AWAY], [[1]])
    graph = restart_source(BACKOFF, probes).to(sink.as_sink()).stopped_by(switch)
    async with Runtime(clock) as runtime:
        run = asyncio.ensure_future(graph.run(runtime))
        pull = asyncio.ensure_future(sink.pull(1))
        await clock.settle()
        assert clock.timers == [1.0]
        if how == "cancel":
            run.cancel()
            await asyncio.wait((run, pull))
        else:
            switch.shutdown()
            assert await pull is None
            await run
    assert len(probes.made) == 1
    assert probes.closes == [1]
    assert clock.now() == 0


@pytest.mark.parametrize("cuts", [1, 3])
async def test_a_source_keeps_the_laws_of_pull_when_it_is_cancelled(cuts: int) -> None:
    for passes in range(9):
        clock = FakeClock()
        probes = Probes([[1, 2], [3], AWAY], [[4, 5, 6, 7], AWAY], [[8]], passes=1)
        async with Runtime(clock) as runtime, pulled(restart_source(BACKOFF, probes), runtime) as stage:
            found = await clock.run(drain_with_cuts(stage, passes, cuts))
        assert found == list(range(1, 9)), f"cancelled after {passes} passes"
        assert probes.closes == [1, 1, 1]


async def test_an_error_it_gave_up_with_stays() -> None:
    async with pulled(restart_source(Backoff(1.0, 1.0, max_restarts=0), Probes([[1], AWAY]))) as stage:
        assert await stage.pull(1) is not None
        for _ in range(3):
            with pytest.raises(OSError, match="away"):
                await stage.pull(1)


async def test_each_source_has_a_window_of_its_own() -> None:
    windows: list[AckWindow] = []
    probes = Probes([[1, 2], AWAY], [[3]])

    def make() -> Source[int]:
        windows.append(AckWindow(10))
        return probes().source_ack(windows[-1])

    await in_time(restart_source(BACKOFF, make).to(ignore()))
    assert [window.progress.count for window in windows if window.progress] == [2, 1]


# --------------------------------------------------------------------------------------------------------------- sinks


async def test_a_sink_that_fails_is_made_anew_and_what_it_had_not_stored_is_refused() -> None:
    window = Witness()
    source = SourceProbe([[1], [2], [3], [4], [5]], window=window)
    stored: list[int] = []
    make = failing_once(3)
    sink: Sink[int, None] = restart_sink(BACKOFF, lambda: make().to(foreach(stored.append)))
    _, clock = await in_time(source.as_source().to(sink))
    assert (stored, clock.sleeps) == ([1, 2, 4, 5], [1.0])
    assert window.progress is not None
    assert window.progress.position == 2
    assert (window.refused, window.late) == (1, 0)
    assert source.closes == 1


async def test_what_a_failed_sink_was_gathering_is_refused_too() -> None:
    window = Witness()
    source = SourceProbe([[1], [2], [3], [4], [5]], window=window)
    stored: list[list[int]] = []
    make = failing_once(4)
    sink: Sink[int, None] = restart_sink(BACKOFF, lambda: make().grouped(3).to(foreach(stored.append)))
    await in_time(source.as_source().to(sink))
    assert stored == [[1, 2, 3], [5]]
    assert window.refused == 1
    assert window.progress is not None
    assert window.progress.position == 3


async def test_the_result_is_that_of_the_last_sink() -> None:
    make = failing_once(3)
    assert (await in_time(iterate([1, 2, 3]).to(restart_sink(BACKOFF, lambda: make().to(to_list())))))[0] == []
    source = SourceProbe([[1], [2], [3]])
    assert (await in_time(source.as_source().to(restart_sink(BACKOFF, head))))[0] == 1
    assert source.closes == 1
    taken: list[Any] = []
    twice: Sink[int, None] = restart_sink(BACKOFF, lambda: flow(int).take(2).to(foreach(taken.append)), on="end")
    source = SourceProbe([[i] for i in range(5)])
    _, clock = await in_time(source.as_source().to(twice))
    assert (taken, clock.sleeps) == ([0, 1, 2, 3, 4], [1.0, 2.0])


async def test_an_error_above_a_sink_fails_the_stream_and_so_does_the_last_of_its_own() -> None:
    source = SourceProbe([[1], OSError("above")])
    with pytest.raises(OSError, match="above"):
        await in_time(source.as_source().to(restart_sink(BACKOFF, ignore)))
    few = Backoff(1.0, 1.0, max_restarts=2)
    source = SourceProbe([[3]] * 5)
    with pytest.raises(OSError, match="away"):
        await in_time(source.as_source().to(restart_sink(few, lambda: flow().map(bad).to(ignore()))))
    assert (source.given, source.closes) == (3, 1)


async def test_a_side_task_of_a_sink_that_fails_restarts_it() -> None:
    calls = 0
    stored: list[int] = []

    def make() -> Sink[int, Any]:
        nonlocal calls
        calls += 1
        side = foreach(bad) if calls == 1 else ignore()
        return flow(int).also_to(side).to(foreach(stored.append))

    source = SourceProbe([[1], [3], [5], [6]])
    await in_time(source.as_source().to(restart_sink(BACKOFF, make)))
    assert calls == 2
    assert (stored[0], stored[-1]) == (1, 6)


class SlowToClose:
    """A writer of which the first fails on 2, and which takes its time to close."""

    def __init__(self, stored: list[int], fails: bool) -> None:
        self._stored = stored
        self._fails = fails

    async def open(self) -> None:
        pass

    async def write(self, records: Any) -> None:
        if self._fails and 2 in records:
            raise OSError("away")
        self._stored += records

    async def close(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


async def test_nothing_is_confirmed_by_a_side_sink_alone_while_the_failed_sink_closes() -> None:
    window = Witness()
    source = SourceProbe([[i] for i in range(10)], window=window)
    stored: list[int] = []
    beside: list[int] = []
    fails = iter([True, False])

    def make() -> Sink[int, None]:
        writing = write_to("slow", lambda: SlowToClose(stored, next(fails)), 1)
        return flow(int).also_to(foreach(beside.append)).to(writing)

    await in_time(source.as_source().to(restart_sink(BACKOFF, make)))
    confirmed = {i for i, token in enumerate(window.tokens) if not token.span.pending}
    assert confirmed <= set(stored), "the next sink never gets them"
    assert confirmed <= set(beside)
    assert {0, 1, 5, 6, 7, 8, 9} <= confirmed
    assert window.late == 0


async def test_a_sink_that_ends_by_itself_leaves_those_beside_it_going() -> None:
    beside: list[int] = []
    sink: Sink[int, Any] = restart_sink(BACKOFF, lambda: flow(int).also_to(foreach(beside.append)).to(head()))
    assert (await in_time(SourceProbe([[i] for i in range(5)]).as_source().to(sink)))[0] == 0
    assert beside == [0, 1, 2, 3, 4]


async def test_a_sink_can_be_stopped_at_any_step() -> None:
    before = asyncio.all_tasks()
    for steps in range(1, 40):
        clock = FakeClock()
        source = SourceProbe([[1], [3], [4], [5]], passes=1)
        make = failing_once(3)
        graph = source.as_source().to(restart_sink(BACKOFF, lambda: make().also_to(ignore()).to(ignore())))  # noqa: B023
        async with Runtime(clock) as runtime:
            await cut_off(graph.run(runtime), steps)
        assert source.closes == 1, f"cancelled after {steps} passes"
        assert asyncio.all_tasks() == before


def test_on_is_one_of_two() -> None:
    wrong: Any = "always"
    for make in (restart_source, restart_flow, restart_sink):
        with pytest.raises(ValueError, match='"failure", or "end"'):
            make(BACKOFF, lambda: flow(), wrong)  # type: ignore[operator]
