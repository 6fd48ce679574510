"""What the engine does for an element, a chunk and a batch, counted in Python calls: it holds on a noisy machine.

Times are measured by `make bench-engine`; a change that adds work for each element shows here first.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from teleporter_lab import engine
from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.stages.batches import from_batches
from teleporter_lab.engine.stages.sinks import ignore
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.turnstile import MAX_CHUNK
from teleporter_lab.testing.probes import SourceProbe

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow, RunnableGraph


ENGINE = str(Path(engine.__file__).parent)


async def calls(graph: RunnableGraph[Any]) -> int:
    """Functions of the engine called, and coroutines of it resumed, in one run."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(ENGINE)

    sys.setprofile(profile)
    try:
        await graph.run()
    finally:
        sys.setprofile(None)
    return count


def trivial(elements: int, operators: int = 3) -> RunnableGraph[None]:
    """Operators whose functions are built in, so that they do not count."""
    flow = iterate(range(elements))
    for i in range(operators):
        flow = flow.filter(bool) if i % 3 == 1 else flow.map(abs)
    return flow.to(ignore())


async def test_the_engine_makes_no_call_for_each_element() -> None:
    """More elements are more chunks, each of which costs some calls for each operator, whatever went before."""
    few, many = await calls(trivial(20 * MAX_CHUNK)), await calls(trivial(40 * MAX_CHUNK))
    assert (many - few) / 20 <= 40
    long, longer = await calls(trivial(100 * MAX_CHUNK)), await calls(trivial(120 * MAX_CHUNK))
    assert abs((longer - long) - (many - few)) <= 60, "the cost of a chunk does not depend on how many went before"
    six_few, six_many = await calls(trivial(20 * MAX_CHUNK, 6)), await calls(trivial(40 * MAX_CHUNK, 6))
    assert ((six_many - six_few) - (many - few)) / 20 <= 3 * 8


OPERATORS: dict[str, Callable[[Flow[Any, Any]], Flow[Any, Any]]] = {
    "map": lambda f: f.map(abs),
    "filter": lambda f: f.filter(bool),
    "take": lambda f: f.take(10**9),
    "drop": lambda f: f.drop(1),
    "grouped": lambda f: f.grouped(10),
    "throttle": lambda f: f.throttle(10**9, 1.0),
    "monitor": lambda f: f.monitor(),
    "kill_switch": lambda f: f.kill_switch(),
    "merge": lambda f: f.merge(iterate(())),
    "broadcast": lambda f: f.also_to(ignore()),
    "buffer": lambda f: f.buffer(10_000),
    "async_boundary": lambda f: f.async_boundary(10_000),
}


@pytest.mark.parametrize("operator", OPERATORS)
async def test_an_operator_costs_calls_for_each_chunk_only(operator: str) -> None:
    async def count(size: int) -> int:
        source = SourceProbe([list(range(1, size + 1))] * 50, window=AckWindow(10**9))
        return await calls(OPERATORS[operator](source.as_source()).to(ignore()))

    assert await count(1000) <= 3 * await count(100), "ten times the elements in as many chunks"


async def test_acks_cost_calls_for_each_chunk_only() -> None:
    async def count(chunks: int, size: int) -> int:
        window = AckWindow(10**9)
        source = SourceProbe([list(range(size))] * chunks, window=window)
        total = await calls(source.as_source().map(abs).filter(bool).map(abs).to(ignore()))
        assert window.room == window.size
        return total

    assert await count(20, 10) == await count(20, 1000)
    assert (await count(40, 10) - await count(20, 10)) / 20 <= 60


async def touch(x: int) -> int:
    await asyncio.sleep(0)
    return x


@pytest.mark.parametrize("operator", ["map_async", "map_async_unordered"])
async def test_a_pool_resumes_a_worker_once_for_an_element_and_little_else(operator: str) -> None:
    """Sixteen at a time, each pass of the loop gives sixteen results, which go on as one chunk."""

    async def count(elements: int) -> int:
        flow: Any = iterate(range(elements))
        return await calls(getattr(flow, operator)(16, touch).to(ignore()))

    assert (await count(8000) - await count(4000)) / 4000 <= 3.3


async def test_columns_cost_calls_for_each_batch_only() -> None:
    async def count(rows: int) -> int:
        batches = [pa.record_batch({"x": list(range(rows))})] * 40
        source = SourceProbe(batches).as_source().filter(pc.field("x") >= 0)
        return await calls(source.with_columns(y=pc.field("x") + 1).select("y").to(ignore()))

    assert abs(await count(10_000) - await count(10)) <= 40, "what is loaded on first use"
    assert await calls(from_batches([pa.record_batch({"x": list(range(60_000))})]).to(ignore())) <= 1500
