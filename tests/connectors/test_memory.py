"""Lists in memory keep the promises of a source and of a sink, from any thread."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.connectors.base import Registry
from teleporter_lab.connectors.memory import (
    Memory,
    MemoryOptions,
    MemorySink,
    MemorySinkOptions,
    MemorySource,
    MemorySourceOptions,
)
from teleporter_lab.engine.endpoints import Mark
from teleporter_lab.errors import Conflict, ConnectorError
from teleporter_lab.testing.exactly_once_contract import ExactlyOnceCase, ExactlyOnceSinkContract
from teleporter_lab.testing.sink_contract import SinkCase, SinkContract
from teleporter_lab.testing.source_contract import AsyncSourceContract, SourceCase

RECORDS = [{"id": n, "text": "ü" * n} for n in range(100)]


class TestMemorySource(AsyncSourceContract):
    @pytest.fixture
    def case(self) -> SourceCase:
        memory = Memory(MemoryOptions(lists={"in": RECORDS}))
        return SourceCase(lambda: MemorySource(MemorySourceOptions(name="in"), memory), RECORDS)


class TestMemorySink(SinkContract):
    @pytest.fixture
    def case(self) -> SinkCase:
        memory = Memory(MemoryOptions(max_records=250))
        return SinkCase(
            make=lambda: MemorySink(MemorySinkOptions(name="out"), memory),
            read_back=lambda: memory["out"],
            records=RECORDS,
            bad=[*RECORDS, *RECORDS, *RECORDS],
        )


class TestExactlyOnceMemorySink(ExactlyOnceSinkContract):
    @pytest.fixture
    def case(self) -> ExactlyOnceCase:
        memory = Memory(MemoryOptions(max_records=250))
        return ExactlyOnceCase(
            make=lambda: MemorySink(MemorySinkOptions(name="out", exactly_once=True), memory),
            read_back=lambda: memory["out"],
            records=RECORDS,
            bad=[*RECORDS, *RECORDS, *RECORDS],
        )


def test_marks_are_kept_beside_all_lists_and_a_full_list_moves_none() -> None:
    memory = Memory(MemoryOptions(max_records=2))
    memory.append("a", [1], Mark("/k", "one", None, 1))
    memory.append("b", [2], Mark("/k", "two", "one", 2))
    with pytest.raises(ConnectorError, match="is full"):
        memory.append("a", [3, 4], Mark("/k", "three", "two", 3))
    with pytest.raises(Conflict, match="Another run has moved /k on"):
        memory.append("a", [3], Mark("/k", "three", "one", 3))
    assert (memory["a"], memory["b"], memory.marked("/k"), memory.marked("/other")) == ([1], [2], "two", None)


def follower(memory: Memory) -> MemorySource:
    return MemorySource(MemorySourceOptions(name="in", follow=True), memory)


async def test_a_following_reader_waits_for_an_append_from_another_thread() -> None:
    memory = Memory()
    reader = follower(memory)
    await reader.open(None)
    reading = asyncio.ensure_future(reader.read(10))
    await asyncio.sleep(0)
    assert not reading.done()
    await asyncio.to_thread(memory.append, "other", ["x"])
    await asyncio.to_thread(memory.append, "in", ["a", "b"])
    assert await reading == ["a", "b"]
    assert reader.position == {"index": 2}


async def test_a_cancelled_wait_is_forgotten_and_loses_nothing() -> None:
    memory = Memory()
    reader = follower(memory)
    await reader.open({"index": 1})
    reading = asyncio.ensure_future(reader.read(10))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    memory.append("in", ["a", "b", "c"])
    assert await reader.read(1) == ["b"]
    assert await reader.read(5) == ["c"]


@pytest.mark.parametrize("position", [{"offset": 1}, "1", {"index": -1}])
async def test_a_position_of_something_else_is_refused(position: Any) -> None:
    with pytest.raises(ConnectorError, match="is no position of a list"):
        await follower(Memory()).open(position)
    with pytest.raises(ConnectorError, match="is no position of a list"):
        Registry.load().distance("memory", position, {"index": 1})
    assert Registry.load().distance("memory", {"index": 3}, {"index": 1}) == -2


async def test_what_is_taken_out_is_a_copy_and_the_lists_outlive_the_address() -> None:
    memory = Memory(MemoryOptions(lists={"in": [1]}))
    memory["in"].append(2)
    await memory.check()
    memory.close()
    assert memory["in"] == [1]
    assert memory["nothing"] == []
    assert memory.statistics() == {"in": 1}


async def test_the_connector_makes_all_three_around_one_address() -> None:
    connector = Registry.load().get("memory")
    memory = connector.spec("address").make(MemoryOptions(), None)
    sink = connector.spec("sink").make(MemorySinkOptions(name="x"), memory)
    source = connector.spec("source").make(MemorySourceOptions(name="x"), memory)
    await sink.write([1, 2])
    await source.open(None)
    assert await source.read(5) == [1, 2]
    with pytest.raises(ConnectorError, match="needs an address of category memory"):
        connector.spec("source").make(MemorySourceOptions(name="x"), None)
