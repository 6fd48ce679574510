"""The other side of one connection: ask it, tell it, answer it.

Owns the life of a connection from the handshake to the Goodbye: `dial` makes a Peer of the side that listens, a
Listener one of each side that dials in. Refuses to decide who may come in (the listener's `authorize` does), to
reconnect, and to know what a message means.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from teleporter_lab.errors import (
    DaemonError,
    PortInUse,
    ProtocolError,
    TeleporterError,
    Unreachable,
    VersionMismatch,
    from_body,
)
from teleporter_lab.rpc.answers import Answers, Handler
from teleporter_lab.rpc.calls import Calls
from teleporter_lab.rpc.link import Link
from teleporter_lab.rpc.messages import Envelope, Goodbye, Hello, Message, Notice, Reply, Request, Welcome
from teleporter_lab.rpc.terms import Terms

if TYPE_CHECKING:
    import ssl as tls
    from types import TracebackType

Authorize = Callable[[Hello], Awaitable[Welcome]]
"""Lets the other side in, or raises: Unauthorized, Forbidden, Conflict, ..."""

log = logging.getLogger(__name__)
_DEFAULT = Terms()


@dataclass(frozen=True, slots=True)
class PeerStatistics:
    """Where a connection stands; counts since its start, bytes on the wire."""

    open_requests: int
    waiting_requests: int
    open_answers: int
    waiting_answers: int
    requests: int
    answers: int
    received_bytes: int
    sent_bytes: int
    unsent_bytes: int


class _Host(Protocol):
    """Where a peer that dialled in has arrived."""

    def connected(self, peer: Peer) -> None: ...

    def greet(self, peer: Peer, hello: Hello) -> Coroutine[None, None, None]: ...

    def lost(self, peer: Peer) -> None: ...


class Peer:
    """One connection, greeted. Made by `dial` and by a Listener; an async context manager that closes it."""

    def __init__(self, terms: Terms, host: _Host | None = None) -> None:
        self.link = Link(self, terms, server=host is not None)
        self._terms = terms
        self._host = host
        self._calls = Calls(self.link, terms)
        self._answers = Answers(self.link, terms)
        self._remote: Hello | Welcome | None = None
        self._greeting: asyncio.Task[None] | None = None
        self._greeted = asyncio.Event()
        self._gone = asyncio.Event()

    @property
    def remote(self) -> Hello | Welcome:
        """What the other side said of itself."""
        if self._remote is None:
            raise ProtocolError("The other side has not said who it is.")
        return self._remote

    @property
    def why(self) -> Goodbye | None:
        """Why the connection ended; None while it goes on."""
        return self.link.why

    async def request(self, message: Message, timeout: float = 30.0) -> Message:
        """The answer to `message`. At most `open_requests` are open, more wait here; `timeout` seconds hold for both.

        Raises the error that the other side answered with, as the same class; ConnectionLost; TimeoutError. After
        the last two nobody knows whether the other side has done it.
        """
        return await self._calls.request(message, timeout)

    def tell(self, message: Message) -> None:
        """Sends `message` and wants no answer; told ones arrive in order. Raises ConnectionLost.

        A reader so slow that `unsent` bytes pile up loses the connection.
        """
        self.link.send(Notice(message))
        if self.link.paused and self.link.unsent() > self._terms.unsent:
            self.link.close("slow_reader", f"More than {self._terms.unsent:,} bytes wait to be read.")
            raise self.link.error()

    async def close(self, code: str = "closing", reason: str = "") -> None:
        """Says Goodbye, ends all open requests with ConnectionLost and waits until everything is gone."""
        self.link.close(code, reason)
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Returns when the socket is closed and no handler runs any more."""
        await self._gone.wait()
        await self._answers.finished()
        greeting = self._greeting
        if greeting is not None and greeting is not asyncio.current_task():
            await asyncio.wait([greeting])

    def statistics(self) -> PeerStatistics:
        return PeerStatistics(
            open_requests=self._calls.open,
            waiting_requests=self._calls.waiting,
            open_answers=self._answers.open,
            waiting_answers=self._answers.waiting,
            requests=self._calls.asked,
            answers=self._answers.answered,
            received_bytes=self.link.received_bytes,
            sent_bytes=self.link.sent_bytes,
            unsent_bytes=self.link.unsent(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ---- the handshake

    async def introduce(self, hello: Hello, handler: Handler) -> None:
        """The dialling side's part: returns when the other side said Welcome, else raises why it did not."""
        try:
            self.link.send(hello)
            await self._greeted.wait()
            if self._remote is None:
                raise _refusal(self.link.why)
            self._answers.serve(handler)
        finally:
            if self._remote is None:
                self.link.abort()

    def welcome(self, welcome: Welcome) -> None:
        """The listening side's part. Requests that come before `serve` wait for it."""
        self.link.send(welcome)
        self.link.open(welcome.heartbeat)

    def serve(self, handler: Handler) -> None:
        self._answers.serve(handler)

    # ---- what the link calls

    def connected(self) -> None:
        if self._host is not None:
            self._host.connected(self)

    def received(self, envelopes: list[Envelope]) -> None:
        for envelope in envelopes:
            if isinstance(envelope, Reply):
                self._calls.settle(envelope)
            elif isinstance(envelope, Request):
                self._answers.take(envelope)
            elif isinstance(envelope, Notice):
                self._answers.note(envelope)
            else:
                self._met(envelope)

    def writable(self) -> None:
        self._calls.admit()

    def ended(self) -> None:
        self._calls.fail(self.link.error())
        self._answers.cancel()
        if self._greeting is not None:
            self._greeting.cancel()
        self._greeted.set()

    def lost(self) -> None:
        self._gone.set()
        if self._host is not None:
            self._host.lost(self)

    def _met(self, envelope: Envelope) -> None:
        if isinstance(envelope, Welcome):
            self._remote = envelope
            self.link.open(envelope.heartbeat)
            self._greeted.set()
        elif isinstance(envelope, Hello) and self._host is not None:
            self._remote = envelope
            self._greeting = asyncio.get_running_loop().create_task(self._host.greet(self, envelope))


def _refusal(why: Goodbye | None) -> TeleporterError:
    """Why a dialled side did not say Welcome; whatever is no known error of a broker means that there is none."""
    if why is None:
        return Unreachable("It did not say Welcome.")
    error = from_body({"code": why.code, "message": why.reason})
    broken = isinstance(error, ProtocolError) and not isinstance(error, VersionMismatch)
    return Unreachable(why.reason) if broken or type(error) is TeleporterError else error


async def dial(
    host: str,
    port: int,
    hello: Hello,
    handler: Handler,
    *,
    ssl: tls.SSLContext | None = None,
    terms: Terms = _DEFAULT,
) -> Peer:
    """A greeted connection to the listener at `host:port`, whose requests `handler` answers.

    Raises Unreachable (nobody there, or nobody who speaks the protocol), Unauthorized, VersionMismatch and what
    else the listener refused it with.
    """
    peer = Peer(terms)
    where = f"{host}:{port}"
    try:
        async with asyncio.timeout(terms.handshake):
            await asyncio.get_running_loop().create_connection(lambda: peer.link, host, port, ssl=ssl)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{where} does not answer: {error or 'it took too long'}.") from error
    try:
        await peer.introduce(hello, handler)
    except Unreachable as error:
        raise Unreachable(f"{where} let nobody in: {error.message}") from error
    return peer


class Listener:
    """Takes connections in: `authorize` greets each, `accept` gives the handler of one that was greeted.

    `accept` may already ask the peer; the peer's own requests wait for it. An error that either raises ends that
    connection with its code, and nothing but that connection.
    """

    def __init__(
        self,
        host: str,
        port: int,
        authorize: Authorize,
        accept: Callable[[Peer], Awaitable[Handler]],
        *,
        ssl: tls.SSLContext | None = None,
        terms: Terms = _DEFAULT,
    ) -> None:
        self._host, self._port = host, port
        self._authorize = authorize
        self._accept = accept
        self._ssl = ssl
        self._terms = terms
        self._server: asyncio.Server | None = None
        self._strangers: set[Peer] = set()
        self._peers: set[Peer] = set()

    @property
    def port(self) -> int:
        """The port that was bound; of interest when 0 was asked for."""
        return self._port

    @property
    def peers(self) -> frozenset[Peer]:
        """Those that were greeted and are still there."""
        return frozenset(self._peers)

    async def __aenter__(self) -> Self:
        host, port = self._host, self._port
        loop = asyncio.get_running_loop()
        limit = self._terms.handshake if self._ssl else None
        try:
            self._server = await loop.create_server(
                lambda: Peer(self._terms, self).link, host, port, ssl=self._ssl, ssl_handshake_timeout=limit
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(f"Another program listens on {host}:{port}.") from error
            raise DaemonError(f"Cannot listen on {host}:{port}: {error}.") from error
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        everyone = [*self._peers, *self._strangers]
        for peer in everyone:
            peer.link.close("closing", "The listener is closing.")
        await asyncio.gather(*(peer.wait_closed() for peer in everyone))

    def statistics(self) -> dict[str, int]:
        return {"peers": len(self._peers), "strangers": len(self._strangers)}

    # ---- what a peer calls

    def connected(self, peer: Peer) -> None:
        if len(self._strangers) >= self._terms.strangers:
            peer.link.close("busy", "Too many connections have not said who they are.")
            peer.link.abort()
        self._strangers.add(peer)

    async def greet(self, peer: Peer, hello: Hello) -> None:
        try:
            peer.welcome(await self._authorize(hello))
            self._strangers.discard(peer)
            self._peers.add(peer)
            peer.serve(await self._accept(peer))
        except TeleporterError as error:
            peer.link.close(error.code, error.message)
        except Exception as error:
            log.exception("Greeting %r failed.", hello.instance)
            peer.link.close(TeleporterError.code, f"Unexpected {type(error).__name__}; the log says more.")

    def lost(self, peer: Peer) -> None:
        self._strangers.discard(peer)
        self._peers.discard(peer)
