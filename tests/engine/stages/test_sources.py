"""The laws every source keeps, over one table of all of them, and what each does by itself."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import (
    async_iterate,
    empty,
    failed,
    iterate,
    read_from,
    read_from_blocking,
    single,
    tick,
    unfold,
)
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness, cut_off, drain, drain_with_cuts
from teleporter_lab.testing.probes import pulled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.stages.sources import ReadFrom

INPUT = list(range(10))


async def numbers() -> AsyncIterator[int]:
    for x in INPUT:
        await asyncio.sleep(0)
        yield x


class Steps:
    """An asynchronous iterator that is no generator: one that is cancelled can go on."""

    def __init__(self) -> None:
        self._left = iter(INPUT)

    def __aiter__(self) -> Steps:
        return self

    async def __anext__(self) -> int:
        await asyncio.sleep(0)
        for x in self._left:
            return x
        raise StopAsyncIteration


class Records:
    """A reader that keeps its contract; counts what is called."""

    def __init__(self, size: int = 4, error: Exception | None = None) -> None:
        self.calls: list[str] = []
        self.position: int | None = None
        self._size = size
        self._error = error

    async def open(self, position: int | None) -> None:
        await asyncio.sleep(0)
        self.calls.append("open")
        self.position = position or 0

    async def read(self, n: int) -> list[int] | None:
        await asyncio.sleep(0)
        assert self.position is not None
        start = self.position
        data = INPUT[start : start + min(n, self._size)]
        self.position = start + len(data)
        if not data and self._error is not None:
            raise self._error
        return data or None

    async def close(self) -> None:
        self.calls.append("close")


class BlockingRecords:
    """The same, for a thread."""

    def __init__(self, size: int = 4) -> None:
        self.calls: list[str] = []
        self.position: int = 0
        self._size = size

    def open(self, position: int | None) -> None:
        self.calls.append("open")
        self.position = position or 0

    def read(self, n: int) -> list[int] | None:
        start = self.position
        self.position = min(10, start + min(n, self._size))
        return INPUT[start : self.position] or None

    def close(self) -> None:
        self.calls.append("close")


def generated() -> Iterator[int]:
    yield from INPUT


SOURCES: list[tuple[str, Callable[[], Flow[Any, Any]], list[Any]]] = [
    ("iterate a list", lambda: iterate(INPUT), INPUT),
    ("iterate a generator", lambda: iterate(generated()), INPUT),
    ("single", lambda: single(7), [7]),
    ("empty", empty, []),
    ("async_iterate", lambda: async_iterate(Steps()), INPUT),
    ("tick", lambda: tick(0.0001, 1).take(5), [1] * 5),
    ("unfold", lambda: unfold(0, lambda x: (x + 1, x) if x < 10 else None), INPUT),
    ("read_from", lambda: read_from("records", Records), INPUT),
    ("read_from, after a position", lambda: read_from("records", Records, 6), [6, 7, 8, 9]),
    ("read_from_blocking", lambda: read_from_blocking("records", BlockingRecords), INPUT),
]
EVERY_SOURCE = pytest.mark.parametrize(("make", "out"), [s[1:] for s in SOURCES], ids=[s[0] for s in SOURCES])


@EVERY_SOURCE
@pytest.mark.parametrize("demands", [(1,), (3,), (1000,), (5, 1)], ids=str)
async def test_a_source_gives_all_and_never_more_than_asked(
    make: Callable[[], Flow[Any, Any]], out: list[Any], demands: tuple[int, ...]
) -> None:
    async with pulled(make()) as stage:
        assert await drain(stage, *demands) == out


@EVERY_SOURCE
async def test_a_source_whose_pulls_are_cancelled_loses_and_doubles_nothing(
    make: Callable[[], Flow[Any, Any]], out: list[Any]
) -> None:
    for passes in range(6):
        async with pulled(make()) as stage:
            assert await drain_with_cuts(stage, passes, cuts=2) == out, f"cancelled after {passes} passes"


async def test_an_asynchronous_generator_that_was_cancelled_never_ends_as_if_it_were_done() -> None:
    """It cannot go on: the generator itself was ended by the cancellation."""
    async with pulled(async_iterate(numbers())) as stage:
        assert (await stage.pull(1)).data == [0]  # type: ignore[union-attr]
        assert await cut_off(stage.pull(1), 1) == (False, None)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="not the real one"):
                await stage.pull(1)


def breaking() -> Iterator[int]:
    yield from (0, 1, 2)
    raise OSError("lost")


async def breaking_later() -> AsyncIterator[int]:
    for x in (0, 1, 2):
        yield x
    raise OSError("lost")


@pytest.mark.parametrize(
    ("make", "before"),
    [
        (lambda: iterate(breaking()), [0, 1, 2]),
        (lambda: async_iterate(breaking_later()), [0, 1, 2]),
        (lambda: failed(OSError("lost")), []),
        (lambda: read_from("records", lambda: Records(error=OSError("lost"))), INPUT),
    ],
    ids=["iterate", "async_iterate", "failed", "read_from"],
)
@pytest.mark.parametrize("n", [1, 2, 1000])
async def test_an_error_of_a_source_comes_after_all_before_it_and_stays(
    make: Callable[[], Flow[Any, Any]], before: list[Any], n: int
) -> None:
    found: list[Any] = []
    async with pulled(make()) as stage:
        while len(found) < len(before):
            found += (await stage.pull(n)).data  # type: ignore[union-attr]
        for _ in range(3):
            with pytest.raises(OSError, match="lost"):
                await stage.pull(n)
    assert found == before


# ---------------------------------------------------------------------------------------------------------- readers


class Sloppy(Records):
    """Gives nothing at times, and more than it was asked for at others."""

    async def read(self, n: int) -> list[int] | None:
        assert self.position is not None
        await asyncio.sleep(0)
        self.calls.append(f"read {n}")
        if len(self.calls) % 2 == 0:
            return []
        start = self.position
        self.position = min(10, start + 6)
        return INPUT[start : self.position] or None


async def test_a_reader_that_gives_nothing_or_too_much_is_put_right() -> None:
    reader = Sloppy()
    async with pulled(read_from("sloppy", lambda: reader)) as stage:
        assert await drain(stage, 1, 4, 2) == INPUT
    assert reader.calls.count("open") == reader.calls.count("close") == 1


async def test_a_position_never_passes_a_record_that_was_not_given() -> None:
    async with pulled(read_from("sloppy", Sloppy, 2)) as stage:
        given = position = 2
        while (chunk := await stage.pull(4)) is not None:
            given += len(chunk)
            position = cast("ReadFrom[int]", stage).position
            assert position <= given
        assert given == position == 10


async def test_records_are_acknowledged_with_the_position_behind_them() -> None:
    window = Witness()
    async with pulled(read_from("records", Records).source_ack(window)) as stage:
        first = await stage.pull(3)
        assert first is not None
        first.written()
        assert window.progress is not None
        assert window.progress.position == window.progress.count == len(first)
        await drain(stage)
    window.check_all_settled()
    assert window.progress.position == 10


@pytest.mark.parametrize("passes", [0, 1, 2, 3, 4])
async def test_a_reader_is_closed_once_wherever_it_was_cancelled(passes: int) -> None:
    reader = Records()
    run = asyncio.ensure_future(read_from("records", lambda: reader).to(ignore()).run())
    for _ in range(passes + 1):
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait((run,))
    assert reader.calls.count("close") == 1
    assert reader.calls[-1] == "close"


async def test_a_reader_that_does_not_open_fails_the_stream_and_is_closed() -> None:
    class Closed(Records):
        async def open(self, position: int | None) -> None:
            raise OSError("no such file")

    reader = Closed()
    with pytest.raises(OSError, match="no such file"):
        await read_from("records", lambda: reader).to(ignore()).run()
    assert reader.calls == ["close"]


class Waits(BlockingRecords):
    """Its reads wait until the test lets them go on; notices two calls at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()
        self.go_on = threading.Event()
        self._calling = threading.Lock()

    def read(self, n: int) -> list[int] | None:
        assert self._calling.acquire(blocking=False), "two calls at a time"
        self.calls.append("read")
        self.reading.set()
        assert self.go_on.wait(10)
        data = super().read(n)
        self._calling.release()
        return data

    def close(self) -> None:
        assert self._calling.acquire(blocking=False), "closed in the middle of a call"
        super().close()
        self._calling.release()


