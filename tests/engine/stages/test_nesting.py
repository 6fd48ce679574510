"""Streams inside a stream: what fails there, when they have ended, and that their tasks end with them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.run import Materializer, Runtime, Scope, Tasks
from teleporter_lab.engine.stage import stop
from teleporter_lab.engine.stages.nesting import Alone, Part, Together, joined_once
from teleporter_lab.engine.stages.sinks import foreach, ignore
from teleporter_lab.engine.supervision import StopOnError
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import END, SourceProbe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@asynccontextmanager
async def running() -> AsyncGenerator[Materializer]:
    """What the stages of a run are made with; its tasks end with the block."""
    async with Runtime() as runtime, Tasks() as tasks:
        yield Materializer(runtime, tasks, StopOnError())


async def settle(passes: int = 10) -> None:
    for _ in range(passes):
        await asyncio.sleep(0)


# --------------------------------------------------------------------------------------------------------------- parts


async def test_a_failure_of_a_task_interrupts_whoever_works_for_the_part() -> None:
    async with running() as m:
        alone = Alone(m)
        gate = asyncio.Event()

        async def bad() -> None:
            await gate.wait()
            raise OSError("away")

        alone.m.spawn(bad())
        work = asyncio.ensure_future(alone.work(asyncio.sleep(1000)))
        await settle()
        gate.set()
        with pytest.raises(OSError, match="away"):
            await work
        assert work.cancelling() == 0
        with pytest.raises(OSError, match="away"):
            await alone.work(asyncio.sleep(0))


async def test_a_cancellation_from_outside_stays_one_beside_a_failure() -> None:
    async with running() as m:
        alone = Alone(m)
        work = asyncio.ensure_future(alone.work(asyncio.sleep(1000)))
        await settle()
        alone.fail(OSError("away"))
        work.cancel()
        await asyncio.wait((work,))
        assert work.cancelled()


async def test_work_that_is_done_all_the_same_counts() -> None:
    """A user's function that swallows the interruption: nothing of it may be left on the task."""
    async with running() as m:
        alone = Alone(m)

        async def stubborn() -> int:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                return 7
            return 0

        async def working() -> tuple[int, int]:
            done = await alone.work(stubborn())
            task = asyncio.current_task()
            assert task is not None
            return done, task.cancelling()

        work = asyncio.ensure_future(working())
        await settle()
        alone.fail(OSError("away"))
        assert await work == (7, 0)


async def test_a_part_has_ended_when_its_side_sinks_have() -> None:
    async with running() as m:
        gate = asyncio.Event()
        probe = SourceProbe([[1]])

        async def slow(x: int) -> int:
            await gate.wait()
            return x

        side = flow(int).map_async(1, slow).to(ignore())
        part = Part(m, lambda inner: probe.as_source().also_to(side).attach(inner))
        assert (await part.pull(5)) is not None
        end = asyncio.ensure_future(part.pull(5))
        await settle(30)
        assert not end.done()
        end.cancel()
        await asyncio.wait((end,))
        gate.set()
        assert await part.pull(5) is None
        assert await part.pull(5) is None
        await part.close()
        assert probe.closes == 1


async def test_closing_a_part_stops_its_tasks() -> None:
    async with running() as m:
        before = asyncio.all_tasks()
        probe = SourceProbe([[1, 2, 3]], wait=True)
        part = Part(m, lambda inner: probe.as_source().also_to(foreach(str)).attach(inner))
        assert (await part.pull(5)) is not None
        await part.close()
        assert asyncio.all_tasks() == before
        assert probe.closes == 1


@pytest.mark.parametrize("error", [OSError("away"), SystemExit(2), asyncio.CancelledError()])
async def test_what_cannot_be_made_fails_when_it_is_pulled(error: BaseException) -> None:
    async with running() as m:
        before = asyncio.all_tasks()

        def make(inner: Materializer) -> Any:
            inner.spawn(asyncio.sleep(1000))
            raise error

        part = Part(m, make)
        for _ in range(2):
            with pytest.raises(Exception, match=r"away|exit|cancelled"):
                await part.pull(1)
        await part.close()
        assert asyncio.all_tasks() == before


