"""The instances that are connected now. Owns their connections and what they said to use.

Refuses to decide anything: who runs what is `assignments`, what a message means is `handler`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from teleporter_lab.broker.events import FanOut
from teleporter_lab.errors import AlreadyRunning, ConnectionLost, NotFound, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from teleporter_lab.rpc.messages import Hello, Message

REQUEST_SECONDS = 60.0
"""How long an instance may take to answer: longer than it may drain a stream."""


class Remote(Protocol):
    """What a session needs of an RPC peer."""

    async def request(self, message: Message, timeout: float = ...) -> Message: ...

    async def close(self, code: str = ..., reason: str = ...) -> None: ...


@dataclass(eq=False)
class Session:
    """One connection of an instance. It counts as online once it is linked."""

    hello: Hello
    peer: Remote
    linked: bool = False
    ephemeral: bool = False
    uses: set[str] = field(default_factory=set[str])
    """Addresses and variables it said to use."""
    log: FanOut[list[str]] = field(default_factory=FanOut[list[str]])
    """New lines of its log, while somebody follows it."""

    @property
    def instance(self) -> str:
        return self.hello.instance


class Sessions:
    """At most one session for each instance key."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}

    def admit(self, hello: Hello) -> None:
        """Raise AlreadyRunning where another process is connected under the same key.

        The same process may come again before its old connection was noticed to be dead.
        """
        other = self._open.get(hello.instance)
        if other and (other.hello.host, other.hello.pid) != (hello.host, hello.pid):
            raise AlreadyRunning(
                f"{hello.instance} is connected already, from process {other.hello.pid} on {other.hello.host}: "
                "stop that one, or give this one another key."
            )

    def add(self, session: Session) -> Session | None:
        """Keep a session, and return the one it takes the place of. Raises as `admit` does."""
        self.admit(session.hello)
        replaced = self._open.get(session.instance)
        self._open[session.instance] = session
        return replaced

    def remove(self, session: Session) -> None:
        """Forget a session that ended, unless another one took its place before."""
        session.log.close()
        if self._open.get(session.instance) is session:
            del self._open[session.instance]

    def online(self) -> frozenset[str]:
        """The keys of the instances that are linked."""
        return frozenset(key for key, session in self._open.items() if session.linked)

    def get(self, instance: str) -> Session | None:
        """The linked session of an instance."""
        session = self._open.get(instance)
        return session if session and session.linked else None

    def links(self) -> Mapping[str, set[str]]:
        """Address or variable -> the instances that use it."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for key, session in self._open.items():
            for used in session.uses:
                found[used].add(key)
        return found

    def require(self, instance: str) -> Session:
        """The session of an instance. Raises NotFound where it is not connected."""
        session = self.get(instance)
        if session is None:
            raise NotFound(f"{instance} is not connected to this broker.")
        return session

    async def request(self, instance: str, message: Message, timeout: float = REQUEST_SECONDS) -> Message:
        """Ask an instance. Raises what it answered with, Unreachable when it is gone or does not answer in time."""
        session = self.get(instance)
        if session is None:
            raise Unreachable(f"{instance} is not connected to this broker.")
        try:
            return await session.peer.request(message, timeout)
        except TimeoutError as error:
            raise Unreachable(f"{instance} did not answer within {timeout:g} s.") from error
        except ConnectionLost as error:
            raise Unreachable(f"The connection to {instance} ended before it answered.") from error

    async def close(self) -> None:
        """Say goodbye to everybody."""
        for session in list(self._open.values()):
            await session.peer.close("closing", "The broker stops.")

    def statistics(self) -> dict[str, int]:
        """Connections, and those of them that are linked."""
        return {"open": len(self._open), "online": len(self.online())}
