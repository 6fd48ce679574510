# pyright: reportInvalidTypeVarUse=false
"""Sinks that are emptied from outside: queue_sink, source_sink.

Owns how a stream waits for somebody who is not part of it, and the two who take: `SinkQueue`, element by element, and
`Outlet`, the source of another stream. A record is confirmed when it was taken, or by the stream that took it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.graph import Sink, Source, source
from teleporter_lab.engine.stage import PLENTY, Stage, Terminal, close_fully, give_up
from teleporter_lab.engine.stages.queues import Turns

if TYPE_CHECKING:
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")
"""Also what a sink takes that takes anything: with Any there, type checkers lose the result of the graph."""


class StreamStopped(RuntimeError):
    """The stream that was to give more was stopped."""

    def __init__(self) -> None:
        super().__init__("The stream that elements were taken from was stopped before its end.")


def queue_sink(size: int) -> Sink[T, None]:
    """Keeps up to `size` elements for a `SinkQueue`, which is published, to be taken from outside.

    The stream goes on until the last element was taken, or `cancel` was called.

    Takes when: there is room for another element.
    Cancels when: the queue is cancelled.
    Tokens: confirmed when the last element of a chunk was taken.
    Like: Pekko's queue.
    """
    if size < 1:
        raise ValueError(f"queue_sink needs a size of 1 or more, not {size}.")

    def end(m: Materializer, upstream: Stage[Any]) -> Terminal[None]:
        shelf: Shelf[Any] = Shelf(size)
        m.publish(SinkQueue(shelf))
        return Outflow(upstream, m, shelf)

    return Sink(f"queue_sink({size})", end)


def source_sink() -> Sink[T, None]:
    """Gives everything to another stream, whose source is made from the `Outlet` that is published.

    The stream goes on until the other one has taken everything, or ends; without another one it waits.

    Takes when: the other stream asks.
    Cancels when: the other stream does.
    Tokens: go on into the other stream, which settles them.
    Like: Pekko's asPublisher.
    """

    def end(m: Materializer, upstream: Stage[Any]) -> Terminal[None]:
        passage: Passage[Any] = Passage()
        m.publish(Outlet(passage))
        return Outflow(upstream, m, passage)

    return Sink("source_sink", end)


class Taker(Protocol[T]):
    """Who empties a stream: how much it has room for, and whether it has left, or has all that was put down."""

    changed: Change

    @property
    def room(self) -> int: ...

    @property
    def left(self) -> bool: ...

    @property
    def emptied(self) -> bool: ...

    def put(self, chunk: Chunk[T]) -> Exception | None:
        """Takes a chunk over, or says why it cannot."""
        ...

    def end(self, error: Exception | None) -> None:
        """Nothing more comes."""
        ...


class Change:
    """Wakes the one task that waits for something to be different."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def tell(self, _: object = None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Outflow(Terminal[None], Generic[T]):
    """Puts down what is above as there is room, and waits until all of it was taken."""

    __slots__ = ("_ahead", "_taker")

    def __init__(self, upstream: Stage[T], m: Materializer, taker: Taker[T]) -> None:
        self._ahead = Ahead(upstream, m.spawn)
        self._taker = taker

    async def run(self) -> None:
        taker = self._taker
        try:
            failure = await self._flow()
            taker.end(failure)
            while not taker.emptied and not taker.left:
                await taker.changed.wait()
        except BaseException as error:
            taker.end(StreamStopped())
            await give_up(self._ahead.close, error)
            raise
        taker.end(StreamStopped())
        await close_fully(self._ahead.close)
        if failure is not None:
            raise failure

    async def _flow(self) -> Exception | None:
        """To the end, or until nobody takes any more; what the stream failed with."""
        taker, ahead = self._taker, self._ahead
        while not taker.left:
            if ahead.ready:
                outcome = ahead.outcome(PLENTY)
                failure = taker.put(outcome) if isinstance(outcome, Chunk) else outcome
                if failure is not None or outcome is None:
                    return failure
            elif taker.room > 0 and not ahead.started:
                ahead.start(taker.room).add_done_callback(taker.changed.tell)
            else:
                await taker.changed.wait()
        return None


