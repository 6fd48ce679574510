"""Writers whose methods are plain functions, seen as asynchronous ones.

Owns where they are called: in a driver thread, or in the event loop where they are quick. Refuses to supervise.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.stages.reading import is_columnar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.engine.blocking import DriverThreads
    from teleporter_lab.engine.endpoints import BlockingWriter, Mark
    from teleporter_lab.engine.turnstile import Busy

T = TypeVar("T")
R = TypeVar("R")


class InThread(Generic[T]):
    """A blocking writer, called in a driver thread. A cancelled write is waited for before the writer is closed.

    Its `parallel` is not looked at: it gets one call at a time.
    """

    __slots__ = ("_calls", "_writer", "columnar")

    def __init__(self, writer: BlockingWriter[T], threads: DriverThreads) -> None:
        self._writer: Any = writer
        self._calls: OneCall[Any] = OneCall(threads)
        self.columnar = is_columnar(writer)

    async def open(self) -> None:
        await self._calls.call(self._writer.open)

    async def write(self, records: Sequence[T]) -> None:
        await self._calls.call(self._writer.write, records)

    async def marked(self, key: str) -> str | None:
        return await self._calls.call(self._writer.marked, key)

    async def write_marked(self, records: Sequence[T], mark: Mark) -> None:
        await self._calls.call(self._writer.write_marked, records, mark)

    async def close(self) -> None:
        await self._calls.settle()
        await self._calls.call(self._writer.close)


class OnLoop(Generic[T]):
    """A blocking writer that is quick, called in the event loop."""

    __slots__ = ("_busy", "_writer")

    def __init__(self, writer: BlockingWriter[T], busy: Busy) -> None:
        self._writer = writer
        self._busy = busy

    async def open(self) -> None:
        self._writer.open()

    async def write(self, records: Sequence[T]) -> None:
        started = time.perf_counter()
        try:
            self._writer.write(records)
        finally:
            self._busy.seconds += time.perf_counter() - started

    async def close(self) -> None:
        self._writer.close()


class Functions(Generic[R, T]):
    """Three functions as a blocking writer: they open a resource, write to it and close it."""

    __slots__ = ("_close", "_open", "_resources", "_write")

    def __init__(
        self, open: Callable[[], R], write: Callable[[R, list[T]], object], close: Callable[[R], object]
    ) -> None:
        self._open = open
        self._write = write
        self._close = close
        self._resources: list[R] = []
        """The open one, if any."""

    def open(self) -> None:
        self._resources.append(self._open())

    def write(self, records: Any) -> None:
        self._write(self._resources[0], records)

    def close(self) -> None:
        if self._resources:
            self._close(self._resources.pop())