async def wait_for(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


async def test_a_blocking_read_that_is_cancelled_is_given_by_the_next_one() -> None:
    reader = Waits()
    async with pulled(read_from_blocking("waits", lambda: reader)) as stage:
        pull = asyncio.ensure_future(stage.pull(4))
        await wait_for(reader.reading)
        pull.cancel()
        await asyncio.wait((pull,))
        reader.go_on.set()
        assert await drain(stage, 3, 1) == INPUT
    assert reader.calls.count("close") == 1


async def test_a_blocking_reader_is_closed_when_its_call_has_ended() -> None:
    reader = Waits()
    run = asyncio.ensure_future(read_from_blocking("waits", lambda: reader).to(ignore()).run())
    await wait_for(reader.reading)
    run.cancel()
    done, _ = await asyncio.wait((run,), timeout=0.02)
    assert not done, "the call still runs"
    assert "close" not in reader.calls
    reader.go_on.set()
    await asyncio.wait((run,))
    assert run.cancelled()
    assert reader.calls == ["open", "read", "close"]


async def test_a_stop_iteration_of_a_blocking_reader_is_an_error() -> None:
    class Next(BlockingRecords):
        def read(self, n: int) -> list[int] | None:
            return [next(iter(()))]

    with pytest.raises(RuntimeError, match="StopIteration"):
        await read_from_blocking("next", Next).to(ignore()).run()


# --------------------------------------------------------------------------------------------------- one by one


async def test_a_generator_made_for_the_run_is_closed_with_it_and_one_that_was_given_is_not() -> None:
    closed: list[str] = []

    def endless(name: str) -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(name)

    class Numbers:
        def __iter__(self) -> Iterator[int]:
            return endless("made")

    assert await iterate(Numbers()).take(2).to(to_list()).run() == [0, 1]
    assert closed == ["made"]
    given = endless("given")
    assert await iterate(given).take(2).to(to_list()).run() == [0, 1]
    assert closed == ["made"]
    assert next(given) == 2


async def test_ticks_come_in_time_and_those_nobody_asked_for_are_left_out() -> None:
    clock = FakeClock()
    async with pulled(tick(2.0, "x", initial=1.0), Runtime(clock)) as stage:

        async def next_at() -> float:
            pull = asyncio.ensure_future(stage.pull(5))
            while not pull.done():
                await clock.advance(0.5)
            assert (await pull).data == ["x"]
            return clock.now()

        assert [await next_at() for _ in range(3)] == [1.0, 3.0, 5.0]
        await clock.advance(9.0)
        assert await next_at() == 14.5, "at once, one of the five that went by"
        assert await next_at() == 15.0
    with pytest.raises(ValueError, match="seconds > 0"):
        tick(0, "x")


async def test_unfold_fails_with_its_function() -> None:
    def step(x: int) -> tuple[int, int] | None:
        if x == 3:
            raise OSError("lost")
        return x + 1, x

    found: list[int] = []
    with pytest.raises(OSError, match="lost"):
        await unfold(0, step).to(foreach(found.append)).run()
    assert found == [0, 1, 2]