class Shelf(Generic[T]):
    """Elements that wait for a `SinkQueue`, and the chunks they came in."""

    __slots__ = ("_chunks", "_elements", "_over", "_size", "changed", "error", "left", "turns")

    def __init__(self, size: int) -> None:
        self.changed = Change()
        self.left = False
        self.turns = Turns(lambda: bool(self._elements) or self._over or self.left)
        self.error: Exception | None = None
        self._size = size
        self._elements: deque[T] = deque()
        self._chunks: deque[tuple[int, Chunk[T]]] = deque()
        """Each with the number of its elements that are left."""
        self._over = False

    @property
    def room(self) -> int:
        return self._size - len(self._elements)

    @property
    def emptied(self) -> bool:
        return not self._elements

    def put(self, chunk: Chunk[T]) -> Exception | None:
        if type(chunk.data) is not list:
            failure = RowsNeeded("queue_sink")
            chunk.refuse(failure)
            return failure
        self._elements.extend(chunk.data)
        self._chunks.append((len(chunk), chunk))
        self.turns.move()
        return None

    def end(self, error: Exception | None) -> None:
        if not self._over:
            self._over, self.error = True, error
        self.turns.move()

    def leave(self) -> None:
        self.left = True
        self.changed.tell()
        self.turns.move()

    def take(self) -> T | None:
        if self.left or not self._elements:
            if self.error is not None and not self.left:
                raise self.error
            return None
        element = self._elements.popleft()
        count, chunk = self._chunks.popleft()
        if count > 1:
            self._chunks.appendleft((count - 1, chunk))
        else:
            chunk.written()
        self.changed.tell()
        return element


class SinkQueue(Generic[T]):
    """The way out of a stream, for any number of tasks of its event loop."""

    __slots__ = ("_shelf",)

    def __init__(self, shelf: Shelf[T]) -> None:
        self._shelf = shelf

    async def pull(self) -> T | None:
        """The next element, waiting for it behind those who came before; None at the end, or after `cancel`.

        A pull that is cancelled takes nothing. Raises what the stream failed with, after all that came before, and
        StreamStopped when it was stopped.
        """
        shelf = self._shelf
        await shelf.turns.turn()
        try:
            return shelf.take()
        finally:
            shelf.turns.move()

    def cancel(self) -> None:
        """Has got all it wants: the stream ends, and what it holds stays un-confirmed."""
        self._shelf.leave()


class Passage(Generic[T]):
    """The place where a chunk goes from one stream to the other, which asks first."""

    __slots__ = ("_asked", "_over", "arrived", "changed", "chunk", "error", "left")

    def __init__(self) -> None:
        self.changed = Change()
        self.arrived = Change()
        self.left = False
        self.chunk: Chunk[T] | None = None
        self.error: Exception | None = None
        self._asked = 0
        self._over = False

    @property
    def room(self) -> int:
        return self._asked if self.chunk is None else 0

    @property
    def emptied(self) -> bool:
        return self.chunk is None

    @property
    def over(self) -> bool:
        """Whether nothing is there and nothing more comes."""
        return self._over and self.chunk is None

    def put(self, chunk: Chunk[T]) -> Exception | None:
        self.chunk = chunk
        self._asked = 0
        self.arrived.tell()
        return None

    def end(self, error: Exception | None) -> None:
        if not self._over:
            self._over, self.error = True, error
        self.arrived.tell()

    def ask(self, n: int) -> None:
        self._asked = n
        self.changed.tell()

    def take(self, n: int) -> Chunk[T] | None:
        """The first `n` elements of what is there."""
        chunk, self.chunk = self.chunk, None
        if chunk is not None and len(chunk) > n:
            chunk, self.chunk = chunk.split(n)
        self.changed.tell()
        return chunk

    def leave(self) -> None:
        self.left = True
        self.changed.tell()


class Outlet(Generic[T]):
    """The end of a stream that runs, for another one of the same event loop to begin with."""

    __slots__ = ("_passage", "_used")

    def __init__(self, passage: Passage[T]) -> None:
        self._passage = passage
        self._used = False

    def source(self) -> Source[T]:
        """The source; it can be run once, as there is one stream behind it. It ends and fails with that stream."""

        def attach(m: Materializer) -> Stage[T]:
            if self._used:
                raise RuntimeError("An outlet is the source of one run; start the stream it belongs to once more.")
            self._used = True
            return FromOutlet(m, self._passage)

        return source("outlet", attach)


class FromOutlet(Stage[T]):
    __slots__ = ("_pace", "_passage")

    def __init__(self, m: Materializer, passage: Passage[T]) -> None:
        super().__init__()
        self._passage = passage
        self._pace = m.pace()

    async def pull(self, n: int) -> Chunk[T] | None:
        passage = self._passage
        fit = self._pace.fit(n)
        while passage.chunk is None and not passage.over:
            passage.ask(fit)
            await passage.arrived.wait()
        if passage.over:
            if passage.error is not None:
                raise passage.error
            return None
        await self._pace.turn()
        chunk = passage.take(fit)
        if chunk is not None:
            self._pace.gave(len(chunk))
        return chunk

    async def on_close(self) -> None:
        self._passage.leave()
