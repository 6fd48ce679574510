"""A sink that gives up while others go on: nothing it has not seen is confirmed, however long it takes to close."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.sinks import foreach
from teleporter_lab.engine.stages.writing import write_to
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow, RunnableGraph, Sink


class SlowToClose:
    """A writer that closes in fifty passes of the loop, and fails on `bad`."""

    def __init__(self, bad: int | None = None) -> None:
        self.written: list[int] = []
        self._bad = bad

    async def open(self) -> None:
        pass

    async def write(self, records: Any) -> None:
        if self._bad in records:
            raise OSError("disk full")
        self.written += records

    async def close(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


SPLITS: dict[str, Callable[[Flow[Any, Any], Sink[Any, Any], Sink[Any, Any]], RunnableGraph[Any]]] = {
    "also_to": lambda f, main, side: f.also_to(side).to(main),
    "also_to, the other way": lambda f, main, side: f.also_to(main).to(side),
    "broadcast": lambda f, main, side: f.broadcast(main, side),
    "broadcast, the other way": lambda f, main, side: f.broadcast(side, main),
    "within a branch": lambda f, main, side: f.also_to(flow().map(int).also_to(side).to(main)).to(foreach(int)),
}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("how", ["cancelled", "failing"])
async def test_no_position_passes_a_record_that_a_sink_has_not_stored(split: str, how: str) -> None:
    window, writer, side = Witness(1000), SlowToClose(bad=1 if how == "failing" else None), list[int]()
    source = SourceProbe([[0]], window=window, wait=True)
    graph = SPLITS[split](source.as_source(), write_to("slow", lambda: writer, 1), foreach(side.append))
    run = asyncio.ensure_future(graph.run())
    for _ in range(60):
        await asyncio.sleep(0)
    if how == "cancelled":
        run.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    source.give([1], [2], [3])
    await asyncio.wait((run,))
    assert run.cancelled() or isinstance(run.exception(), OSError)
    position = 0 if window.progress is None else window.progress.position
    assert writer.written == list(range(position))
    assert source.closes == 1
