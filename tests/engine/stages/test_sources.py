"""The laws every source keeps, over one table of all of them."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.stages.combining import combine, zip_n
from teleporter_lab.engine.stages.deferred import future_source, lazy_source
from teleporter_lab.engine.stages.reading import read_from, read_from_blocking
from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.stages.sources import (
    async_iterate,
    cycle,
    empty,
    failed,
    iterate,
    range_of,
    repeat,
    single,
    tick,
)
from teleporter_lab.engine.stages.unfolding import resource, resource_async, unfold, unfold_async
from teleporter_lab.testing.laws import drain, drain_with_cuts
from teleporter_lab.testing.probes import pulled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.graph import Flow

INPUT = list(range(10))


class Steps:
    """An asynchronous iterator that is no generator: one that is cancelled can go on."""

    def __init__(self, end: Exception | None = None) -> None:
        self._left = iter(INPUT)
        self._end = end or StopAsyncIteration()

    def __aiter__(self) -> Steps:
        return self

    async def __anext__(self) -> int:
        await asyncio.sleep(0)
        for x in self._left:
            return x
        raise self._end


class Open:
    """Something opened: what each of its reads gives, and what comes after that; counts how often it was closed."""

    opened = 0
    closed = 0

    def __init__(self, end: Exception | None = None) -> None:
        type(self).opened += 1
        self.left = iter(INPUT)
        self.end = end

    def read(self) -> int | None:
        for x in self.left:
            return x
        if self.end is not None:
            raise self.end
        return None

    def close(self) -> None:
        type(self).closed += 1

    async def read_later(self) -> int | None:
        await asyncio.sleep(0)
        return self.read()

    async def close_later(self) -> None:
        await asyncio.sleep(0)
        self.close()


class Records:
    """A reader that keeps its contract."""

    def __init__(self, end: Exception | None = None) -> None:
        self.position = 0
        self._open = Open(end)

    async def open(self, position: int | None) -> None:
        await asyncio.sleep(0)
        self.position = position or 0

    async def read(self, n: int) -> list[int] | None:
        await asyncio.sleep(0)
        data = INPUT[self.position : self.position + min(n, 4)]
        self.position += len(data)
        if not data and self._open.end is not None:
            raise self._open.end
        return data or None

    async def close(self) -> None:
        self._open.close()


class BlockingRecords(Records):
    """The same, for a thread."""

    def open(self, position: int | None) -> None:  # type: ignore[override]
        self.position = position or 0

    def read(self, n: int) -> list[int] | None:  # type: ignore[override]
        data = INPUT[self.position : self.position + min(n, 4)]
        self.position += len(data)
        if not data and self._open.end is not None:
            raise self._open.end
        return data or None

    def close(self) -> None:  # type: ignore[override]
        self._open.close()


async def open_later(end: Exception | None = None) -> Open:
    await asyncio.sleep(0)
    return Open(end)


def counted(x: int, end: Exception | None = None) -> tuple[int, int] | None:
    if x < 10:
        return x + 1, x
    if end is not None:
        raise end
    return None


async def counted_later(x: int, end: Exception | None = None) -> tuple[int, int] | None:
    await asyncio.sleep(0)
    return counted(x, end)


async def one(error: Exception | None = None) -> int:
    await asyncio.sleep(0)
    if error is not None:
        raise error
    return 7


def generated(end: Exception | None = None) -> Iterator[int]:
    yield from INPUT
    if end is not None:
        raise end


SOURCES: list[tuple[str, Callable[[], Flow[Any, Any]], list[Any]]] = [
    ("iterate a list", lambda: iterate(INPUT), INPUT),
    ("iterate a generator", lambda: iterate(generated()), INPUT),
    ("single", lambda: single(7), [7]),
    ("empty", empty, []),
    ("range_of", lambda: range_of(3, 20, 4), [3, 7, 11, 15, 19]),
    ("range_of, down", lambda: range_of(3, 0, -1), [3, 2, 1]),
    ("repeat", lambda: repeat(1).take(5), [1] * 5),
    ("cycle", lambda: cycle(lambda: [1, 2, 3]).take(7), [1, 2, 3, 1, 2, 3, 1]),
    ("async_iterate", lambda: async_iterate(Steps()), INPUT),
    ("tick", lambda: tick(0.0001, 1).take(5), [1] * 5),
    ("unfold", lambda: unfold(0, counted), INPUT),
    ("unfold_async", lambda: unfold_async(0, counted_later), INPUT),
    ("resource", lambda: resource(Open, Open.read, Open.close), INPUT),
    ("resource, blocking", lambda: resource(Open, Open.read, Open.close, blocking=True), INPUT),
    ("resource_async", lambda: resource_async(open_later, Open.read_later, Open.close_later), INPUT),
    ("read_from", lambda: read_from("records", Records), INPUT),
    ("read_from, after a position", lambda: read_from("records", Records, 6), [6, 7, 8, 9]),
    ("read_from_blocking", lambda: read_from_blocking("records", BlockingRecords), INPUT),
    ("lazy_source", lambda: lazy_source(lambda: iterate(INPUT)), INPUT),
    ("future_source", lambda: future_source(one), [7]),
    ("combine", lambda: combine(iterate(INPUT[:4]), empty(), iterate(INPUT[4:]), strategy="concat"), INPUT),
    (
        "zip_n",
        lambda: zip_n(iterate(INPUT), iterate("abc"), iterate(INPUT)),
        list(zip(INPUT, "abc", INPUT, strict=False)),
    ),
]
EVERY = pytest.mark.parametrize(("make", "out"), [s[1:] for s in SOURCES], ids=[s[0] for s in SOURCES])


@EVERY
@pytest.mark.parametrize("demands", [(1,), (3,), (1000,), (5, 1)], ids=str)
async def test_a_source_gives_all_and_never_more_than_asked(
    make: Callable[[], Flow[Any, Any]], out: list[Any], demands: tuple[int, ...]
) -> None:
    async with pulled(make()) as stage:
        assert await drain(stage, *demands) == out


@EVERY
async def test_a_blueprint_runs_many_times(make: Callable[[], Flow[Any, Any]], out: list[Any]) -> None:
    graph = make().to(to_list())
    assert await graph.run() == out
    assert await graph.run() in (out, []), "an iterator that was given is used up"


@EVERY
@pytest.mark.parametrize("often", [1, 3])
async def test_a_source_whose_pulls_are_cancelled_loses_and_doubles_nothing(
    make: Callable[[], Flow[Any, Any]], out: list[Any], often: int
) -> None:
    for passes in range(6):
        async with pulled(make()) as stage:
            assert await drain_with_cuts(stage, passes, often) == out, f"cancelled after {passes} passes"


@EVERY
async def test_a_run_that_is_cancelled_at_any_step_leaves_no_task_behind(
    make: Callable[[], Flow[Any, Any]], out: list[Any]
) -> None:
    before = asyncio.all_tasks()
    for k in range(1, 200):
        Open.opened = Open.closed = 0
        run = asyncio.ensure_future(make().to(to_list()).run())
        for _ in range(k):
            await asyncio.sleep(0)
        over = run.done()
        run.cancel()
        await asyncio.wait((run,))
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before, f"cancelled after {k} passes"
        assert Open.opened == Open.closed <= 1, f"cancelled after {k} passes"
        if over or k > 60:
            break


LOST = OSError("lost")
FAILING: list[tuple[str, Callable[[], Flow[Any, Any]], list[Any]]] = [
    ("iterate", lambda: iterate(generated(LOST)), INPUT),
    ("failed", lambda: failed(LOST), []),
    ("async_iterate", lambda: async_iterate(Steps(LOST)), INPUT),
    ("unfold", lambda: unfold(0, lambda x: counted(x, LOST)), INPUT),
    ("unfold_async", lambda: unfold_async(0, lambda x: counted_later(x, LOST)), INPUT),
    ("resource", lambda: resource(lambda: Open(LOST), Open.read, Open.close), INPUT),
    ("resource, blocking", lambda: resource(lambda: Open(LOST), Open.read, Open.close, blocking=True), INPUT),
    ("resource_async", lambda: resource_async(lambda: open_later(LOST), Open.read_later, Open.close_later), INPUT),
    ("read_from", lambda: read_from("records", lambda: Records(LOST)), INPUT),
    ("read_from_blocking", lambda: read_from_blocking("records", lambda: BlockingRecords(LOST)), INPUT),
    ("lazy_source", lambda: lazy_source(lambda: iterate(generated(LOST))), INPUT),
    ("future_source", lambda: future_source(lambda: one(LOST)), []),
    ("zip_n", lambda: zip_n(iterate(generated(LOST)), repeat(1)), [(x, 1) for x in INPUT]),
]


@pytest.mark.parametrize(("make", "before"), [s[1:] for s in FAILING], ids=[s[0] for s in FAILING])
@pytest.mark.parametrize("n", [1, 2, 1000])
async def test_an_error_of_a_source_comes_after_all_before_it_and_stays(
    make: Callable[[], Flow[Any, Any]], before: list[Any], n: int
) -> None:
    found: list[Any] = []
    Open.opened = Open.closed = 0
    async with pulled(make()) as stage:
        while len(found) < len(before):
            found += (await stage.pull(n)).data  # type: ignore[union-attr]
        for _ in range(3):
            with pytest.raises(OSError, match="lost"):
                await stage.pull(n)
    assert found == before
    assert Open.opened == Open.closed


def reading(flow: Callable[[Callable[[int], int]], Flow[Any, Any]]) -> tuple[Flow[Any, Any], list[int]]:
    """A source that notes what it reads."""
    seen: list[int] = []

    def note(x: int) -> int:
        seen.append(x)
        return x

    return flow(note), seen


class Noted(Open):
    def __init__(self, note: Callable[[int], int]) -> None:
        self.left = map(note, itertools.count())
        self.end = None


@pytest.mark.parametrize(
    "flow",
    [
        lambda note: iterate(map(note, itertools.count())),
        lambda note: cycle(lambda: map(note, [5])),
        lambda note: unfold(0, lambda x: (x + 1, note(x))),
        lambda note: resource(lambda: Noted(note), Open.read, Open.close),
        lambda note: resource(lambda: Noted(note), Open.read, Open.close, blocking=True),
        lambda note: zip_n(iterate(map(note, itertools.count())), iterate(itertools.count())),
        lambda note: lazy_source(lambda: iterate(map(note, itertools.count()))),
    ],
    ids=["iterate", "cycle", "unfold", "resource", "resource, blocking", "zip_n", "lazy_source"],
)
async def test_take_below_a_source_reads_just_what_it_takes(flow: Any) -> None:
    made, seen = reading(flow)
    assert len(await made.take(20).to(to_list()).run()) == 20
    assert len(seen) == 20
