from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from teleporter_lab.errors import (
    Conflict,
    ConnectionLost,
)
from teleporter_lab.rpc.messages import (
    Done,
    Goodbye,
    KeyValue,
    KeyValues,
    KVGet,
    LogLines,
    Message,
    Request,
)

if TYPE_CHECKING:
    import pytest


async def test_a_side_that_ignores_the_window_is_not_read_on(net: Any, until: Any) -> None:
    go_on = asyncio.Event()

    async def handler(message: Message) -> Message:
        await go_on.wait()
        return message

    await net.listen(handler, terms=replace(net.terms, open_requests=8))
    async with net.raw() as raw:
        await raw.greet()
        server = await net.accepted.get()
        flood = b"".join(raw.connection.send(Request(i + 1, KeyValue("k", "x" * 10_000))) for i in range(4000))
        raw.writer.write(flood)
        await until(lambda: server.statistics().waiting_answers > 8)
        for _ in range(200):
            await asyncio.sleep(0)
        statistics = server.statistics()
        assert statistics.open_answers == 8
        assert statistics.received_bytes < len(flood) / 10
        go_on.set()
        found: list[Any] = []
        while len(found) < 4000:
            found += raw.connection.receive(await raw.reader.read(2**20))
        assert [reply.seq for reply in found] == list(range(1, 4001))


async def test_a_side_that_does_not_read_gets_no_more(net: Any, until: Any) -> None:
    """Its answers wait, each in its slot; the other one's memory does not grow."""
    answer = KeyValues([KeyValue("k", "x" * 1_000_000)])

    async def handler(message: Message) -> Message:
        return answer

    await net.listen(handler, terms=replace(net.terms, open_requests=16))
    async with net.raw() as raw:
        await raw.greet()
        server = await net.accepted.get()
        for i in range(200):
            raw.send(Request(i + 1, Done()))
        await until(lambda: server.link.paused)
        await until(lambda: server.statistics().open_answers == 16)
        assert server.statistics().unsent_bytes < 3_000_000
        found = 0
        while found < 200:
            found += len(raw.connection.receive(await raw.reader.read(2**20)))


async def test_notices_are_taken_one_after_another_in_order(net: Any) -> None:
    taken: list[str] = []
    running = 0
    everything = asyncio.Event()

    async def handler(message: Message) -> Message:
        nonlocal running
        assert isinstance(message, KeyValue)
        running += 1
        assert running == 1
        for _ in range(random.Random(message.key).randrange(3)):
            await asyncio.sleep(0)
        running -= 1
        taken.append(message.key)
        if len(taken) == 500:
            everything.set()
        return Done()

    client, _ = await net.pair(handler)
    for i in range(500):
        client.tell(KeyValue(str(i), ""))
    await everything.wait()
    assert taken == [str(i) for i in range(500)]


async def test_a_notice_that_fails_is_logged_and_the_next_one_taken(net: Any, caplog: pytest.LogCaptureFixture) -> None:
    taken = asyncio.Event()

    async def handler(message: Message) -> Message:
        if isinstance(message, KVGet):
            raise Conflict("It is another one by now.")
        if isinstance(message, LogLines):
            raise asyncio.CancelledError
        taken.set()
        return Done()

    client, _ = await net.pair(handler)
    client.tell(KVGet("config", "/k"))
    client.tell(LogLines([]))
    client.tell(Done())
    await taken.wait()
    assert "A notice KVGet failed: It is another one by now." in caplog.text


async def test_a_flood_of_notices_is_not_read_on(net: Any, until: Any) -> None:
    go_on = asyncio.Event()
    taken = 0

    async def handler(message: Message) -> Message:
        nonlocal taken
        await go_on.wait()
        taken += 1
        return Done()

    client, server = await net.pair(handler, open_requests=4)
    for _ in range(20):
        client.tell(KeyValue("k", "x" * 1_000_000))
    await until(lambda: server.statistics().waiting_answers > 4)
    for _ in range(200):
        await asyncio.sleep(0)
    assert server.statistics().waiting_answers < 10
    go_on.set()
    await until(lambda: taken == 20)


async def test_a_reader_far_too_slow_loses_the_connection(net: Any, until: Any) -> None:
    await net.listen(terms=replace(net.terms, unsent=5_000_000))
    async with net.raw() as raw:
        await raw.greet()
        server = await net.accepted.get()

        def tell_until_refused() -> tuple[int, str]:
            for told in range(60):
                try:
                    server.tell(KeyValue("k", "x" * 1_000_000))
                except ConnectionLost as error:
                    return told, str(error)
            return 60, ""

        told, reason = tell_until_refused()
        assert 4 < told < 60
        assert "5,000,000 bytes wait" in reason
        assert server.why == Goodbye("slow_reader", "More than 5,000,000 bytes wait to be read.")
        net.timers.advance(net.terms.linger)
        await server.wait_closed()
