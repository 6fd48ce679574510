"""A source that is filled from outside: queue.

Owns the queue whoever started the stream offers to (`SourceQueue`), and the order of those who wait (`Turns`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.graph import Source, source
from teleporter_lab.engine.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")


class QueueClosed(RuntimeError):
    """An element was offered to a stream that takes none any more."""

    def __init__(self) -> None:
        super().__init__(
            "The queue takes no more elements: it was completed or failed, or its stream has ended. Look at `closed`, "
            "and offer to the queue of a stream that runs."
        )


@overload
def queue(size: int) -> Source[Any]: ...
@overload
def queue(size: int, of: type[T]) -> Source[T]: ...
def queue(size: int, of: object = None) -> Source[Any]:
    """What is offered to a `SourceQueue`, which is published; `size` elements may wait in it.

        async with queue(16, str).map(parse).to(foreach(print)).start() as running:
            await running.value(SourceQueue).offer("1")
            running.value(SourceQueue).complete()

    Emits when: an element was offered.
    Waits when: nothing was offered; an offer waits while the queue is full.
    Completes when: the queue was completed and everything in it was given.
    """
    if size < 1:
        raise ValueError(f"queue needs a size of 1 or more, not {size}.")

    def attach(m: Materializer) -> Stage[Any]:
        intake: Intake[Any] = Intake(size)
        m.publish(SourceQueue(intake))
        return Queue(m, intake)

    return source(f"queue({size})", attach)


class Turns:
    """Tasks that wait for the same thing: first come, first served, one at a time. A cancelled one makes way."""

    __slots__ = ("_ready", "_waiting")

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def free(self) -> bool:
        """Whether one who comes now need not wait."""
        return not self._waiting and self._ready()

    async def turn(self) -> None:
        """Returns when it is ready and the caller's turn; who has used the turn calls `move` before it waits again."""
        if self.free:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.remove(turn)
            self.move()
            raise
        self._waiting.remove(turn)

    def move(self) -> None:
        """Something has changed: lets the first one go when it is ready."""
        if self._waiting and self._ready() and not self._waiting[0].done():
            self._waiting[0].set_result(None)


class Intake(Generic[T]):
    """What was offered and not taken yet. Shared by a `SourceQueue` and its stage."""

    __slots__ = ("_arrived", "elements", "error", "over", "size", "turns")

    def __init__(self, size: int) -> None:
        self.size = size
        self.elements: list[T] = []
        self.over = False
        self.error: Exception | None = None
        self.turns = Turns(lambda: self.over or len(self.elements) < self.size)
        self._arrived: asyncio.Future[None] | None = None

    def put(self, element: T) -> None:
        self.elements.append(element)
        self._rouse()

    def end(self, error: Exception | None) -> None:
        if not self.over:
            self.over, self.error = True, error
            self._rouse()
            self.turns.move()

    def take(self, n: int) -> list[T]:
        data = self.elements[:n]
        del self.elements[:n]
        self.turns.move()
        return data

    async def arrival(self) -> None:
        """Until an element is there, or none comes any more."""
        while not self.elements and not self.over:
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived

    def _rouse(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)


class SourceQueue(Generic[T]):
    """The way into a stream from outside, for any number of tasks of its event loop."""

    __slots__ = ("_intake",)

    def __init__(self, intake: Intake[T]) -> None:
        self._intake = intake

    async def offer(self, element: T) -> None:
        """Returns when the queue has taken the element, waiting for room behind those who came before.

        An offer that is cancelled was not taken. Raises QueueClosed when no more is taken, also while it waits.
        """
        intake = self._intake
        await intake.turns.turn()
        try:
            if intake.over:
                raise QueueClosed
            intake.put(element)
        finally:
            intake.turns.move()

    def try_offer(self, element: T) -> bool:
        """Whether the queue had room for the element. Raises QueueClosed when no more is taken."""
        intake = self._intake
        if intake.over:
            raise QueueClosed
        if not intake.turns.free:
            return False
        intake.put(element)
        return True

    def complete(self) -> None:
        """The end, after everything that was taken. Nothing happens when it was completed or failed before."""
        self._intake.end(None)

    def fail(self, error: Exception) -> None:
        """Fails the stream with `error`, after everything that was taken."""
        self._intake.end(error)

    @property
    def closed(self) -> bool:
        """Whether offers are refused: it was completed or failed, or the stream has ended."""
        return self._intake.over

    def __len__(self) -> int:
        """Elements that wait in it."""
        return len(self._intake.elements)


class Queue(Stage[T]):
    __slots__ = ("_intake", "_pace")

    def __init__(self, m: Materializer, intake: Intake[T]) -> None:
        super().__init__()
        self._intake = intake
        self._pace = m.pace()

    async def pull(self, n: int) -> Chunk[T] | None:
        intake = self._intake
        fit = self._pace.fit(n)
        await intake.arrival()
        if not intake.elements:
            if intake.error is not None:
                raise intake.error
            return None
        await self._pace.turn()
        data = intake.take(fit)
        self._pace.gave(len(data))
        return Chunk(data)

    async def on_close(self) -> None:
        self._intake.end(None)
