"""The instance's side of the connections to its brokers: one to each, one of them in use.

Owns dialling, reconnecting with exponential back-off and jitter, and moving to another broker when the one in use is
lost. Refuses to know what is said (`instance` does). Requests made while no broker answers wait for one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from teleporter_lab.errors import ConnectionLost, StoreError, TeleporterError, Unreachable
from teleporter_lab.rpc.peer import dial

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.rpc.answers import Handler
    from teleporter_lab.rpc.messages import Hello, Message
    from teleporter_lab.rpc.peer import Peer

log = logging.getLogger(__name__)

AWAY = (Unreachable, ConnectionLost, StoreError)
"""Errors that say nothing against a request: the broker or its store is away, and it may be made again."""

FIRST_DELAY = 0.05
"""Seconds before the first attempt to reconnect; doubled each time."""

LONGEST_DELAY = 5.0
"""Seconds between attempts, at the most; each is shortened by up to a half at random."""


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """Brokers told of, brokers connected, and which one is in use."""

    brokers: int
    connected: int
    active: str | None


def parse_brokers(text: str) -> list[tuple[str, int]]:
    """`host:port,host:port`. Raises ValueError with a sentence that says what is right."""
    brokers: list[tuple[str, int]] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        host, _, port = part.rpartition(":")
        if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
            raise ValueError(f"{part!r} is no broker address; write host:port, for example 127.0.0.1:9022.")
        brokers.append((host.strip("[]"), int(port)))
    if not brokers:
        raise ValueError("No broker is named; write host:port, for example 127.0.0.1:9022.")
    return brokers


class Link:
    """Connections to `brokers`, kept by `run`. `linked` is called with each connection that comes into use."""

    def __init__(
        self,
        brokers: list[tuple[str, int]],
        hello: Hello,
        handler: Handler,
        linked: Callable[[Peer], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._brokers = brokers
        self._hello = hello
        self._handler = handler
        self._linked = linked
        self._clock = clock
        self._peers: dict[tuple[str, int], Peer] = {}
        self._active: Peer | None = None
        self._ready = asyncio.Event()
        self._choosing = asyncio.Lock()
        self.refused: TeleporterError | None = None
        """Why the last broker that answered let us not in, for example Unauthorized."""

    async def run(self) -> None:
        """Keeps connected until cancelled; then says Goodbye to every broker."""
        async with asyncio.TaskGroup() as group:
            for broker in self._brokers:
                group.create_task(self._keep(broker))

    async def _keep(self, broker: tuple[str, int]) -> None:
        """A connection that ends at once counts as a failed attempt, so that a broker that drops us is not hurried."""
        delay = FIRST_DELAY
        while True:
            started = self._clock.now()
            try:
                peer = await dial(*broker, self._hello, self._handler)
            except TeleporterError as error:
                if not isinstance(error, Unreachable):
                    self.refused = error
                log.warning("No connection to the broker at %s:%s: %s", *broker, error.message)
            else:
                self.refused = None
                await self._use(broker, peer)
                if self._clock.now() - started >= delay:
                    delay = FIRST_DELAY
            await self._clock.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, LONGEST_DELAY)

    async def _use(self, broker: tuple[str, int], peer: Peer) -> None:
        """Returns when the connection has ended and another one was taken into use, if there is one."""
        self._peers[broker] = peer
        try:
            await self._choose()
            await peer.wait_closed()
        finally:
            del self._peers[broker]
            self._retire(peer)
            await peer.close("closing", "The instance stops.")
        log.warning("Lost the broker at %s:%s: %s", *broker, peer.why.reason if peer.why else "connection ended")
        await self._choose()

    def _retire(self, peer: Peer) -> None:
        """It is in use no more."""
        if self._active is peer:
            self._active = None
            self._ready.clear()

    async def _choose(self) -> None:
        """Takes a connected broker into use when none is."""
        async with self._choosing:
            for broker, peer in list(self._peers.items()):
                if self.active is not None:
                    return
                try:
                    await self._linked(peer)
                except (TeleporterError, TimeoutError) as error:
                    log.warning("The broker at %s:%s did not link this instance: %s", *broker, error)
                    await peer.close("closing", "Not linked.")
                    continue
                self._active = peer
                self._ready.set()
                log.info("Linked to the broker at %s:%s.", *broker)

    @property
    def active(self) -> Peer | None:
        """The connection in use; None while no broker answers."""
        if self._active is not None and self._active.why is not None:
            self._retire(self._active)
        return self._active

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Returns when a broker is in use. Raises Unreachable after `timeout` seconds, or why we were not let in."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError as error:
            if self.refused is not None:
                raise self.refused from error
            where = ", ".join(f"{host}:{port}" for host, port in self._brokers)
            raise Unreachable(f"No broker answers at {where}.") from error

    async def request(self, message: Message, timeout: float = 30.0) -> Message:
        """The active broker's answer, waiting up to `timeout` seconds for a broker and as long for its answer.

        Raises what it answered, ConnectionLost, Unreachable. After the last two nobody knows whether it was done.
        """
        while (peer := self.active) is None:
            await self.wait_ready(timeout)
        try:
            return await peer.request(message, timeout)
        except TimeoutError as error:
            raise Unreachable(f"The broker did not answer within {timeout:g} s.") from error

    def tell(self, message: Message) -> bool:
        """Sends `message` if a broker is in use; whether it was sent."""
        peer = self.active
        if peer is None:
            return False
        try:
            peer.tell(message)
        except ConnectionLost:
            return False
        return True

    def statistics(self) -> LinkStatistics:
        active = next((f"{h}:{p}" for (h, p), peer in self._peers.items() if peer is self._active), None)
        return LinkStatistics(len(self._brokers), len(self._peers), active)
