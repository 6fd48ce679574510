"""Hubs: where streams meet that run by themselves, at any time, on one event loop.

Many streams into one (MergeHub), one into all that listen (BroadcastHub), or each of its elements into one of them
(PartitionHub). A hub is made outside of every graph. A chunk is handed over with its tokens, so that the stream that
takes it settles records of the one that gave it. Whoever ends, fails or is cancelled never leaves another run waiting:
what was in its hands stays un-confirmed, and the others go on, end, or fail with HubClosed.

Owns the hubs with listeners; `merge_hub` has the other one.
"""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, cast

from teleporter_lab.engine.chunk import Chunk, account_change
from teleporter_lab.engine.graph import Sink, Source, source
from teleporter_lab.engine.marks import Marking, NoSuchWay
from teleporter_lab.engine.meeting import SIZE, Handed, HubClosed, HubStatistics, Party, checked
from teleporter_lab.engine.merge_hub import MergeHub
from teleporter_lab.engine.operators import named
from teleporter_lab.engine.reservoir import leave_out
from teleporter_lab.engine.share import Shares
from teleporter_lab.engine.stage import Stage, Terminal, Through, close_fully, give_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.marks import Marked
    from teleporter_lab.engine.run import Materializer

__all__ = ["BroadcastHub", "HubClosed", "HubStatistics", "MergeHub", "PartitionHub"]

T = TypeVar("T")


class _Listened(Generic[T]):
    """One stream that gives, and any number that listen; subclasses say who gets what."""

    def __init__(self, name: str, size: int, start_after: int) -> None:
        if start_after < 0:
            raise ValueError(f"A hub starts after 0 listeners or more, not {start_after}.")
        self.listeners: list[_Listener[T]] = []
        """In the order they came."""
        self._name = name
        self._size = checked(size)
        self._start_after = start_after
        self._giver: _Giver[T] | None = None
        self._over = False
        self._error: BaseException | None = None

    def sink(self) -> Sink[T, None]:
        """Gives all elements to the hub; for one run, a second one fails with HubClosed.

        Takes when: every listener has room, fewer than `size` elements waiting for it.
        Completes when: its input does and the listeners have taken what it gave.
        Tokens: handed over; the streams that listen settle them.
        """
        return Sink(self._name, lambda m, up: _Giver(self, up, m))

    def source(self) -> Source[T]:
        """Gives what the hub gets from now on; for any number of runs at any time.

        It listens from its first pull until it is closed. When the stream that gives fails or is stopped, it fails
        with HubClosed after what was given.

        Emits when: the hub has given it an element.
        Completes when: the stream that gives has ended.
        Tokens: it answers for the records it gets; what it has not settled when its own sink has enough is left out,
            and stays un-confirmed when its run fails.
        """
        return source(self._name, lambda m: _Listener(self, m))

    def statistics(self) -> HubStatistics:
        giving = int(self._giver is not None and not self._over)
        return HubStatistics(giving, len(self.listeners), sum(listener.held.count for listener in self.listeners))

    def route(self, giver: _Giver[T], upstream: Stage[T], m: Materializer) -> Stage[T]:
        """What the giver pulls."""
        return upstream

    def hand_out(self, chunk: Chunk[T]) -> None:
        """Gives `chunk` to listeners; there may be none."""
        raise AssertionError(f"{type(self).__name__} does not say who gets what")

    def takes(self) -> bool:
        """Whether there is somebody to give to."""
        return bool(self.listeners)

    def room(self) -> int:
        """How many elements may be read now."""
        if len(self.listeners) < self._start_after or not self.takes():
            return 0
        self._start_after = 0
        return self._size - max((listener.held.count for listener in self.listeners), default=0)

    def gives(self, giver: _Giver[T]) -> None:
        if self._giver is not None:
            raise HubClosed("This hub has one sink, for one run: this one runs elsewhere, or has run.")
        self._giver = giver

    def end(self, giver: _Giver[T], error: BaseException | None) -> None:
        """The stream that gives has ended, with `error` where it failed or was cancelled."""
        if self._giver is giver and not self._over:
            self._over, self._error = True, error
            for listener in self.listeners:
                listener.rouse()

    def over(self) -> bool:
        """Whether nothing more comes. Raises HubClosed when that is for a failure."""
        if self._error is not None:
            raise HubClosed("The stream that gives to the hub has failed or was stopped.") from self._error
        return self._over

    def join(self, listener: _Listener[T]) -> None:
        self.listeners.append(listener)
        self.rouse()

    def leave(self, listener: _Listener[T]) -> None:
        if listener in self.listeners:
            self.listeners.remove(listener)
            self.rouse()

    def rouse(self) -> None:
        """There may be room."""
        if self._giver is not None:
            self._giver.rouse()


