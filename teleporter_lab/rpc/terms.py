"""The terms of a conversation: its limits, its intervals and whose time it goes by.

Owns numbers that both ends of `peer` obey. Refuses to enforce them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from teleporter_lab.rpc.protocol import MAX_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable

_MIB = 1024 * 1024


class Timer(Protocol):
    def cancel(self) -> None: ...


class Timers(Protocol):
    """Seconds that only grow, and calls at a given one. The running event loop is one."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """Times in seconds, sizes in bytes."""

    handshake: float = 10.0
    """From the connection to Welcome, the authorizer's time included; and for connecting before that."""
    heartbeat: float = 30.0
    """Between two signs of life that are sent; a Welcome may shorten it."""
    idle: float = 120.0
    """Without a byte received, after which the connection is closed."""
    linger: float = 2.0
    """How long a closed connection waits for the other side to read the reason."""
    max_frame: int = MAX_FRAME
    open_requests: int = 256
    """Requests of one side that are worked on at once; more wait, and then reading stops."""
    unsent: int = 32 * _MIB
    """Bytes of notices and answers that wait for a slow reader, after which the connection is closed."""
    strangers: int = 512
    """Connections of a listener that have not said a good Hello yet; more are closed at once."""
    timers: Timers | None = None
    """None: the running event loop."""

    def clock(self) -> Timers:
        return self.timers or asyncio.get_running_loop()
