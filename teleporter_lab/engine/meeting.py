"""What every hub is made of: the error of one whose other side is gone, its numbers, and how its parties wait.

Refuses to know what is handed over; `merge_hub` and `hubs` do.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from teleporter_lab.engine.reservoir import rouse

SIZE = 1024
"""Elements that may wait for one stream."""


class HubClosed(RuntimeError):
    """The other side of a hub is not there any more, or not yours to have."""


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """Streams that give to a hub and that take from it now, and elements that were given and not taken."""

    givers: int
    takers: int
    held: int


class Party:
    """Somebody who waits until the hub has changed."""

    wake: asyncio.Future[None] | None = None

    def changed(self) -> asyncio.Future[None]:
        """Done at the next change."""
        self.wake = asyncio.get_running_loop().create_future()
        return self.wake

    def rouse(self) -> None:
        rouse(self.wake)


def checked(size: int) -> int:
    if size < 1:
        raise ValueError(f"A hub needs a size of 1 or more, not {size}.")
    return size
