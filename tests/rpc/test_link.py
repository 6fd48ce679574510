from __future__ import annotations

import asyncio
import gc
import random
import struct
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from teleporter_lab.errors import (
    ConnectionLost,
)
from teleporter_lab.rpc.messages import (
    Done,
    Goodbye,
    Hello,
    Message,
    Reply,
    Request,
    Welcome,
)
from teleporter_lab.rpc.peer import Peer
from teleporter_lab.rpc.protocol import HEARTBEAT, MAX_FRAME, MAX_GREETING


async def never(message: Message) -> Message:
    await asyncio.Event().wait()
    return Done()


def frame(value: Any) -> bytes:
    body = value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
    return struct.pack(">I", len(body)) + body


GARBAGE = {
    "random": random.Random(1).randbytes(5000),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "oversize": struct.pack(">I", MAX_FRAME + 1),
    "oversize greeting": struct.pack(">I", MAX_GREETING + 1) + b"x" * 100_000,
    "no message": frame(b"\xc1\xc1"),
    "not a hello": frame(Request(1, Done())),
    "nested": frame(b"\x91" * 60_000),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_is_closed_with_a_reason_and_the_listener_goes_on(net: Any, data: bytes) -> None:
    await net.listen()
    async with net.raw() as raw:
        raw.writer.write(data)
        (goodbye,) = await raw.answer()
        assert goodbye.code in {"frame_too_large", "malformed_frame"}
        assert goodbye.reason
    assert (await net.dial()).remote == net.welcome


AFTER = {
    "unknown type": (frame({"t": "Nonsense"}), "malformed_frame"),
    "unknown message": (frame({"t": "Request", "seq": 1, "body": {"t": "Nonsense"}}), "malformed_frame"),
    "second hello": (frame(Hello(1, "", "", 0, "", "")), "malformed_frame"),
    "oversize": (struct.pack(">I", MAX_FRAME + 1), "frame_too_large"),
    "an answer nobody asked for": (frame(Reply(1, Done())), "malformed_frame"),
    "the same number twice": (frame(Request(1, Done())) * 2, "malformed_frame"),
}


@pytest.mark.parametrize(("data", "code"), AFTER.values(), ids=AFTER.keys())
async def test_rules_hold_after_the_handshake(net: Any, data: bytes, code: str) -> None:
    await net.listen()
    async with net.raw() as raw:
        await raw.greet()
        raw.writer.write(data)
        assert [one.code for one in await raw.answer() if isinstance(one, Goodbye)] == [code]
    server = await net.accepted.get()
    await server.wait_closed()
    assert server.why is not None
    assert server.why.code == code
    assert await (await net.dial()).request(Done()) == Done()


async def test_the_reason_arrives_while_more_comes_in(net: Any) -> None:
    """A socket closed with bytes unread would be reset, and the Goodbye lost."""
    await net.listen()
    async with net.raw() as raw:
        raw.writer.write(b"\xff" * 1_000_000)
        (goodbye,) = await raw.answer()
        assert goodbye.code == "frame_too_large"


async def test_a_handshake_drop_by_drop(net: Any, until: Any) -> None:
    listener = await net.listen()
    async with net.raw() as raw:
        hello = frame(net.hello)
        for at in range(10):
            raw.writer.write(hello[at : at + 1])
            await raw.writer.drain()
            await until(lambda: listener.statistics()["strangers"] == 1)
            net.timers.advance(0.9)
        net.timers.advance(1.1)
        (goodbye,) = await raw.answer()
        assert goodbye.code == "handshake_timeout"
    await until(lambda: listener.statistics()["strangers"] == 0)


async def test_an_authorizer_that_takes_too_long(net: Any, until: Any) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def slow(hello: Hello) -> Welcome:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    await net.listen(authorize=slow)
    async with net.raw() as raw:
        raw.send(net.hello)
        await asked.wait()
        net.timers.advance(net.terms.handshake)
        (goodbye,) = await raw.answer()
        assert goodbye.code == "handshake_timeout"
        await ended.wait()


async def test_too_many_strangers_are_sent_away(net: Any, until: Any) -> None:
    listener = await net.listen(terms=replace(net.terms, strangers=2))
    async with net.raw() as first, net.raw(), net.raw() as third:
        await until(lambda: listener.statistics()["strangers"] >= 2)
        assert [one.code for one in await third.answer()] == ["busy"]
        await first.greet()
        await until(lambda: listener.statistics() == {"peers": 1, "strangers": 1})
        assert len(listener.peers) == 1
        async with net.raw() as fourth:
            await fourth.greet()


async def test_one_who_closes_and_does_not_read_the_reason_is_waited_for_only_so_long(net: Any, until: Any) -> None:
    listener = await net.listen()
    async with net.raw() as raw:
        await raw.greet()
        server = await net.accepted.get()
        server.link.close("idle", "test")
        assert listener.statistics()["peers"] == 1
        net.timers.advance(net.terms.linger)
        await until(lambda: listener.statistics()["peers"] == 0)


async def test_nothing_is_left_of_a_thousand_bad_connections(net: Any, until: Any) -> None:
    listener = await net.listen()
    chosen = random.Random(3)
    for _ in range(20):
        for _ in range(50):
            async with net.raw() as raw:
                raw.writer.write(chosen.randbytes(chosen.randrange(200)))
        await until(lambda: listener.statistics() == {"peers": 0, "strangers": 0})
    gc.collect()
    assert sum(isinstance(thing, Peer) for thing in gc.get_objects()) == 0
    assert net.timers.waiting() == 0
    assert await (await net.dial()).request(Done()) == Done()


# ---- signs of life


async def test_heartbeats_keep_a_silent_connection(net: Any, until: Any) -> None:
    client, server = await net.pair()

    async def heard_from_each_other() -> None:
        peers = {peer: peer.statistics().received_bytes for peer in (client, server)}
        net.timers.advance(30)
        await until(lambda: all(peer.statistics().received_bytes > before for peer, before in peers.items()))

    for _ in range(20):
        await heard_from_each_other()
    assert client.why is None
    assert server.why is None


async def test_who_says_nothing_for_two_minutes_is_closed(net: Any) -> None:
    await net.listen(never)
    async with net.raw() as raw:
        await raw.greet()
        server = await net.accepted.get()
        request = asyncio.ensure_future(server.request(Done(), timeout=1000))
        await asyncio.sleep(0)
        net.timers.advance(119)
        assert server.why is None
        net.timers.advance(1)
        with pytest.raises(ConnectionLost, match="Nothing was heard for 120 s"):
            await request
        found = await raw.answer()
        assert [type(one) for one in found] == [Request, Goodbye]
        assert found[-1].code == "idle"


async def test_a_heartbeat_counts_as_life(net: Any, until: Any) -> None:
    await net.listen()
    async with net.raw() as raw:
        await raw.greet()
        server = await net.accepted.get()
        received = server.statistics().received_bytes
        net.timers.advance(100)
        raw.writer.write(HEARTBEAT)
        await until(lambda: server.statistics().received_bytes > received)
        net.timers.advance(119)
        assert server.why is None


async def test_the_welcome_says_how_often(net: Any, until: Any) -> None:
    async def authorize(hello: Hello) -> Welcome:
        return Welcome("b", "s", 2.0)

    await net.listen(authorize=authorize)
    client = await net.dial()
    sent = client.statistics().sent_bytes
    net.timers.advance(2)
    await until(lambda: client.statistics().sent_bytes == sent + len(HEARTBEAT))
