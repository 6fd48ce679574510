"""A run and its tasks: all end with it, a lone failure comes out bare, a real cancellation is one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.failure import Interrupted
from teleporter_lab.engine.graph import Flow, flow
from teleporter_lab.engine.run import Runtime, lone
from teleporter_lab.engine.stage import close_each, close_fully
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import async_iterate, iterate
from teleporter_lab.engine.stages.writing import write_to
from teleporter_lab.errors import AckError
from teleporter_lab.testing.probes import SourceProbe


async def test_cancelling_is_told_from_a_cancellation_inside() -> None:
    """A user's iterator awaits something that somebody else cancels: that fails the stream, it was not stopped."""

    class Cancelled:
        def __aiter__(self) -> Cancelled:
            return self

        async def __anext__(self) -> int:
            raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled by somebody else"):
        await async_iterate(Cancelled()).to(ignore()).run()


async def test_a_failure_in_a_task_of_the_run_comes_out_bare_with_its_own_context() -> None:
    def bad(_: int) -> int:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise OSError("away") from error

    for graph in (
        iterate([1]).map(bad).map_async(2, asyncio.sleep).to(ignore()),
        iterate([1]).map(bad).broadcast(ignore(), ignore()),
        iterate([2]).merge(iterate([1]).map(bad)).also_to(ignore()).to(ignore()),
        iterate([1]).also_to(flow().map(bad).to(ignore())).to(ignore()),
    ):
        with pytest.raises(OSError, match="away") as caught:
            await graph.run()
        assert isinstance(caught.value.__cause__, KeyError)
        assert not isinstance(caught.value.__context__, BaseExceptionGroup)


async def test_that_closing_fails_too_is_a_note_on_the_failure_that_counts() -> None:
    source = SourceProbe([OSError("reading")])

    async def close() -> None:
        raise KeyError("closing")

    source.on_close = close  # type: ignore[method-assign]
    with pytest.raises(OSError, match="reading") as caught:
        await source.as_source().broadcast(ignore(), ignore()).run()
    assert caught.value.__notes__ == ["Closing did not go well either: KeyError('closing')"]


def test_the_only_failure_of_a_group_is_found_and_several_stay_together() -> None:
    one, other = OSError("one"), KeyError("other")
    assert lone(ExceptionGroup("", [ExceptionGroup("", [one, one])])) is one
    several = ExceptionGroup("", [one, other])
    assert lone(several) is several


@pytest.mark.parametrize("operator", ["map_async", "map_async_unordered", "buffer", "also_to", "group_by"])
async def test_a_task_that_somebody_else_cancels_fails_the_run_which_would_wait_for_ever(operator: str) -> None:
    def cancel(x: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        if x == 3:
            task.cancel()
        return x

    async def cancel_later(x: int) -> int:
        cancel(x)
        await asyncio.sleep(0)
        return x

    numbers: Flow[Any, int] = iterate(range(9))
    graphs = {
        "map_async": lambda: numbers.map_async(2, cancel_later),
        "map_async_unordered": lambda: numbers.map_async_unordered(2, cancel_later),
        "buffer": lambda: numbers.map(cancel).map_async(1, cancel_later).buffer(2),
        "also_to": lambda: numbers.map_async(1, cancel_later).also_to(ignore()),
        "group_by": lambda: numbers.group_by(2, lambda x: x % 2).map_async(1, cancel_later).merge_substreams(),
    }
    with pytest.raises((Interrupted, asyncio.CancelledError)):
        async with asyncio.timeout(5):
            await graphs[operator]().to(ignore()).run()


async def test_a_run_leaves_no_task_behind_when_a_sink_fails() -> None:
    before = asyncio.all_tasks()

    def bad(x: int) -> None:
        if x == 2:
            raise OSError("away")

    async def slowly(x: int) -> int:
        await asyncio.sleep(0)
        return x

    sources = [SourceProbe([[1, 2], [3]], wait=True) for _ in range(3)]
    first, second, third = (source.as_source() for source in sources)
    graph = first.merge(second).map_async(3, slowly).zip(third).map(lambda pair: pair[0]).also_to(foreach(bad))
    with pytest.raises(OSError, match="away"):
        await graph.broadcast(foreach(str), flow().map_async(2, slowly).to(ignore())).run()
    assert asyncio.all_tasks() == before
    assert [source.closes for source in sources] == [1, 1, 1]


async def test_a_window_serves_one_run() -> None:
    window = AckWindow(10)
    source = SourceProbe([[1, 2]])
    graph = source.as_source().source_ack(window).to(to_list())
    assert await graph.run() == [1, 2]
    with pytest.raises(AckError, match="a window of its own"):
        await graph.run()


async def test_source_ack_stands_below_a_source_with_a_position() -> None:
    with pytest.raises(AckError, match="directly below a source"):
        await iterate([1]).source_ack(AckWindow(10)).to(ignore()).run()


async def test_streams_of_a_runtime_share_turnstile_and_threads() -> None:
    async with Runtime() as runtime:
        graph = iterate(range(100)).map_blocking(list).to(to_list())
        results = await asyncio.gather(*(graph.run(runtime) for _ in range(5)))
        assert results == [list(range(100))] * 5
        assert runtime.turnstile.statistics().turns >= 5


# ------------------------------------------------------------------------------------------------------------ closing


async def test_everything_is_closed_although_some_of_it_fails() -> None:
    closed: list[int] = []

    def closing(i: int, error: Exception | None = None) -> Any:
        async def close() -> None:
            closed.append(i)
            if error is not None:
                raise error

        return close

    with pytest.raises(OSError, match="two"):
        await close_each(closing(1), closing(2, OSError("two")), closing(3))
    with pytest.raises(ExceptionGroup):
        await close_each(closing(4, OSError()), closing(5, KeyError()))
    assert closed == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("cancels", [0, 1, 2])
async def test_a_close_is_waited_for_and_only_a_second_cancellation_breaks_off_what_hangs(cancels: int) -> None:
    steps: list[str] = []
    go_on = asyncio.Event()

    async def hangs() -> None:
        try:
            await go_on.wait()
            steps.append("ended")
        except asyncio.CancelledError:
            steps.append("broken off")
            raise

    async def last() -> None:
        steps.append("last")

    run = asyncio.ensure_future(close_fully(lambda: close_each(hangs, last)))
    await asyncio.sleep(0)
    for _ in range(cancels):
        await asyncio.sleep(0)
        run.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait((run,))
    assert run.cancelled() == (cancels > 0)
    assert steps == (["broken off", "last"] if cancels == 2 else ["ended", "last"])


async def test_a_reader_that_does_not_close_does_not_keep_the_writer_open() -> None:
    closed: list[str] = []

    class Writes:
        async def open(self) -> None: ...

        async def write(self, records: Any) -> None: ...

        async def close(self) -> None:
            closed.append("writer")

    source = SourceProbe([[1]])

    async def close() -> None:
        raise OSError("reader")

    source.on_close = close  # type: ignore[method-assign]
    with pytest.raises(OSError, match="reader"):
        await source.as_source().to(write_to("writes", Writes)).run()
    assert closed == ["writer"]
