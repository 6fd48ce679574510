from __future__ import annotations

import itertools
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.errors import FrameTooLarge, MalformedFrame, ProtocolError, VersionMismatch
from teleporter_lab.rpc.messages import (
    PROTOCOL_VERSION,
    AtomicSaveKV,
    Done,
    Failure,
    Goodbye,
    Hello,
    KeyValue,
    KeyValues,
    KVGet,
    Message,
    Notice,
    Reply,
    Request,
    StreamState,
    TaskState,
    Welcome,
)
from teleporter_lab.rpc.protocol import HEARTBEAT, MAX_FRAME, MAX_GREETING, PREFIX, Connection, Phase

HELLO = Hello(PROTOCOL_VERSION, "secret", "/instance/ns/i", 7, "here", "0.0")
WELCOME = Welcome("/broker/ns/b", "session", 30.0)


def greeted(max_frame: int = MAX_FRAME) -> tuple[Connection, Connection]:
    """(client, server) after the handshake."""
    client, server = Connection(server=False, max_frame=max_frame), Connection(server=True, max_frame=max_frame)
    assert server.receive(client.send(HELLO)) == [HELLO]
    assert client.receive(server.send(WELCOME)) == [WELCOME]
    return client, server


def frame(value: Any) -> bytes:
    body = value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
    return struct.pack(">I", len(body)) + body


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
number = st.integers(-(2**63), 2**63 - 1)
bodies: st.SearchStrategy[Message] = st.one_of(
    st.builds(KVGet, st.sampled_from(["config", "runtime"]), text),
    st.builds(AtomicSaveKV, st.just("runtime"), text, st.none() | text, text),
    st.builds(KeyValues, st.lists(st.builds(KeyValue, text, text), max_size=4)),
    st.builds(TaskState, text, st.lists(text, max_size=4), number),
    st.builds(
        StreamState,
        *(text, text, text, st.floats(allow_nan=False), number, text),
        st.dictionaries(text, number, max_size=4),
        st.floats(allow_nan=False),
    ),
    st.just(Done()),
)
failures = st.builds(Failure, text, text, st.lists(st.tuples(text, text), max_size=3))
envelopes = st.one_of(
    st.builds(Request, st.integers(0, 2**63 - 1), bodies),
    st.builds(Reply, st.integers(0, 2**63 - 1), bodies | failures),
    st.builds(Notice, bodies),
)


# ---- frames


def test_a_frame_is_a_length_and_a_map() -> None:
    client, _ = greeted()
    data = client.send(Request(1, Done()))
    assert struct.unpack(">I", data[:PREFIX]) == (len(data) - PREFIX,)
    assert msgspec.msgpack.decode(data[PREFIX:]) == {"t": "Request", "seq": 1, "body": {"t": "Done"}}


@given(st.lists(st.none() | envelopes, max_size=8), st.lists(st.integers(0, 10**6), max_size=12))
def test_frames_cut_anywhere_are_the_same_messages(sent: list[Any], places: list[int]) -> None:
    client, server = greeted()
    data = b"".join(HEARTBEAT if one is None else client.send(one) for one in sent)
    found = [one for piece in cut(data, places) for one in server.receive(piece)]
    assert found == [one for one in sent if one is not None]
    assert server.buffered == 0


@given(st.lists(envelopes, min_size=1, max_size=3))
def test_one_byte_at_a_time(sent: list[Any]) -> None:
    client, server = greeted()
    data = b"".join(map(client.send, sent))
    assert [one for i in range(len(data)) for one in server.receive(data[i : i + 1])] == sent


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=600), max_size=10), st.booleans(), st.integers(16, 400))
def test_garbage_raises_nothing_else_and_is_not_kept(pieces: list[bytes], early: bool, limit: int) -> None:
    server = Connection(server=True, max_frame=limit) if early else greeted(max_frame=limit + 200)[1]
    bound = (limit if early else limit + 200) + PREFIX
    for piece in pieces:
        try:
            server.receive(piece)
        except ProtocolError:
            assert server.phase is Phase.CLOSED
        assert server.buffered < bound


@settings(max_examples=300)
@given(st.binary(max_size=300) | envelopes.map(msgspec.msgpack.encode), st.data())
def test_a_frame_of_anything(body: bytes, data: st.DataObject) -> None:
    """Also what is nearly a message: one with some bytes changed."""
    changed = bytearray(body)
    for place in data.draw(st.lists(st.integers(0, max(0, len(body) - 1)), max_size=4)) if body else []:
        changed[place] = data.draw(st.integers(0, 255))
    _, server = greeted()
    try:
        server.receive(frame(bytes(changed)))
    except ProtocolError:
        assert server.buffered == 0


NESTED = b"\x83\xa1t\xa6Notice\xa4body\x81\xa1t\xa4Done\xa1x" + b"\x91" * 50_000


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        b"\x00",
        NESTED,
        b"\x81\xa1t\xa2\xff\xff",
        msgspec.msgpack.encode({"t": "Request", "seq": -1, "body": {"t": "Done"}}),
        msgspec.msgpack.encode({"t": "Request", "seq": 1, "body": {"t": "Nonsense"}}),
        msgspec.msgpack.encode({"t": "Request", "seq": 1}),
        msgspec.msgpack.encode({"t": "Unknown"}),
        msgspec.msgpack.encode({"seq": 1}),
        msgspec.msgpack.encode(Notice(Done())) + b"\x00",
        msgspec.msgpack.encode(HELLO),
        msgspec.msgpack.encode(WELCOME),
        msgspec.msgpack.encode(Done()),
    ],
)
def test_what_is_no_message(body: bytes) -> None:
    _, server = greeted()
    with pytest.raises(MalformedFrame) as caught:
        server.receive(frame(body))
    assert len(caught.value.message) <= 300
    assert server.phase is Phase.CLOSED
    assert server.receive(frame(Notice(Done()))) == []