class BroadcastHub(_Listened[T]):
    """One stream into all that listen, each in a run of its own; the slowest of them sets the pace.

        hub = BroadcastHub()
        running = asyncio.create_task(tick(1.0, "beat").to(hub.sink()).run())
        await hub.source().take(3).to(to_list()).run()

    `size` is the most elements that wait for one listener. Nothing is read before `start_after` have come; while there
    is none, the stream waits, or its elements are left out when `alone` is "drop".
    """

    def __init__(self, size: int = SIZE, start_after: int = 0, alone: Literal["wait", "drop"] = "wait") -> None:
        if alone not in ("wait", "drop"):
            raise ValueError(f"alone is wait or drop, not {alone!r}.")
        super().__init__("broadcast_hub", size, start_after)
        self._drops = alone == "drop"

    def takes(self) -> bool:
        return self._drops or super().takes()

    def hand_out(self, chunk: Chunk[T]) -> None:
        if not self.listeners:
            leave_out(chunk)
            return
        for token in chunk.tokens:
            token.retain(len(self.listeners) - 1)
        account_change(chunk.tokens, len(chunk), len(chunk) * len(self.listeners))
        for listener in self.listeners:
            listener.hear(chunk.data, chunk.tokens)


class PartitionHub(_Listened[T]):
    """One stream into many, each in a run of its own: an element goes to the one that `by` chooses.

    `by(listeners, x)` gives a number from 0 to below the number of `listeners`, who stand in the order they came. It is
    called under the supervision of the stream that gives; a number that nobody has counts as the element's failure.
    While nobody listens the stream waits. What was chosen for a listener that has left meanwhile is refused.
    """

    def __init__(self, by: Callable[[int, T], int], size: int = SIZE, start_after: int = 0) -> None:
        super().__init__(named("partition_hub", by), size, start_after)
        self._by = by

    def route(self, giver: _Giver[T], upstream: Stage[T], m: Materializer) -> Stage[T]:
        return Marking(_Gate(upstream, self, giver), m, self._name, self._chosen)

    def _chosen(self, element: T) -> _Listener[T]:
        count = len(self.listeners)
        number = index(self._by(count, element))
        if not 0 <= number < count:
            raise NoSuchWay(number, count)
        return self.listeners[number]

    def hand_out(self, chunk: Chunk[T]) -> None:
        chosen: list[_Listener[T]] = cast("Marked[T]", chunk).marks
        parts: dict[_Listener[T], list[T]] = {}
        for listener, element in zip(chosen, chunk.data, strict=True):
            parts.setdefault(listener, []).append(element)
        for token in chunk.tokens:
            token.retain(len(parts) - 1)
        for listener, part in parts.items():
            if listener in self.listeners:
                listener.hear(part, chunk.tokens)
            else:
                Chunk(part, chunk.tokens).refuse(HubClosed("The stream that was chosen has ended."))


class _Gate(Through[T, T]):
    """Lets a chunk pass when there is a listener to choose."""

    def __init__(self, upstream: Stage[T], hub: _Listened[T], giver: _Giver[T]) -> None:
        super().__init__(upstream)
        self._hub = hub
        self._giver = giver

    async def pull(self, n: int) -> Chunk[T] | None:
        chunk = await self.upstream.pull(n)
        while chunk is not None and not self._hub.takes():
            await self._giver.changed()
        return chunk


class _Giver(Terminal[None], Party, Generic[T]):
    """The end of a stream that gives to listeners."""

    def __init__(self, hub: _Listened[T], upstream: Stage[T], m: Materializer) -> None:
        self._hub = hub
        self._upstream = hub.route(self, upstream, m)

    async def run(self) -> None:
        hub = self._hub
        try:
            hub.gives(self)
            while (chunk := await self._next()) is not None:
                while not hub.takes():
                    await self.changed()
                hub.hand_out(chunk)
            hub.end(self, None)
            while any(listener.held.count for listener in hub.listeners):
                await self.changed()
        except BaseException as error:
            hub.end(self, error)
            await give_up(self._upstream.close, error)
            raise
        await close_fully(self._upstream.close)

    async def _next(self) -> Chunk[T] | None:
        while (room := self._hub.room()) <= 0:
            await self.changed()
        return await self._upstream.pull(room)


class _Listener(Stage[T], Party):
    """A source of a hub; `held` is what it was given and has not handed down."""

    def __init__(self, hub: _Listened[T], m: Materializer) -> None:
        super().__init__()
        self._hub = hub
        self._shares = Shares(m.ends)
        self._pace = m.passing()
        self._joined = False
        self.held: Handed[T] = Handed()

    def hear(self, data: list[T], tokens: tuple[Token, ...]) -> None:
        """Takes elements, with a reference of each token."""
        self.held.add(Chunk(data, self._shares.of(tokens, len(data))))
        self.rouse()

    async def pull(self, n: int) -> Chunk[T] | None:
        if not self._joined:
            self._joined = True
            self._hub.join(self)
        fit = self._pace.fit(n)
        while not self.held.count:
            if self._hub.over():
                return None
            await self.changed()
        await self._pace.turn()
        chunk = self.held.give(fit)
        self._pace.gave(len(chunk))
        self._hub.rouse()
        return chunk

    async def on_close(self) -> None:
        self._shares.close()
        self._hub.leave(self)
