from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from typing import Any

import msgspec
import pytest

from teleporter_lab.errors import (
    Conflict,
    ConnectionLost,
    DaemonError,
    PortInUse,
    ProtocolError,
    Unauthorized,
    Unreachable,
    VersionMismatch,
)
from teleporter_lab.rpc.messages import (
    Done,
    Goodbye,
    Hello,
    KeyValue,
    Message,
    Notice,
    Welcome,
)
from teleporter_lab.rpc.peer import Listener, Peer, dial


async def echo(message: Message) -> Message:
    return message


async def never(message: Message) -> Message:
    await asyncio.Event().wait()
    return Done()


def frame(value: Any) -> bytes:
    body = value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
    return struct.pack(">I", len(body)) + body


# ---- the handshake


async def test_a_wrong_token(net: Any) -> None:
    await net.listen()
    with pytest.raises(Unauthorized, match="not the right one"):
        await net.dial(hello=msgspec.structs.replace(net.hello, token="wrong"))
    assert (await net.dial()).remote == net.welcome


async def test_another_version(net: Any) -> None:
    await net.listen()
    with pytest.raises(VersionMismatch, match="speaks version 1"):
        await net.dial(hello=msgspec.structs.replace(net.hello, version=2))


async def test_whatever_the_authorizer_raises(net: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def conflict(hello: Hello) -> Welcome:
        raise Conflict("That instance is connected already.")

    async def broken(hello: Hello) -> Welcome:
        raise RuntimeError("a mistake")

    await net.listen(authorize=conflict)
    with pytest.raises(Conflict, match="connected already"):
        await net.dial()
    await net.listen(authorize=broken)
    with pytest.raises(Unreachable, match="Unexpected RuntimeError"):
        await net.dial()
    assert "a mistake" in caplog.text


async def test_accept_may_ask_the_peer_while_its_requests_wait(net: Any) -> None:
    order: list[str] = []

    async def accept(peer: Peer) -> Any:
        assert await peer.request(Done()) == KeyValue("from", "instance")
        order.append("accepted")

        async def handler(message: Message) -> Message:
            order.append("asked")
            return message

        return handler

    async def instance(message: Message) -> Message:
        return KeyValue("from", "instance")

    await net.listen(accept=accept)
    client = await net.dial(instance)
    assert await client.request(Done()) == Done()
    assert order == ["accepted", "asked"]


async def test_an_accept_that_raises_ends_the_connection(net: Any) -> None:
    async def accept(peer: Peer) -> Any:
        raise Conflict("Not now.")

    await net.listen(accept=accept)
    client = await net.dial()
    await client.wait_closed()
    assert client.why == Goodbye("conflict", "Not now.")


async def test_an_accept_ends_with_its_connection(net: Any) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def accept(peer: Peer) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await net.listen(accept=accept)
    client = await net.dial()
    await begun.wait()
    await client.close()
    await ended.wait()


async def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port} does not answer"):
            await dial("127.0.0.1", port, Hello(1, "", "", 0, "", ""), echo)


@pytest.mark.parametrize("host", ["a" * 70, "host.invalid", ""])
async def test_no_such_host(host: str) -> None:
    with pytest.raises(Unreachable):
        await dial(host, 1, Hello(1, "", "", 0, "", ""), echo)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", frame(Notice(Done()))])
async def test_somebody_else_listens_there(net: Any, answer: bytes) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(other, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match="let nobody in"):
            await dial("127.0.0.1", port, net.hello, echo, terms=net.terms)


async def test_somebody_listens_and_says_nothing(net: Any) -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        net.timers.advance(net.terms.handshake)
        await reader.read()
        writer.close()
        ended.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match="handshake took longer than 10 s"):
            await dial("127.0.0.1", port, net.hello, echo, terms=net.terms)
        await ended.wait()


async def test_a_dial_that_is_cancelled_leaves_nothing(net: Any, until: Any) -> None:
    async def slow(hello: Hello) -> Welcome:
        await asyncio.Event().wait()
        raise AssertionError

    listener = await net.listen(authorize=slow)
    dialling = asyncio.ensure_future(net.dial())
    await until(lambda: listener.statistics()["strangers"] == 1)
    dialling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialling
    await until(lambda: listener.statistics() == {"peers": 0, "strangers": 0})


# ---- the end


async def test_a_lost_connection_fails_open_requests(net: Any, until: Any) -> None:
    await net.listen(never)
    client = await net.dial()
    server = await net.accepted.get()
    requests = [asyncio.ensure_future(client.request(Done())) for _ in range(5)]
    await until(lambda: server.statistics().open_answers == 5)
    server.link.abort()
    found = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(one) for one in found] == [ConnectionLost] * 5
    await asyncio.gather(client.wait_closed(), server.wait_closed())
    assert server.statistics().open_answers == 0
    with pytest.raises(ConnectionLost):
        await client.request(Done())
    with pytest.raises(ConnectionLost):
        client.tell(Done())


