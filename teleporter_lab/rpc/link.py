"""A Connection on a socket: reads, writes in batches, signs of life, and an end that says why.

Owns the transport and every timer of it. Refuses to know requests: envelopes go to the owner as they come.
Small frames of one turn of the event loop leave in one write. However the link ends, `why` tells: the Goodbye
that was sent or received, or one made up when the connection just broke.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from teleporter_lab.errors import ConnectionLost, ProtocolError
from teleporter_lab.rpc.messages import Envelope, Goodbye
from teleporter_lab.rpc.protocol import HEARTBEAT, REASON, Connection, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.rpc.terms import Terms, Timer

_BATCH = 64 * 1024
_HIGH_WATER = 256 * 1024


class Owner(Protocol):
    """Whoever a link reports to, by plain calls out of the event loop."""

    def connected(self) -> None: ...

    def received(self, envelopes: list[Envelope]) -> None:
        """Raises ProtocolError where the other side broke a rule; the link is closed with it."""
        ...

    def writable(self) -> None: ...

    def ended(self) -> None:
        """Nothing can be sent or received any more."""
        ...

    def lost(self) -> None:
        """The socket is gone; the last call."""
        ...


class Link(asyncio.Protocol):
    """One side's end of a TCP connection."""

    def __init__(self, owner: Owner, terms: Terms, *, server: bool) -> None:
        self._owner = owner
        self._terms = terms
        self._connection = Connection(server=server, max_frame=terms.max_frame)
        self._loop = asyncio.get_running_loop()
        self._clock = terms.clock()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._out_size = 0
        self._drain: list[asyncio.Future[None]] = []
        self._timers: dict[str, Timer] = {}
        self._heard = self._clock.time()
        self._heartbeat = terms.heartbeat
        self.paused = False
        """The other side reads too slowly: nothing more should be written."""
        self.why: Goodbye | None = None
        self.received_bytes = 0
        self.sent_bytes = 0

    # ---- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        self._later("handshake", self._terms.handshake, self._too_late)
        self._owner.connected()

    def data_received(self, data: bytes) -> None:
        if self.why is not None:
            return
        self._heard = self._clock.time()
        self.received_bytes += len(data)
        try:
            envelopes = self._connection.receive(data)
            goodbye = cast("Goodbye", envelopes.pop()) if self._connection.phase is Phase.CLOSED else None
            if envelopes:
                self._owner.received(envelopes)
        except ProtocolError as error:
            self.close(error.code, error.message)
            return
        if goodbye is not None and self.why is None:
            self._end(goodbye, linger=False)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._wake()
        self._owner.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.why is None:
            reason = str(exc) if exc else "The other side ended it without a reason."
            self._end(Goodbye(ConnectionLost.code, reason[:REASON]), linger=False)
        self._cancel_timers()
        self._transport = None
        self._owner.lost()

    # ---- what the owner calls

    def open(self, heartbeat: float) -> None:
        """The handshake is done: from now on silence is counted, and broken every `heartbeat` seconds."""
        self._cancel_timers()
        self._heartbeat = min(heartbeat, self._terms.heartbeat)
        self._later("heartbeat", self._heartbeat, self._beat)
        self._later("idle", self._terms.idle, self._watch)

    def send(self, envelope: Envelope) -> None:
        """Sends it with the others of this turn. Raises ConnectionLost, and what `Connection.send` raises."""
        if self.why is not None:
            raise self.error()
        self._write(self._connection.send(envelope))

    async def drained(self) -> None:
        """Returns when more may be written, or when the link has ended."""
        while self.paused and self.why is None:
            waiter = self._loop.create_future()
            self._drain.append(waiter)
            await waiter

    def unsent(self) -> int:
        """Bytes that the system has not taken from us yet."""
        waiting = self._transport.get_write_buffer_size() if self._transport else 0
        return waiting + self._out_size

    def listen(self, wanted: bool) -> None:
        """Goes on reading, or stops, which the other side feels as back-pressure."""
        if self._transport is None or self.why is not None:
            return
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def close(self, code: str, reason: str) -> None:
        """Says Goodbye and ends the link; a second call does nothing."""
        if self.why is not None:
            return
        goodbye = Goodbye(code, reason[:REASON])
        if self._transport is not None:
            self._transport.resume_reading()  # or the end of the other side would not be seen
            self._write(self._connection.goodbye(goodbye))
        self._end(goodbye, linger=True)

    def abort(self) -> None:
        """Ends the link at once, with nothing said."""
        if self._transport is not None:
            self._transport.abort()

    def error(self) -> ConnectionLost:
        """Why nothing can be sent any more."""
        return ConnectionLost(f"The connection ended: {self.why.reason if self.why else 'for no reason.'}")

    # ---- inside

    def _end(self, why: Goodbye, *, linger: bool) -> None:
        self._flush()
        self.why = why
        self._cancel_timers()
        if self._transport is not None:
            self._hang_up(self._transport, linger)
        self._wake()
        self._owner.ended()

    def _hang_up(self, transport: asyncio.Transport, linger: bool) -> None:
        """Lingering, only our half is closed: bytes that come in late would make the system drop our Goodbye."""
        self._later("linger", self._terms.linger, transport.abort)
        if not linger or transport.is_closing() or not transport.can_write_eof():
            transport.close()
            return
        try:
            transport.write_eof()
        except OSError:  # reset by the other side meanwhile
            transport.abort()

    def _write(self, frame: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)
        self._out_size += len(frame)
        if self._out_size >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self._out:
            return
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._out_size = 0
        if self._transport is not None and not self._transport.is_closing():
            self.sent_bytes += len(data)
            self._transport.write(data)

    def _beat(self) -> None:
        if not self.paused:
            self._write(HEARTBEAT)
        self._later("heartbeat", self._heartbeat, self._beat)

    def _watch(self) -> None:
        left = self._heard + self._terms.idle - self._clock.time()
        if left <= 0:
            self.close("idle", f"Nothing was heard for {self._terms.idle:g} s.")
        else:
            self._later("idle", left, self._watch)

    def _too_late(self) -> None:
        self.close("handshake_timeout", f"The handshake took longer than {self._terms.handshake:g} s.")

    def _later(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        self._timers[name] = self._clock.call_at(self._clock.time() + seconds, call)

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _wake(self) -> None:
        for waiter in self._drain:
            if not waiter.done():
                waiter.set_result(None)
        self._drain.clear()
