"""What every hub is made of: the error of one whose other side is gone, its numbers, what waits in it, and who waits.

Refuses to know who gives what to whom; `merge_hub` and `hubs` do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.reservoir import rouse

if TYPE_CHECKING:
    from teleporter_lab.engine.chunk import Chunk

T = TypeVar("T")

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


class Handed(Generic[T]):
    """Chunks that were given and not taken. They are not joined: a record that waits below holds up no others."""

    def __init__(self) -> None:
        self._chunks: deque[Chunk[T]] = deque()
        self.count = 0
        """Elements in all of them."""

    def add(self, chunk: Chunk[T]) -> None:
        self._chunks.append(chunk)
        self.count += len(chunk)

    def give(self, n: int) -> Chunk[T]:
        """1 to `n` elements of the first chunk; there is one."""
        chunk = self._chunks.popleft()
        if len(chunk) > n:
            chunk, rest = chunk.split(n)
            self._chunks.appendleft(rest)
        self.count -= len(chunk)
        return chunk