def test_a_frame_too_large_is_refused_by_its_length_alone() -> None:
    _, server = greeted()
    with pytest.raises(FrameTooLarge, match="10,485,761"):
        server.receive(struct.pack(">I", MAX_FRAME + 1))
    assert server.buffered == 0


def test_the_largest_frame_goes_through() -> None:
    client, server = greeted()
    room = MAX_FRAME - (len(client.send(Notice(KeyValue("k", "x" * 100_000)))) - PREFIX - 100_000)
    big = Notice(KeyValue("k", "x" * room))
    data = client.send(big)
    assert len(data) == MAX_FRAME + PREFIX
    found: list[Any] = []
    for at in range(0, len(data), 256 * 1024):
        found += server.receive(data[at : at + 256 * 1024])
        assert server.buffered < MAX_FRAME + PREFIX
    assert found == [big]
    with pytest.raises(FrameTooLarge):
        client.send(Notice(KeyValue("k", "x" * (room + 1))))
    assert client.phase is Phase.OPEN


def test_a_message_that_cannot_be_written_is_our_mistake_alone() -> None:
    client, server = greeted()
    with pytest.raises(MalformedFrame, match="KeyValue cannot be written"):
        client.send(Notice(KeyValue("k", "\ud800")))
    with pytest.raises(MalformedFrame):
        client.send(Notice(TaskState("/t", [], 2**70)))
    assert server.receive(client.send(Notice(Done()))) == [Notice(Done())]


def test_heartbeats_say_nothing() -> None:
    client, server = greeted()
    assert server.receive(HEARTBEAT * 3 + client.send(Notice(Done())) + HEARTBEAT) == [Notice(Done())]
    assert Connection(server=True).receive(HEARTBEAT) == []


# ---- the handshake


def test_the_phases() -> None:
    client, server = Connection(server=False), Connection(server=True)
    assert client.phase is server.phase is Phase.GREETING
    server.receive(client.send(HELLO))
    assert client.phase is server.phase is Phase.ACCEPTING
    client.receive(server.send(WELCOME))
    assert client.phase is server.phase is Phase.OPEN
    client.receive(server.goodbye(Goodbye("closing", "")))
    assert client.phase is server.phase is Phase.CLOSED


def test_a_stranger_may_not_send_much() -> None:
    server = Connection(server=True)
    with pytest.raises(FrameTooLarge):
        server.receive(struct.pack(">I", MAX_GREETING + 1))


@pytest.mark.parametrize("first", [Request(1, Done()), Notice(Done()), Reply(1, Done()), WELCOME])
def test_hello_comes_first(first: Any) -> None:
    with pytest.raises(MalformedFrame):
        Connection(server=True).receive(frame(first))


@pytest.mark.parametrize("second", [HELLO, Request(1, Done())])
def test_nothing_comes_between_hello_and_welcome(second: Any) -> None:
    server = Connection(server=True)
    server.receive(frame(HELLO))
    with pytest.raises(MalformedFrame):
        server.receive(frame(second))


def test_nobody_welcomes_who_has_not_said_hello() -> None:
    with pytest.raises(MalformedFrame):
        Connection(server=False).receive(frame(WELCOME))


def test_another_version_is_told_from_any_fields() -> None:
    with pytest.raises(VersionMismatch, match=r"speaks version 1 .* the other 2"):
        Connection(server=True).receive(frame({"t": "Hello", "version": 2, "proof": b"other fields"}))


def test_welcome_needs_a_sane_heartbeat() -> None:
    client = Connection(server=False)
    client.send(HELLO)
    with pytest.raises(MalformedFrame):
        client.receive(frame(Welcome("b", "s", 0.0)))


@pytest.mark.parametrize(
    ("server", "envelope"),
    [(False, WELCOME), (False, Notice(Done())), (True, HELLO), (True, WELCOME), (True, Notice(Done()))],
)
def test_one_may_not_speak_out_of_turn(server: bool, envelope: Any) -> None:
    connection = Connection(server=server)
    with pytest.raises(ProtocolError, match="may not be sent"):
        connection.send(envelope)
    assert connection.phase is Phase.GREETING


def test_hello_is_said_once() -> None:
    client = Connection(server=False)
    client.send(HELLO)
    with pytest.raises(ProtocolError):
        client.send(HELLO)


# ---- the end


@pytest.mark.parametrize("server", [True, False])
def test_goodbye_may_come_at_any_time(server: bool) -> None:
    goodbye = Goodbye("unauthorized", "no")
    assert Connection(server=server).receive(frame(goodbye)) == [goodbye]


def test_after_goodbye_nothing_is_read() -> None:
    client, server = greeted()
    goodbye = Goodbye("closing", "the end")
    data = client.send(Notice(Done())) + client.goodbye(goodbye) + b"\xff" * 100
    assert server.receive(data) == [Notice(Done()), goodbye]
    assert server.receive(b"\xff" * 100) == []
    assert server.buffered == 0


def test_after_goodbye_nothing_is_sent() -> None:
    client, _ = greeted()
    client.goodbye(Goodbye("closing", ""))
    with pytest.raises(ProtocolError):
        client.send(Notice(Done()))


def test_goodbye_can_be_said_after_a_broken_rule() -> None:
    client, server = greeted()
    with pytest.raises(MalformedFrame) as caught:
        server.receive(frame(b"\xc1"))
    goodbye = Goodbye(caught.value.code, caught.value.message)
    assert client.receive(server.goodbye(goodbye)) == [goodbye]
