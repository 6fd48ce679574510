"""One run of letters: what has arrived, what has not and why, and that it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import never
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume, Retry, StopOnError
from teleporter_lab.instance.letter import Letter
from teleporter_lab.instance.letter_run import LetterRun
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.probes import SinkProbe

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import RunnableGraph
    from teleporter_lab.engine.supervision import Supervisor


class Shelf:
    """Letters put aside anew."""

    def __init__(self) -> None:
        self.elements: list[Any] = []

    async def put(self, failure: Failure) -> None:
        self.elements.append(failure.element)


class PutAside:
    def decide(self, failure: Failure) -> Decision:
        return Decision(Action.DEAD_LETTER)


def letters(n: int) -> list[Letter]:
    return [Letter(f"id{i}", "map(f)", "", i) for i in range(n)]


def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd: {x}")
    return x


async def odd_fails_later(x: int) -> int:
    await asyncio.sleep(0)
    return odd_fails(x)


async def driven(
    run: LetterRun, graph: RunnableGraph[Any], runtime: Runtime, inner: Supervisor | None = None
) -> tuple[list[str], dict[str, str]]:
    await run.drive(graph, run.watched(inner or StopOnError()), Shelf(), runtime.clock.now() + 50)
    return run.outcome()


@pytest.mark.parametrize("inner", [StopOnError(), Resume(), PutAside(), Retry(2)], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("operator", ["map", "map_async"])
async def test_what_fails_has_its_reason_and_the_others_arrive(operator: str, inner: Supervisor) -> None:
    async with Runtime() as runtime:
        run, arrived = LetterRun(letters(6), 1, runtime), list[int]()
        flow = run.source()
        flow = flow.map(odd_fails) if operator == "map" else flow.map_async(3, odd_fails_later)
        done, failed = await driven(run, flow.to(foreach(arrived.append)), runtime, inner)
    assert (done, arrived) == (["id0", "id2", "id4"], [0, 2, 4])
    assert {name: why.splitlines()[0] for name, why in failed.items()} == {
        f"id{i}": f"ValueError: odd: {i}" for i in (1, 3, 5)
    }


async def test_what_is_filtered_has_arrived_and_what_the_code_leaves_out_has_not() -> None:
    async with Runtime() as runtime:
        run = LetterRun(letters(4), 2, runtime)
        own = run.source().filter(lambda x: x > 0).map(odd_fails).with_attributes(supervisor=Resume())
        done, failed = await driven(run, own.to(ignore()), runtime)
    assert done == ["id0", "id2"]
    assert set(failed.values()) == {"The code of the stream has left it out again, or one that went with it."}


async def test_records_that_are_joined_stay_together() -> None:
    async with Runtime() as runtime:
        run = LetterRun(letters(4), 1, runtime)
        done, failed = await driven(
            run, run.source().grouped(2).map(lambda pair: [odd_fails(pair[0]), 1 // pair[0]]).to(ignore()), runtime
        )
    assert done == ["id2", "id3"]
    assert sorted(failed) == ["id0", "id1"]


async def test_a_run_that_fails_leaves_what_is_not_confirmed() -> None:
    async with Runtime() as runtime:
        run = LetterRun(letters(3), 1, runtime)
        sink = foreach(odd_fails).supervised_by(run.watched(StopOnError(), sink=True))
        done, failed = await driven(run, run.source().to(sink), runtime)
    assert done == ["id0"]
    assert {why.splitlines()[0] for why in failed.values()} == {"ValueError: odd: 1"}


async def test_a_run_that_hangs_is_stopped() -> None:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        run, probe = LetterRun(letters(2), 1, runtime), SinkProbe()
        driving = asyncio.create_task(driven(run, run.source().to(probe.as_sink()), runtime))
        assert await probe.pull(1) == [0]
        assert (await clock.run(driving))[0] == ["id0"]
        assert driving.result()[1] == {"id1": "It took too long, and was stopped; the sink may have it all the same."}
    assert clock.now() >= 50


async def test_a_stream_that_goes_on_without_letters_is_stopped_when_all_have_arrived() -> None:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        run = LetterRun(letters(2), 1, runtime)
        done, failed = await clock.run(driven(run, run.source().merge(never()).to(ignore()), runtime))
    assert (done, failed) == (["id0", "id1"], {})
    assert clock.now() < 10


async def test_a_stream_that_ends_before_its_letters_says_so() -> None:
    async with Runtime() as runtime:
        run = LetterRun(letters(3), 1, runtime)
        done, failed = await driven(run, run.source().take(1).to(to_list()), runtime)
    assert done == ["id0"]
    assert set(failed.values()) == {"The stream has ended without it."}


@pytest.mark.parametrize("whole", [True, False], ids=["a group", "one of a group"])
async def test_of_letters_that_went_together_none_has_arrived_when_one_of_them_was_left_out(whole: bool) -> None:
    """They are accounted together, so nobody can tell which one it was."""
    async with Runtime() as runtime:
        run, arrived = LetterRun(letters(4), 1, runtime), list[Any]()
        groups = run.source().grouped(2)
        failing = groups.map(lambda group: [odd_fails(x // 2) for x in group])
        flow = failing if whole else groups.map_concat(list).map(odd_fails)
        done, failed = await driven(run, flow.with_attributes(supervisor=Resume()).to(foreach(arrived.append)), runtime)
    assert arrived == ([[0, 0]] if whole else [0, 2])
    assert not set(done) & ({"id2", "id3"} if whole else {"id1", "id3"}), "not stored, so it stays"
    assert {"went with it" in why for why in failed.values()} == {True}


async def test_letters_that_go_together_arrive_when_none_is_left_out() -> None:
    async with Runtime() as runtime:
        run, arrived = LetterRun(letters(4), 1, runtime), list[Any]()
        flow = run.source().grouped(2).map_concat(list).filter(lambda x: x != 2)
        done, failed = await driven(run, flow.to(foreach(arrived.append)), runtime)
    assert (arrived, len(done), failed) == ([0, 1, 3], 4, {})