async def test_close_says_why_and_ends_handlers(net: Any) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handler(message: Message) -> Message:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return message

    client, server = await net.pair(handler)
    request = asyncio.ensure_future(client.request(Done()))
    client.tell(Done())
    await begun.wait()
    await server.close("closing", "The broker is stopping.")
    assert ended.is_set()
    with pytest.raises(ConnectionLost, match="The broker is stopping"):
        await request
    await client.wait_closed()
    assert client.why == server.why == Goodbye("closing", "The broker is stopping.")
    await server.close("again", "does nothing")


async def test_what_was_sent_before_close_arrives(net: Any) -> None:
    taken: list[Message] = []
    everything = asyncio.Event()

    async def handler(message: Message) -> Message:
        taken.append(message)
        if len(taken) == 100:
            everything.set()
        return Done()

    await net.listen(handler)
    client = await net.dial()
    for _ in range(100):
        client.tell(Done())
    await everything.wait()
    await client.close()
    assert len(taken) == 100


async def test_a_handler_may_close_its_own_connection(net: Any) -> None:
    async def handler(message: Message) -> Message:
        await server.close("closing", "by the handler")
        return Done()

    client, server = await net.pair(handler)
    with pytest.raises(ConnectionLost, match="by the handler"):
        await client.request(Done())
    await server.wait_closed()


async def test_leaving_the_listener_closes_everyone(net: Any, until: Any) -> None:
    async def accept(peer: Peer) -> Any:
        return never

    async def authorize(hello: Hello) -> Welcome:
        return net.welcome

    async with Listener("127.0.0.1", 0, authorize, accept, terms=net.terms) as listener:
        net.listener = listener
        client = await net.dial()
        request = asyncio.ensure_future(client.request(Done()))
        async with net.raw() as raw:
            raw.writer.write(b"\0")
            await until(lambda: listener.statistics() == {"peers": 1, "strangers": 1})
            closing = asyncio.ensure_future(listener.__aexit__(None, None, None))
            assert [one.code for one in await raw.answer()] == ["closing"]
        await closing
    with pytest.raises(ConnectionLost, match="The listener is closing"):
        await request
    with pytest.raises(Unreachable):
        await net.dial()


async def test_the_port_is_taken(net: Any) -> None:
    listener = await net.listen()
    assert listener.port > 0
    with pytest.raises(PortInUse, match=str(listener.port)):
        await net.listen(port=listener.port)


async def test_an_address_that_is_not_ours(net: Any) -> None:
    with pytest.raises(DaemonError, match="Cannot listen on"):
        await net.listen(host="192.0.2.1")


async def test_who_the_other_side_is_cannot_be_known_before_it_said_so(net: Any) -> None:
    with pytest.raises(ProtocolError):
        _ = Peer(net.terms).remote


async def test_no_token_in_the_log(net: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def broken(hello: Hello) -> Welcome:
        raise RuntimeError

    await net.listen(authorize=broken)
    with pytest.raises(Unreachable):
        await net.dial()
    assert "Greeting '/instance/ns/i' failed." in caplog.text
    assert net.hello.token not in caplog.text


# ---- TLS


def tls(purpose: ssl.Purpose, certificate: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=str(certificate))
    if purpose is ssl.Purpose.CLIENT_AUTH:
        context.load_cert_chain(certificate)
    return context


async def test_everything_over_tls(net: Any, certificate: Any) -> None:
    await net.listen(echo, ssl=tls(ssl.Purpose.CLIENT_AUTH, certificate))
    inside = tls(ssl.Purpose.SERVER_AUTH, certificate)
    client = await net.dial(host="localhost", ssl=inside)
    asked = [KeyValue(str(i), "x" * 10_000) for i in range(300)]
    assert await asyncio.gather(*map(client.request, asked)) == asked
    with pytest.raises(Unauthorized):
        await net.dial(hello=msgspec.structs.replace(net.hello, token="wrong"), host="localhost", ssl=inside)
    await client.close()
    server = await net.accepted.get()
    await server.wait_closed()
    assert server.why == Goodbye("closing", "")


async def test_a_certificate_that_is_not_trusted(net: Any, certificate: Any) -> None:
    await net.listen(ssl=tls(ssl.Purpose.CLIENT_AUTH, certificate))
    with pytest.raises(Unreachable, match="certificate"):
        await net.dial(host="localhost", ssl=ssl.create_default_context())


async def test_plain_and_tls_do_not_meet(net: Any, certificate: Any) -> None:
    await net.listen(ssl=tls(ssl.Purpose.CLIENT_AUTH, certificate))
    with pytest.raises(Unreachable):
        await net.dial()
    await net.listen()
    with pytest.raises(Unreachable):
        await net.dial(host="localhost", ssl=tls(ssl.Purpose.SERVER_AUTH, certificate))
