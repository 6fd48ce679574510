"""One writer at a time: opened once, replaced when nobody uses it, closed each once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.writer_slot import WriterSlot


class Log:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.made = 0
        self.fails: list[str] = []
        self.gate = asyncio.Event()

    def make(self) -> Numbered:
        self.call("make")
        self.made += 1
        return Numbered(self, self.made)

    def call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            self.fails.remove(name)
            raise OSError(name)


class Numbered:
    def __init__(self, log: Log, number: int) -> None:
        self.log = log
        self.number = number

    async def open(self) -> None:
        await asyncio.sleep(0)
        self.log.call(f"open {self.number}")

    async def write(self, records: Any) -> None:
        self.log.call(f"write {self.number}")
        await self.log.gate.wait()
        self.log.call(f"wrote {self.number}")

    async def close(self) -> None:
        self.log.call(f"close {self.number}")


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_writer_that_does_not_open_is_closed_before_the_next_one_is_made() -> None:
    log = Log()
    log.fails = ["open 1", "close 1"]
    slot = WriterSlot(log.make)
    with pytest.raises(OSError, match="open 1"):
        await slot.open()
    assert (await slot.ready()).number == 2
    assert (await slot.ready()).number == 2
    await slot.close()
    assert log.calls == ["make", "open 1", "close 1", "make", "open 2", "close 2"]


async def test_a_replacement_waits_for_the_writes_and_what_comes_meanwhile_waits_for_it() -> None:
    log = Log()
    slot = WriterSlot(log.make)
    await slot.open()
    first = await slot.ready()
    write = asyncio.ensure_future(slot.write(first, []))
    await settle()
    slot.replace(first)
    others = [asyncio.ensure_future(slot.ready()) for _ in range(3)]
    await settle()
    assert log.calls == ["make", "open 1", "write 1"]
    log.gate.set()
    await write
    assert [(await other).number for other in others] == [2, 2, 2]
    assert log.calls[2:] == ["write 1", "wrote 1", "close 1", "make", "open 2"]


async def test_a_writer_that_was_replaced_already_is_not_replaced_once_more() -> None:
    log = Log()
    slot = WriterSlot(log.make)
    await slot.open()
    first = await slot.ready()
    slot.replace(first)
    await slot.ready()
    slot.replace(first)
    assert (await slot.ready()).number == 2


async def test_one_that_waits_and_is_cancelled_leaves_the_place_to_the_next() -> None:
    log = Log()
    slot = WriterSlot(log.make)
    await slot.open()
    first = await slot.ready()
    write = asyncio.ensure_future(slot.write(first, []))
    await settle()
    slot.replace(first)
    waiting = [asyncio.ensure_future(slot.ready()) for _ in range(2)]
    await settle()
    waiting[0].cancel()
    await settle()
    log.gate.set()
    await write
    assert (await waiting[1]).number == 2
