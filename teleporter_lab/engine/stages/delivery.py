"""Operators of delivery and of watching: source_ack, kill_switch, watch_termination.

Owns where a record gets its token, and how a stream is stopped and watched from outside.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.operators import Operators
from teleporter_lab.engine.stage import Stage, Through, close_fully
from teleporter_lab.errors import AckError

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.engine.endpoints import Position
    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.kill_switch import KillSwitch

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


class Delivering(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def source_ack(self, window: AckWindow) -> Flow[In, Out]:
        """Gives each chunk a token of `window`, which holds its records until everything below has confirmed them.

        Stands directly below a source that knows its position. A full window is back-pressure. The window serves one
        run: a second one raises AckError.
        """

        def attach(m: Any, upstream: Stage[Any]) -> Stage[Any]:
            if not hasattr(type(upstream), "position"):
                raise AckError("source_ack stands directly below a source that knows its position.")
            return SourceAck(cast("HasPosition", upstream), window, m.clock)

        return self.then("source_ack", attach)

    def kill_switch(self, switch: KillSwitch) -> Flow[In, Out]:
        """Ends here when `switch` is fired, also while what is above waits; below it everything drains."""
        return self.then("kill_switch", lambda _, up: Switched(up, switch))

    def watch_termination(self, ended: Callable[[BaseException | None], None]) -> Flow[In, Out]:
        """Calls `ended(None)` once when the stream ended here, or `ended(error)` when it failed or was cancelled."""
        return self.then("watch_termination", lambda _, up: Watched(up, ended))


class HasPosition(Protocol):
    """A source stage that knows where it is."""

    @property
    def position(self) -> Position: ...

    async def pull(self, n: int) -> Chunk[Any] | None: ...

    async def close(self) -> None: ...


class SourceAck(Stage[T]):
    __slots__ = ("_clock", "_room", "_source", "_window")

    def __init__(self, source: HasPosition, window: AckWindow, clock: Clock) -> None:
        super().__init__()
        self._source = source
        self._window = window
        self._clock = clock
        self._room = asyncio.Event()
        window.serve(self._room.set)

    async def pull(self, n: int) -> Chunk[T] | None:
        window = self._window
        while (room := window.room) <= 0:
            self._room.clear()
            await self._room.wait()
        chunk: Chunk[T] | None = await self._source.pull(min(n, room))
        if chunk is None:
            return None
        token = window.open(len(chunk), self._source.position, self._clock.now(), chunk.data)
        return Chunk(chunk.data, (token,))

    async def on_close(self) -> None:
        await self._source.close()


class Switched(Through[T, T]):
    __slots__ = ("_switch",)

    def __init__(self, upstream: Stage[T], switch: KillSwitch) -> None:
        super().__init__(upstream)
        self._switch = switch

    async def pull(self, n: int) -> Chunk[T] | None:
        switch = self._switch
        if switch.fired:
            return await self._stop()
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a stage is pulled by a task")
        waiting = switch.enter(task)
        try:
            return await self.upstream.pull(n)
        except asyncio.CancelledError:
            if not waiting.take_back():
                raise
        finally:
            switch.leave(waiting)
        return await self._stop()

    async def _stop(self) -> None:
        await close_fully(self.upstream.close)
        if self._switch.error is not None:
            raise self._switch.error


class Watched(Through[T, T]):
    __slots__ = ("_ended", "_told")

    def __init__(self, upstream: Stage[T], ended: Callable[[BaseException | None], None]) -> None:
        super().__init__(upstream)
        self._ended = ended
        self._told = False

    async def pull(self, n: int) -> Chunk[T] | None:
        try:
            chunk = await self.upstream.pull(n)
        except BaseException as error:
            self._tell(error)
            raise
        if chunk is None:
            self._tell(None)
        return chunk

    def _tell(self, error: BaseException | None) -> None:
        if not self._told:
            self._told = True
            self._ended(error)

    async def on_close(self) -> None:
        try:
            await super().on_close()
        finally:
            self._tell(None)
