"""The writer of a sink: opened before it is used, replaced by a fresh one when a rule says reload.

Owns which writer is the one in use. Where several writes run at once, a replacement waits for those that are under way,
and those that come meanwhile wait for the fresh writer. Refuses to decide when one is replaced.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.reservoir import rouse
from teleporter_lab.engine.stages.reading import let_go

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.engine.endpoints import Writer

T = TypeVar("T")


class WriterSlot(Generic[T]):
    """A place for one writer at a time, made by `make`."""

    __slots__ = ("_gate", "_idle", "_make", "_opened", "_stale", "_writes", "writer")

    def __init__(self, make: Callable[[], Writer[T]]) -> None:
        self._make = make
        self.writer = make()
        self._opened = False
        self._stale = False
        """The writer is to be replaced before it is used again."""
        self._writes = 0
        """Calls of `write` that are under way."""
        self._idle: asyncio.Future[None] | None = None
        self._gate: asyncio.Lock | None = None
        """Held by the one who replaces; made when the first writer is replaced."""

    async def open(self) -> None:
        """Opens the first writer, before anything else. Raises what that fails with; a fresh one is opened next."""
        await self._renew()

    async def ready(self) -> Any:
        """The writer, open. Raises what making or opening it fails with."""
        if self._stale or not self._opened:
            if self._gate is None:
                self._gate = asyncio.Lock()
            async with self._gate:
                await self._renew()
        return self.writer

    async def write(self, writer: Writer[T], records: Sequence[T]) -> None:
        """Calls it, and does not let it be replaced meanwhile. `writer` is what `ready` has just given."""
        self._writes += 1
        try:
            await writer.write(records)
        finally:
            self._writes -= 1
            if self._idle is not None and not self._writes:
                rouse(self._idle)

    def replace(self, writer: Writer[T]) -> None:
        """`writer` is not to be used again; nothing happens where it was replaced already."""
        if writer is self.writer:
            self._stale = True

    async def close(self) -> None:
        await self.writer.close()

    async def _renew(self) -> None:
        if self._stale:
            await self._unused()
            await let_go(self.writer)
            self.writer, self._opened = self._make(), False
            self._stale = False
        if not self._opened:
            self._stale = True  # until it is open
            await self.writer.open()
            self._opened, self._stale = True, False

    async def _unused(self) -> None:
        while self._writes:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
