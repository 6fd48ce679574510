"""The stage of source_ack: where records get their tokens, and from where they are delivered again.

Owns the place in the stream: room before new records, what is due before either. `redelivery` knows what is due, `ack`
what is confirmed. Refuses to decide anything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import failure_of
from teleporter_lab.engine.redelivery import Redelivery
from teleporter_lab.engine.stage import Stage, close_each, given_up, switched_off

if TYPE_CHECKING:
    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.endpoints import Position
    from teleporter_lab.engine.redelivery import AckPolicy
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.token import Span

T = TypeVar("T")


class HasPosition(Protocol):
    """A source stage that knows where it is. It may have `holds_back`, as `ReadFrom` does."""

    @property
    def position(self) -> Position: ...

    async def pull(self, n: int) -> Chunk[Any] | None: ...

    async def close(self) -> None: ...


class SourceAck(Stage[T]):
    """Gives each chunk of its source a token, and those that were not confirmed in time once more.

    While it waits for its source it can be woken: the pull of the source is cancelled then, which loses nothing.
    """

    __slots__ = ("_again", "_clock", "_m", "_name", "_policy", "_puller", "_room", "_source", "_window")

    def __init__(self, source: HasPosition, window: AckWindow, m: Materializer, policy: AckPolicy) -> None:
        super().__init__()
        self._source = source
        self._window = window
        self._m = m
        self._name: str = m.name or getattr(source, "name", "source_ack")
        self._clock = m.clock
        self._policy = policy
        self._room = asyncio.Event()
        self._again: Redelivery[T] | None = None
        """Made with the first record where they may become too old, or with the first that is given back."""
        self._puller: asyncio.Task[Any] | None = None
        """Waits for the source, and may be woken."""
        window.serve(self._room.set, self._nacked)

    async def pull(self, n: int) -> Chunk[T] | None:
        window = self._window
        while True:
            room = window.room
            if room <= 0 or (self._again is not None and self._again.due):
                chunk = await self._held_up(n)
                if chunk is not None:
                    return chunk
                continue
            self._puller = asyncio.current_task()
            try:
                chunk = await self._source.pull(n if n < room else room)
            except BaseException as error:
                if self._woken() and isinstance(error, asyncio.CancelledError):
                    continue
                raise
            self._woken()
            if chunk is not None:
                return self._opened(chunk)
            if await self._ended():
                return None

    def _opened(self, chunk: Chunk[T]) -> Chunk[T]:
        data = chunk.data
        token = self._window.open(len(data), self._source.position, self._clock.now(), data)
        token.span.whole = not getattr(self._source, "holds_back", False)
        if self._policy.ages:
            self._redelivery().watch()
        return Chunk(data, (token,))

    async def _held_up(self, n: int) -> Chunk[T] | None:
        """What is due; None when that came to nothing, or when there may be room."""
        if self._again is not None and self._again.due:
            return await self._again.next(n)
        await self._change()
        return None

    async def _change(self) -> None:
        """Waits until there may be room, or something is due."""
        self._room.clear()
        await self._room.wait()

    async def _ended(self) -> bool:
        """The source has nothing more: whether that is the end here too, as nothing waits to be delivered again.

        What is on its way then is not delivered again by this run: the stages below give out what they hold back only
        when they have seen the end.
        """
        again = self._again
        if again is not None and again.waits:
            if not again.due:
                await self._change()
            return False
        self._window.exhausted = True
        if again is not None:
            again.stop()
        return True

    def _redelivery(self) -> Redelivery[T]:
        if self._again is None:
            self._again = Redelivery(self._m, self._name, self._window, self._policy, self._wake)
        return self._again

    def _nacked(self, span: Span, error: BaseException) -> None:
        self._redelivery().nacked(span, failure_of(error))

    def _wake(self) -> None:
        """Something is due: a pull that waits looks at it. One that is being cancelled already is left alone."""
        self._room.set()
        puller = self._puller
        if puller is not None and not puller.cancelling():
            self._puller = None
            puller.cancel()

    def _woken(self) -> bool:
        """The pull of the source has come to its end: whether it was only woken, and nobody else cancelled it."""
        puller, self._puller = self._puller, None
        if puller is not None:
            return False
        task = asyncio.current_task()
        return task is not None and task.uncancel() == 0

    async def on_close(self) -> None:
        await close_each(self._settle, self._source.close)

    async def _settle(self) -> None:
        """What was given back too late to be delivered again is decided about now, unless the stream has not ended."""
        again = self._again
        if again is not None:
            again.stop()
            if not given_up() and not switched_off():
                await again.finish()
