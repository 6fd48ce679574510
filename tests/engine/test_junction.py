"""Streams that split in any way and again: random ones, run to their end or cancelled, with few records in flight."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.sinks import ignore
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe, pulled

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow

RECORDS = 60


def by(ways: int) -> Callable[[Any], int]:
    """A way for each element, whatever that is."""
    return lambda x: crc32(repr(x).encode()) % ways


class Maker:
    """Random flows and sinks, the same for the same seed. `ends` says whether a part may end before its input does."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ends = True

    def below(self, n: int) -> int:
        return self.random.randrange(n)

    async def later(self, x: Any) -> Any:
        for _ in range(self.below(4)):
            await asyncio.sleep(0)
        return x

    def flow(self, f: Flow[Any, Any], depth: int) -> Flow[Any, Any]:
        for _ in range(self.below(3)):
            f = self.operator(f, depth)
        return f

    def sinks(self, depth: int) -> list[Any]:
        return [self.sink(depth - 1) for _ in range(1 + self.below(3))]

    def sink(self, depth: int) -> Any:
        f: Any = self.flow(flow(), depth)
        if depth <= 0:
            return f.to(ignore())
        sinks = self.sinks(depth)
        ends = [
            lambda: f.to(ignore()),
            lambda: f.broadcast(*sinks),
            lambda: f.balance(*sinks),
            lambda: f.partition(*sinks, by=by(len(sinks))),
        ]
        return self.random.choice(ends)()

    def operator(self, f: Flow[Any, Any], depth: int) -> Flow[Any, Any]:
        makes: list[Callable[[], Flow[Any, Any]]] = [
            lambda: f.map_async(1 + self.below(3), self.later),
            lambda: f.filter(by(3)),
            lambda: f.map_concat(lambda x: [x] * by(3)(x)),
            lambda: f.grouped(1 + self.below(2)),
            lambda: f.with_attributes(chunk=1 + self.below(3)),
        ]
        if self.ends:
            makes.append(lambda: f.take(self.below(25)))
        if depth > 0:
            makes += [
                lambda: f.also_to(*self.sinks(depth)),
                lambda: f.divert_to(self.sink(depth - 1), when=by(2)),
                lambda: f.wire_tap(self.sink(depth - 1)),
                lambda: f.balanced(1 + self.below(3), self.worker(depth - 1)),
                lambda: f.merge(iterate(range(self.below(5)))),
                lambda: f.interleave(iterate(range(self.below(5))), 1 + self.below(2)),
            ]
        return self.random.choice(makes)()

    def worker(self, depth: int) -> Flow[Any, Any]:
        """One that takes all it gets: what another holds when it ends stays un-confirmed."""
        before, self.ends = self.ends, False
        worker = self.flow(flow(), depth)
        self.ends = before
        return worker

    def script(self) -> list[list[int]]:
        cuts = sorted(self.random.sample(range(1, RECORDS), 20))
        return [list(range(a, b)) for a, b in zip([0, *cuts], [*cuts, RECORDS], strict=True)]

    def graph(self, source: Flow[Any, Any]) -> Any:
        f = self.operator(self.flow(source, 2), 2)
        return f.to(ignore()) if self.below(2) else f.to(self.sink(2))


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("seeds", [range(i, i + 25) for i in range(0, 150, 25)], ids=str)
async def test_no_split_stream_hangs_leaks_or_confirms_twice(seeds: range, cancelled: bool) -> None:
    for seed in seeds:
        make, window = Maker(seed), Witness(RECORDS)
        source = SourceProbe(make.script(), passes=make.below(3))
        graph = make.graph(source.as_source().source_ack(window))
        run = asyncio.ensure_future(graph.run())
        if cancelled:
            for _ in range(1 + make.below(80)):
                await asyncio.sleep(0)
            run.cancel()
        done, _ = await asyncio.wait((run,), timeout=10)
        assert done, f"{seed} hangs: {graph}"
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}, f"{seed} leaves tasks: {graph}"
        assert source.closes == 1, f"{seed}: {graph}"
        assert window.late == 0, f"{seed}: {graph}"
        if not run.cancelled():
            run.result()
            if "take" not in repr(graph):
                window.check_all_settled()


async def test_a_way_that_loses_its_elements_leaves_nobody_asleep() -> None:
    """More was read than is asked for now, and the next of it is for one that is not there any more."""
    source = SourceProbe([[0, 1, 3, 2, 5, 4]], passes=20)
    flows = source.as_source().divert_to(flow().take(0).to(ignore()), when=lambda x: x % 2)
    found: list[int] = []

    async def pulls() -> None:
        async with pulled(flows) as stage:
            pull = asyncio.ensure_future(stage.pull(10))
            for _ in range(9):
                await asyncio.sleep(0)
            pull.cancel()
            await asyncio.wait((pull,))
            while (chunk := await stage.pull(1)) is not None:
                found.extend(chunk.data)

    await asyncio.wait_for(pulls(), 5)
    assert found == [0, 2, 4]