async def test_a_task_of_a_scope_that_never_began_leaves_nothing() -> None:
    """No coroutine that was never awaited: warnings are errors."""
    async with running() as m:
        scope = Scope(m)
        task = Scope(scope.m).m.spawn(asyncio.sleep(1000))
        stop(task)
        await asyncio.wait((task,))
        await scope.idle()
        async with Runtime() as runtime:
            async with Tasks() as tasks:
                over = Materializer(runtime, tasks, StopOnError())
                await over.spawn(asyncio.sleep(0))
            with pytest.raises(RuntimeError):
                Scope(over).m.spawn(asyncio.sleep(1000))


# ------------------------------------------------------------------------------------------------------------ together


class Owner:
    def __init__(self) -> None:
        self.ended: list[Exception | None] = []

    def out(self, chunk: Chunk[Any]) -> Chunk[Any]:
        return chunk

    def over(self, error: Exception | None) -> None:
        self.ended.append(error)


async def test_those_that_have_something_take_turns() -> None:
    async with running() as m:
        together: Together[Any] = Together(m.spawn)
        owner = Owner()
        probes = [SourceProbe([[i] * 4, [i]]) for i in range(3)]
        for probe in probes:
            together.add(probe, owner)
        found: list[Any] = []
        while len(together):
            together.start(4)
            if not together.ready:
                await together.something()
            await settle()
            while together.ready:
                chunk = together.take(3)
                if isinstance(chunk, Chunk):
                    found.append(chunk.data)
        assert found[:5] == [[0, 0, 0], [1, 1, 1], [2, 2, 2], [0, 1, 2], [0, 1, 2]]
        assert owner.ended == [None] * 3
        await together.close()


async def test_what_came_before_an_error_goes_out_before_it() -> None:
    async with running() as m:
        together: Together[Any] = Together(m.spawn)
        owner = Owner()
        error = OSError("away")
        for probe in (SourceProbe([[1]]), SourceProbe([error]), SourceProbe([[2]])):
            together.add(probe, owner)
        together.start(5)
        await settle()
        first = together.take(5)
        assert isinstance(first, Chunk)
        assert first.data == [1]
        assert together.take(5) is error
        second = together.take(5)
        assert isinstance(second, Chunk)
        assert second.data == [2]
        assert (len(together), owner.ended) == (2, [error])
        await together.close()


async def test_closing_ends_what_is_outstanding_and_what_has_failed() -> None:
    async with running() as m:
        before = asyncio.all_tasks()
        together: Together[Any] = Together(m.spawn)
        probes = [SourceProbe(wait=True), SourceProbe([OSError("away")]), SourceProbe([[1]])]
        for probe in probes:
            together.add(probe, Owner())
        together.start(1)
        await settle()
        together.take(1)
        await together.close()
        assert [probe.closes for probe in probes] == [1, 1, 1]
        assert asyncio.all_tasks() == before


async def test_a_wait_that_is_cancelled_is_made_again() -> None:
    async with running() as m:
        together: Together[Any] = Together(m.spawn)
        probe = SourceProbe(wait=True)
        together.add(probe, Owner())
        together.start(1)
        wait = asyncio.ensure_future(together.something())
        await settle()
        wait.cancel()
        await asyncio.wait((wait,))
        probe.give([1], END)
        await together.something()
        assert together.ready
        await together.close()


def test_one_reference_is_enough_for_several_parts() -> None:
    window = Witness()
    first, second = window.open(3, 3, 0.0), window.open(2, 5, 0.0)
    first.retain(2)
    parts = [Chunk([1], (first,)), Chunk([2], (second,)), Chunk([3], (first, second)), Chunk([4], (first,))]
    second.retain()
    whole = joined_once(parts)
    assert whole.data == [1, 2, 3, 4]
    assert whole.tokens == (second, first)
    assert window.progress is None
    assert joined_once([whole]) is whole
    first.account("expanded", -1)
    whole.written()
    assert [token.settled for token in window.tokens] == [True, True]
    assert joined_once([Chunk([1]), Chunk([2])]).tokens == ()
    assert AckWindow(1).room == 1
