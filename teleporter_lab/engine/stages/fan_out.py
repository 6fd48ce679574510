"""Operators with several ways out: broadcast, also_to, divert_to.

Owns the hub that feeds branches at the speed of the slowest. Each side branch is driven by a task of its own. Tokens:
a branch answers for what it got, so a record is confirmed when all of its branches have settled it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from teleporter_lab.engine.ack import Share
from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.operators import Operators
from teleporter_lab.engine.stage import Stage, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.graph import Flow, Nothing, RunnableGraph, Sink
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.turnstile import Pace

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


class FanOut(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def also_to(self, *sinks: Sink[Out, Any]) -> Flow[In, Out]:
        """Gives every element below and to each of `sinks`, at the speed of the slowest.

        A sink that ends early no longer counts; one that fails fails the stream. Tokens: see the family.
        """

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            hub: Hub[Any] = Hub(Ahead(upstream, m.spawn))
            for sink in sinks:
                side = m.branch()
                m.spawn(_drive(side, sink.attach(side, hub.branch(side))))
            return hub.branch(m)

        return self.then("also_to", attach)

    def broadcast(self, *sinks: Sink[Out, Any]) -> RunnableGraph[list[Any]]:
        """Ends the stream in several sinks, each of which gets every element; the list of their results."""
        from teleporter_lab.engine.graph import Sink  # a blueprint, made by the module that inherits this family

        if not sinks:
            raise ValueError("broadcast needs at least one sink")

        def end(m: Materializer, upstream: Stage[Any]) -> Terminal[list[Any]]:
            hub: Hub[Any] = Hub(Ahead(upstream, m.spawn))
            sides = [m.branch() for _ in sinks]
            return _All([(side, sink.attach(side, hub.branch(side))) for side, sink in zip(sides, sinks, strict=True)])

        name = "broadcast(" + ", ".join(repr(sink) for sink in sinks) + ")"
        return cast("Flow[Nothing, Out]", self).to(Sink(name, end))

    def divert_to(self, sink: Sink[Out, Any], when: Callable[[Out], object]) -> Flow[In, Out]:
        """Sends the elements for which `when` is true to `sink`, gives the others below.

        `when` is called twice for each element, once for each way, each time under supervision.
        """
        from teleporter_lab.engine.graph import flow

        aside: Flow[Out, Out] = flow()
        return self.also_to(aside.filter(when).to(sink)).filter_not(when)


async def _drive(m: Materializer, terminal: Terminal[Any]) -> None:
    await m.drive(terminal)


class Hub(Generic[T]):
    """One stage above, several branches below; pulled when every open branch has asked and has nothing left."""

    __slots__ = ("_ahead", "_branches", "_error", "_over")

    def __init__(self, ahead: Ahead[T]) -> None:
        self._ahead = ahead
        self._over = False
        self._error: Exception | None = None
        self._branches: list[Branch[T]] = []

    def branch(self, m: Materializer) -> Branch[T]:
        """One more way out, pulled by an island of its own; all are made before the first is pulled."""
        branch = Branch(self, m.pace())
        m.at_end(branch.leave_out)
        self._branches.append(branch)
        return branch

    def _open(self) -> list[Branch[T]]:
        return [branch for branch in self._branches if not branch.left]

    async def pull(self, branch: Branch[T]) -> None:
        """Returns when `branch` has a chunk or the stream is over."""
        self._go_on()
        while branch.chunk is None and not self._over:
            branch.wake = asyncio.get_running_loop().create_future()
            await branch.wake
            self._go_on()
        if branch.chunk is None and self._error is not None:
            raise self._error

    def _go_on(self) -> None:
        """Reads on, or hands out what was read, when every open branch waits for it."""
        if self._over or not all(branch.asked and branch.chunk is None for branch in self._open()):
            return
        if self._ahead.ready:
            self._distribute()
        elif not self._ahead.started:
            asked = min(branch.asked for branch in self._open())
            self._ahead.start(asked).add_done_callback(self._distribute)

    def _distribute(self, pull: asyncio.Task[None] | None = None) -> None:
        waiting = self._open()
        if not waiting or not self._ahead.ready or (pull is not None and pull.cancelled()):
            return
        outcome = self._ahead.outcome(min(branch.asked for branch in waiting))
        if isinstance(outcome, Chunk):
            self._share(outcome, waiting)
        else:
            self._over, self._error = True, outcome
        self._rouse()

    def _share(self, chunk: Chunk[T], branches: list[Branch[T]]) -> None:
        if len(branches) == 1:
            branches[0].chunk = chunk
            return
        for token in chunk.tokens:
            token.retain(len(branches) - 1)
        if chunk.tokens:
            chunk.tokens[-1].account("expanded", len(chunk) * (len(branches) - 1))
        for branch in branches:
            branch.chunk = Chunk(chunk.data, branch.shares(chunk))

    def _rouse(self) -> None:
        """Lets every waiting branch look again."""
        for branch in self._branches:
            if branch.wake is not None and not branch.wake.done():
                branch.wake.set_result(None)

    async def leave(self) -> None:
        """A branch was closed; the last one closes what is above."""
        if self._open():
            self._rouse()
        else:
            await self._ahead.close()


class Branch(Stage[T]):
    """One way out of a hub."""

    __slots__ = ("_given", "_hub", "_pace", "asked", "chunk", "left", "wake")

    def __init__(self, hub: Hub[T], pace: Pace) -> None:
        super().__init__()
        self._hub = hub
        self._pace = pace
        self._given: deque[Share] = deque()
        self.asked = 0
        self.chunk: Chunk[T] | None = None
        self.left = False
        self.wake: asyncio.Future[None] | None = None

    async def pull(self, n: int) -> Chunk[T] | None:
        self.asked = n
        await self._hub.pull(self)
        if self.chunk is None:
            return None
        fit = self._pace.fit(n)
        await self._pace.turn()
        chunk, self.chunk = self.chunk, None
        if len(chunk) > fit:
            chunk, self.chunk = chunk.split(fit)
        self.asked = 0
        self._pace.gave(len(chunk))
        return chunk

    def shares(self, chunk: Chunk[T]) -> tuple[Token, ...]:
        """What this branch answers with for `chunk`; its last share accounts for the elements, as always."""
        given = self._given
        while given and given[0].settled:
            given.popleft()
        last = len(chunk.tokens) - 1
        return tuple(Share(token, len(chunk) if i == last else 0, given) for i, token in enumerate(chunk.tokens))

    def leave_out(self) -> None:
        """The sink of this branch has got all it wants; what it has not settled stands in nobody's way."""
        for share in self._given:
            share.leave_out()

    async def on_close(self) -> None:
        self.left = True
        await self._hub.leave()


class _All(Terminal[list[Any]]):
    """Several sinks that run side by side; the first one in the calling task."""

    __slots__ = ("_sinks",)

    def __init__(self, sinks: list[tuple[Materializer, Terminal[Any]]]) -> None:
        self._sinks = sinks

    async def run(self) -> list[Any]:
        results: list[Any] = [None] * len(self._sinks)

        async def drive(i: int) -> None:
            m, terminal = self._sinks[i]
            results[i] = await m.drive(terminal)

        m, _ = self._sinks[0]
        others = [m.spawn(drive(i)) for i in range(1, len(self._sinks))]
        await drive(0)
        if others:
            await asyncio.wait(others)
        return results
