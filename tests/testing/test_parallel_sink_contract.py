"""The contract of sinks that are written to several times at once finds writers that break a promise."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.testing.parallel_sink_contract import ParallelCase, ParallelSinkContract
from tests.testing.promises import broken

if TYPE_CHECKING:
    from collections.abc import Sequence

Record = tuple[int, str]


class Writer:
    """Keeps every promise; the classes below break one each."""

    parallel = 3

    def __init__(self, target: dict[int, Record]) -> None:
        self.target = target

    def keys_of(self, records: Sequence[Record]) -> frozenset[int]:
        return frozenset(key for key, _ in records)

    async def open(self) -> None: ...

    async def write(self, records: Sequence[Record]) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        self.target.update((record[0], record) for record in records)

    async def close(self) -> None: ...


class OneAtATime(Writer):
    parallel = 1


class NoKeys(Writer):
    """Says that no two batches have a key in common."""

    def keys_of(self, records: Sequence[Record]) -> frozenset[int]:
        return frozenset()


class KeysOfRecords(Writer):
    """Takes another record of a key for another key."""

    def keys_of(self, records: Sequence[Record]) -> frozenset[Any]:
        return frozenset(records)


class OneKey(Writer):
    """Says that all batches have the same key."""

    def keys_of(self, records: Sequence[Record]) -> frozenset[int]:
        return frozenset({0})


class OneBuffer(Writer):
    """Has one place for the batch that is being written."""

    async def write(self, records: Sequence[Record]) -> None:
        self.buffer = records
        await asyncio.sleep(0)
        self.target.update((record[0], record) for record in self.buffer)


class OneConnection(Writer):
    """Breaks off all writes with one of them."""

    broken = False

    async def write(self, records: Sequence[Record]) -> None:
        try:
            await super().write(records)
        except asyncio.CancelledError:
            self.broken = True
            raise
        if self.broken:
            raise AssertionError("the connection is broken")


def case(kind: type[Writer]) -> ParallelCase:
    target: dict[int, Record] = {}
    batches = [[(key, "old"), (key + 1, "old")] for key in (1, 3, 5)]
    return ParallelCase(lambda: kind(target), lambda: list(target.values()), batches, [(1, "new"), (2, "new")])


async def test_a_writer_that_keeps_its_promises_breaks_none() -> None:
    assert await broken(ParallelSinkContract, lambda: case(Writer)) == set()


@pytest.mark.parametrize("liar", [OneAtATime, NoKeys, KeysOfRecords, OneKey, OneBuffer, OneConnection])
async def test_a_writer_that_breaks_one_is_found(liar: type[Writer]) -> None:
    assert await broken(ParallelSinkContract, lambda: case(liar))
