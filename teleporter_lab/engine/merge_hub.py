"""A hub of many streams into one, each in a run of its own.

Owns what the streams gave and the one that takes has not taken yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.graph import Sink, Source, source
from teleporter_lab.engine.meeting import SIZE, Handed, HubClosed, HubStatistics, Party, checked
from teleporter_lab.engine.stage import Stage, Terminal, close_fully, give_up

if TYPE_CHECKING:
    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")


class MergeHub(Generic[T]):
    """Any number of streams, each in a run of its own, into one.

        hub = MergeHub()
        receiving = asyncio.create_task(hub.source().to(foreach(print)).run())
        await iterate("abc").to(hub.sink()).run()
        hub.complete()

    `size` is the most elements that each of them may have given and the receiving one has not taken.
    """

    def __init__(self, size: int = SIZE) -> None:
        self._size = checked(size)
        self._givers: list[_Giver[T]] = []
        self._taker: _Taker[T] | None = None
        self._closed = False
        self._completed = False
        self._draining = False

    def sink(self) -> Sink[T, None]:
        """Gives all elements to the hub; for any number of runs at any time.

        Fails with HubClosed when the receiving stream has ended, failed or was cancelled, or the hub was completed.

        Takes when: fewer than `size` of its elements wait in the hub; also before there is a receiving stream.
        Completes when: its input does, or the hub is drained, and all it gave was taken.
        Tokens: handed over; the receiving stream settles them.
        """
        return Sink("merge_hub", lambda m, up: _Giver(self, up, m, self._size))

    def source(self) -> Source[T]:
        """Gives the elements of all streams that end in the hub; for one run, a second one fails with HubClosed.

        Fair: those that have something take turns by chunk. One that fails does not concern the others.

        Emits when: one of them has given an element.
        Completes when: `complete` or `drain` was called and all have ended.
        Tokens: those of the streams that gave the elements.
        """
        return source("merge_hub", lambda m: _Taker(self, m))

    def complete(self) -> None:
        """No more streams may come; the source ends when those that run have ended."""
        self._completed = True
        self.rouse()

    def drain(self) -> None:
        """Ends the streams that give: no more is read, what was given goes on to the source, which then ends."""
        self._draining = True
        self.complete()

    def statistics(self) -> HubStatistics:
        held = sum(giver.held.count for giver in self._givers)
        return HubStatistics(len(self._givers), int(self._taker is not None and not self._closed), held)

    def enter(self, giver: _Giver[T]) -> None:
        if self._closed or self._completed:
            raise HubClosed("The hub was completed, or its source has ended: it takes no more streams.")
        self._givers.append(giver)

    def leave(self, giver: _Giver[T]) -> None:
        """`giver` gives no more; what it gave is taken first."""
        giver.done = True
        self._let_go(giver)

    def taken_by(self, taker: _Taker[T]) -> None:
        if self._taker is None:
            self._taker = taker
        if self._taker is not taker:
            raise HubClosed("A MergeHub has one source, for one run: this one runs elsewhere, or has run.")

    def close(self, taker: _Taker[T]) -> None:
        """The receiving stream has ended."""
        if self._taker is None or self._taker is taker:
            self._taker, self._closed = taker, True
            self.rouse()

    def stopped(self) -> bool:
        """Whether givers read no more. Raises HubClosed when nobody takes what they gave."""
        if self._closed:
            raise HubClosed("The stream that takes from the hub has ended, failed or was cancelled.")
        return self._draining

    def give(self, n: int) -> Chunk[T] | None:
        """Up to `n` elements of the next giver in turn that has some."""
        for i, giver in enumerate(self._givers):
            if giver.held.count:
                self._givers = [*self._givers[:i], *self._givers[i + 1 :], giver]
                chunk = giver.held.give(n)
                giver.rouse()
                self._let_go(giver)
                return chunk
        return None

    def _let_go(self, giver: _Giver[T]) -> None:
        if giver.done and (self._closed or not giver.held.count) and giver in self._givers:
            self._givers.remove(giver)
            self.given()

    def given(self) -> None:
        """There may be something to take."""
        if self._taker is not None:
            self._taker.rouse()

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return any(giver.held.count for giver in self._givers)

    @property
    def over(self) -> bool:
        return self._completed and not self._givers

    def rouse(self) -> None:
        """Lets everybody look again."""
        for giver in self._givers:
            giver.rouse()
        self.given()


class _Giver(Terminal[None], Party, Generic[T]):
    """The end of a stream that gives to a merge hub."""

    def __init__(self, hub: MergeHub[T], upstream: Stage[T], m: Materializer, size: int) -> None:
        self._hub = hub
        self._ahead = Ahead(upstream, m.spawn)
        self._clock = m.clock
        self._size = size
        self.held: Handed[T] = Handed()
        self.done = False

    async def run(self) -> None:
        try:
            self._hub.enter(self)
            while await self._read():
                pass
            while self.held.count:
                self._hub.stopped()
                await self.changed()
        except BaseException as error:
            self._hub.leave(self)
            await give_up(self._ahead.close, error)
            raise
        self._hub.leave(self)
        await close_fully(self._ahead.close)

    async def _read(self) -> bool:
        """Gives what comes next, when there is room for it; whether to go on."""
        if self._hub.stopped():
            return False
        room = self._size - self.held.count
        if room <= 0:
            await self.changed()
            return True
        pull = self._ahead.start(room)
        if not pull.done():
            await self._clock.wait((pull, self.changed()))
        if not self._ahead.ready:
            return True
        chunk = self._ahead.take(room)
        if chunk is None:
            return False
        self.held.add(chunk)
        self._hub.given()
        return True


class _Taker(Stage[T], Party):
    """The source of a merge hub."""

    def __init__(self, hub: MergeHub[T], m: Materializer) -> None:
        super().__init__()
        self._hub = hub
        self._pace = m.passing()

    async def pull(self, n: int) -> Chunk[T] | None:
        self._hub.taken_by(self)
        fit = self._pace.fit(n)
        while not self._hub.waiting:
            if self._hub.over:
                return None
            await self.changed()
        await self._pace.turn()
        chunk = self._hub.give(fit)
        if chunk is not None:
            self._pace.gave(len(chunk))
        return chunk

    async def on_close(self) -> None:
        self._hub.close(self)
