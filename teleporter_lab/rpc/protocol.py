"""The wire, without a socket: bytes in, envelopes out, and which envelope may come when.

Owns frames (4-byte big-endian length, then MessagePack; length 0 is a heartbeat), their limits and the
handshake. Refuses sockets, time, and what a message means. Both ends share it:

    GREETING --Hello from the client--> ACCEPTING --Welcome from the server--> OPEN --Goodbye--> CLOSED

A rule broken by the other side raises a ProtocolError and stops reading: later bytes are dropped. Of what
is not yet a whole frame, never more than one frame and one read are kept.
"""

from __future__ import annotations

from enum import Enum, auto

import msgspec

from teleporter_lab.errors import FrameTooLarge, MalformedFrame, ProtocolError, VersionMismatch
from teleporter_lab.rpc.messages import (
    PROTOCOL_VERSION,
    Envelope,
    Goodbye,
    Hello,
    Notice,
    Reply,
    Request,
    Welcome,
)

MAX_FRAME = 10 * 1024 * 1024
"""The longest body of a frame, in bytes."""

MAX_GREETING = 64 * 1024
"""The longest body before the handshake is done, when the other side may be anybody."""

HEARTBEAT = b"\0\0\0\0"
"""An empty frame: a sign of life."""

PREFIX = 4
REASON = 300
"""The longest reason, in characters: bytes of the other side may be quoted in it."""


class Phase(Enum):
    GREETING = auto()
    ACCEPTING = auto()
    OPEN = auto()
    CLOSED = auto()


class _Version(msgspec.Struct, frozen=True, tag="Hello", tag_field="t"):
    """The one field of a Hello that every version will have."""

    version: int


_encode = msgspec.msgpack.Encoder().encode
_decode_version = msgspec.msgpack.Decoder(_Version | Goodbye).decode
_decode_hello = msgspec.msgpack.Decoder(Hello).decode
_decode_welcome = msgspec.msgpack.Decoder(Welcome | Goodbye).decode
_decode_goodbye = msgspec.msgpack.Decoder(Goodbye).decode
_decode_open = msgspec.msgpack.Decoder(Request | Reply | Notice | Goodbye).decode

_EXCHANGED = frozenset((Request, Reply, Notice))


class Connection:
    """One side of a conversation. `receive` and `send` are all there is to it."""

    def __init__(self, *, server: bool, max_frame: int = MAX_FRAME) -> None:
        self._server = server
        self._max_frame = max_frame
        self._limit = min(MAX_GREETING, max_frame)
        self._decode = _decode_greeting if server else _decode_goodbye
        self._buffer = bytearray()
        self._need = PREFIX
        self.phase = Phase.GREETING

    @property
    def buffered(self) -> int:
        """Bytes kept of a frame that is not complete."""
        return len(self._buffer)

    def receive(self, data: bytes) -> list[Envelope]:
        """The envelopes that `data` completes; heartbeats give none, and nothing comes once it is CLOSED.

        Raises FrameTooLarge, MalformedFrame or VersionMismatch, and is CLOSED then.
        """
        if self.phase is Phase.CLOSED:
            return []
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return []
            data, self._buffer = bytes(self._buffer), bytearray()
        try:
            return self._parse(data)
        except ProtocolError:
            self._close()
            raise

    def send(self, envelope: Envelope) -> bytes:
        """The frame of `envelope`.

        Raises ProtocolError when it may not be sent now (a Goodbye never: see `goodbye`), MalformedFrame when it
        cannot be written and FrameTooLarge when it is too long; the connection goes on as before.
        """
        routine = type(envelope) in _EXCHANGED
        if not routine or self.phase is not Phase.OPEN:
            self._check_turn(envelope)
        try:
            body = _encode(envelope)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise MalformedFrame(f"A {_name(envelope)} cannot be written: {error}"[:REASON]) from error
        if len(body) > self._max_frame:
            raise FrameTooLarge(f"A {_name(envelope)} of {len(body):,} bytes; at most {self._max_frame:,} are allowed.")
        if not routine:
            self._step(envelope)
        return len(body).to_bytes(PREFIX, "big") + body

    def goodbye(self, goodbye: Goodbye) -> bytes:
        """The last frame, in any phase: also after the other side broke a rule."""
        self._close()
        body = _encode(goodbye)
        return len(body).to_bytes(PREFIX, "big") + body

    def _parse(self, data: bytes) -> list[Envelope]:
        view, at, end = memoryview(data), 0, len(data)
        found: list[Envelope] = []
        while end - at >= PREFIX:
            start = at + PREFIX
            length = int.from_bytes(data[at:start], "big")
            if length > self._limit:
                raise FrameTooLarge(f"A frame of {length:,} bytes; at most {self._limit:,} are allowed.")
            if start + length > end:
                break
            at = start + length
            if length:
                envelope = self._read(view[start:at])
                found.append(envelope)
                if type(envelope) not in _EXCHANGED:
                    self._step(envelope)
                    if self.phase is Phase.CLOSED:
                        return found
        self._keep(data[at:])
        return found

    def _keep(self, rest: bytes) -> None:
        self._buffer = bytearray(rest)
        self._need = PREFIX
        if len(rest) >= PREFIX:
            self._need += int.from_bytes(rest[:PREFIX], "big")

    def _read(self, body: memoryview) -> Envelope:
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise MalformedFrame(f"A frame that is no message here: {error}"[:REASON]) from error

    def _step(self, envelope: Envelope) -> None:
        """Goes on to the phase that an envelope of the handshake or the end, sent or received, leads to."""
        match envelope:
            case Hello():
                self.phase = Phase.ACCEPTING
                self._decode = _decode_goodbye if self._server else _decode_welcome
            case Welcome():
                self.phase, self._decode, self._limit = Phase.OPEN, _decode_open, self._max_frame
            case _:
                self._close()

    def _check_turn(self, envelope: Envelope) -> None:
        turn = (Phase.ACCEPTING, Welcome) if self._server else (Phase.GREETING, Hello)
        if (self.phase, type(envelope)) != turn:
            raise ProtocolError(f"A {_name(envelope)} may not be sent in the phase {self.phase.name}.")

    def _close(self) -> None:
        self.phase = Phase.CLOSED
        self._buffer = bytearray()


def _decode_greeting(body: memoryview) -> Hello | Goodbye:
    """A Hello of our version. The version is read alone first, as another one may have other fields."""
    first = _decode_version(body)
    if isinstance(first, Goodbye):
        return first
    if first.version != PROTOCOL_VERSION:
        raise VersionMismatch(
            f"This side speaks version {PROTOCOL_VERSION} of the protocol, the other {first.version}."
        )
    return _decode_hello(body)


def _name(envelope: Envelope) -> str:
    return type(getattr(envelope, "body", envelope)).__name__
