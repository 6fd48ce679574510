from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.errors import (
    ConnectionLost,
    FrameTooLarge,
    InvalidConfig,
    Problem,
    TeleporterError,
)
from teleporter_lab.rpc.messages import (
    Done,
    KeyValue,
    KVGet,
    Message,
    Reply,
)
from teleporter_lab.rpc.protocol import MAX_FRAME


async def echo(message: Message) -> Message:
    return message


async def never(message: Message) -> Message:
    await asyncio.Event().wait()
    return Done()


async def test_both_sides_ask(net: Any) -> None:
    async def broker(message: Message) -> Message:
        return KeyValue("from", "broker")

    async def instance(message: Message) -> Message:
        return KeyValue("from", "instance")

    client, server = await net.pair(broker, instance)
    assert await client.request(Done()) == KeyValue("from", "broker")
    assert await server.request(Done()) == KeyValue("from", "instance")
    assert client.remote == net.welcome
    assert server.remote == net.hello


async def test_a_handler_may_ask_back_over_the_same_connection(net: Any) -> None:
    async def broker(message: Message) -> Message:
        return await server.request(message)

    client, server = await net.pair(broker, echo)
    asked = [KVGet("config", str(i)) for i in range(300)]
    assert await asyncio.gather(*map(client.request, asked)) == asked


async def test_many_are_in_flight_and_each_gets_its_own_answer(net: Any) -> None:
    waiting: list[tuple[asyncio.Event, Message]] = []

    async def last_first(message: Message) -> Message:
        turn = asyncio.Event()
        waiting.append((turn, message))
        if len(waiting) == 200:
            for event, _ in reversed(waiting):
                event.set()
                await asyncio.sleep(0)
        await turn.wait()
        return message

    client, _ = await net.pair(last_first)
    asked = [KeyValue(str(i), "v") for i in range(200)]
    assert await asyncio.gather(*map(client.request, asked)) == asked
    assert client.statistics().open_requests == 0
    assert client.statistics().requests == 200


async def test_large_messages_both_ways(net: Any) -> None:
    client, _ = await net.pair(echo)
    big = KeyValue("k", "x" * (MAX_FRAME - 1000))
    assert await asyncio.gather(*(client.request(big) for _ in range(4))) == [big] * 4


async def test_an_error_is_raised_as_the_same_class(net: Any) -> None:
    error = InvalidConfig("Two mistakes.", (Problem("client.topics", "must be a list"), Problem("", "whole")))

    async def refuse(message: Message) -> Message:
        raise error

    client, _ = await net.pair(refuse)
    with pytest.raises(InvalidConfig) as caught:
        await client.request(Done())
    assert (caught.value.message, caught.value.problems) == (error.message, error.problems)


async def test_an_unexpected_error_is_logged_there_and_told_here_without_its_text(
    net: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(message: Message) -> Message:
        raise ValueError("the password is 1234")

    client, _ = await net.pair(broken)
    with pytest.raises(TeleporterError, match="Unexpected ValueError") as caught:
        await client.request(Done())
    assert "1234" not in str(caught.value)
    assert "1234" in caplog.text
    assert client.why is None


async def test_an_answer_too_large_is_a_failure_of_that_request_alone(net: Any) -> None:
    async def handler(message: Message) -> Message:
        return KeyValue("k", "x" * MAX_FRAME) if isinstance(message, KVGet) else message

    client, _ = await net.pair(handler)
    with pytest.raises(FrameTooLarge):
        await client.request(KVGet("config", "/k"))
    with pytest.raises(FrameTooLarge):
        await client.request(KeyValue("k", "x" * MAX_FRAME))
    assert await client.request(Done()) == Done()
    assert client.statistics().open_requests == 0


async def test_a_request_that_is_too_late(net: Any) -> None:
    client, _server = await net.pair(never)
    soon, later = (asyncio.ensure_future(client.request(Done(), timeout=t)) for t in (5.0, 7.0))
    await asyncio.sleep(0)
    net.timers.advance(5)
    with pytest.raises(TimeoutError):
        await soon
    assert not later.done()
    assert client.statistics().open_requests == 1
    net.timers.advance(2)
    with pytest.raises(TimeoutError):
        await later
    assert client.statistics().open_requests == 0


async def test_the_answer_to_a_forgotten_request_is_dropped(net: Any) -> None:
    go_on = asyncio.Event()

    async def handler(message: Message) -> Message:
        if isinstance(message, KVGet):
            await go_on.wait()
        return message

    client, _ = await net.pair(handler)
    request = asyncio.ensure_future(client.request(KVGet("config", "/k")))
    assert await client.request(Done()) == Done()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert client.statistics().open_requests == 0
    go_on.set()
    assert await client.request(KeyValue("a", "b")) == KeyValue("a", "b")


async def test_a_cancelled_handler_is_told(net: Any) -> None:
    async def handler(message: Message) -> Message:
        raise asyncio.CancelledError

    client, server = await net.pair(handler)
    with pytest.raises(TeleporterError, match="cancelled"):
        await client.request(Done())
    assert server.statistics().open_answers == 0


# ---- the window


async def test_requests_beyond_the_window_wait_for_their_turn(net: Any, until: Any) -> None:
    running: list[Message] = []
    go_on = asyncio.Semaphore(0)

    async def handler(message: Message) -> Message:
        running.append(message)
        await go_on.acquire()
        return message

    client, server = await net.pair(handler, open_requests=4)
    asked = [KeyValue(str(i), "") for i in range(10)]
    answers = asyncio.gather(*map(client.request, asked))
    await until(lambda: len(running) == 4)
    statistics = client.statistics()
    assert (statistics.open_requests, statistics.waiting_requests) == (4, 6)
    for _ in asked:
        go_on.release()
    assert await answers == asked
    assert running == asked
    assert server.statistics().waiting_answers == 0


async def test_a_waiting_request_can_be_late_and_cancelled(net: Any, until: Any) -> None:
    client, server = await net.pair(never, open_requests=2)
    open_ones = [asyncio.ensure_future(client.request(Done(), timeout=100)) for _ in range(2)]
    await until(lambda: server.statistics().open_answers == 2)
    late = asyncio.ensure_future(client.request(Done(), timeout=3))
    cancelled = asyncio.ensure_future(client.request(Done()))
    await until(lambda: client.statistics().waiting_requests == 2)
    net.timers.advance(3)
    cancelled.cancel()
    with pytest.raises(TimeoutError):
        await late
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert client.statistics().waiting_requests == 0
    await client.close()
    assert [type(e) for e in await asyncio.gather(*open_ones, return_exceptions=True)] == [ConnectionLost] * 2


async def test_requests_wait_while_the_other_side_does_not_read(net: Any, until: Any) -> None:
    await net.listen()
    async with net.raw() as raw:
        await raw.greet()
        server = await net.accepted.get()
        big = KeyValue("k", "x" * 1_000_000)
        requests = [asyncio.ensure_future(server.request(big)) for _ in range(60)]
        await until(lambda: server.link.paused)
        await until(lambda: server.statistics().waiting_requests > 0)
        assert server.statistics().unsent_bytes < 20_000_000
        answered = 0
        while answered < 60:
            for request in raw.connection.receive(await raw.reader.read(2**20)):
                raw.send(Reply(request.seq, Done()))
                answered += 1
        assert await asyncio.gather(*requests) == [Done()] * 60
