"""Operators with several ways out of which one goes on, or all get everything: also_to, divert_to, wire_tap, broadcast.

Owns their methods, who gets what (`junction` hands it over), and the tap. Each side branch is driven by a task of its
own. `splitting` has those that give each element to one of several sinks.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import compress
from operator import not_
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk, Held, account_change
from teleporter_lab.engine.junction import Branch, Junction, SideBySide, beside
from teleporter_lab.engine.marks import Choosing
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.run import Scope
from teleporter_lab.engine.stage import Stage, Through
from teleporter_lab.engine.turnstile import MAX_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow, Nothing, RunnableGraph, Sink
    from teleporter_lab.engine.marks import Marked
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")
M = TypeVar("M")


class FanOut(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def also_to(self, *sinks: Sink[Out, Any]) -> Flow[In, Out]:
        """Gives every element below and to each of `sinks`, at the speed of the slowest.

        A sink that ends early no longer counts; one that fails fails the stream. An error from above is the stream's,
        unless an operator below this one recovers from it.

        Emits when: there is input, and the sinks have asked too.
        Waits when: nothing below asks, or one of the sinks does not.
        Cancels when: what is below does and all sinks have ended; until then these go on.
        Tokens: each way answers for every record, which is confirmed when all ways have settled it.
        Like: Pekko's alsoTo, and its alsoToAll for several sinks.
        """
        name = ended("also_to", sinks)
        return self.then(name, lambda m, up: beside(Everyone(Ahead(up, m.spawn)), sinks, m))

    def divert_to(self, sink: Sink[Out, Any], when: Callable[[Out], object]) -> Flow[In, Out]:
        """Sends the elements for which `when` is true to `sink`, gives the others below.

        A sink that ends early no longer gets its elements: they are left out. One that fails fails the stream.

        Emits when: an element stays.
        Waits when: nothing asks on either way, or one has not taken yet what it was given.
        Cancels when: what is below does and the sink has ended; until then the sink goes on.
        Tokens: each way answers for the elements it gets; those of elements left out are counted as filtered.
        Supervised: yes, `when` by element.
        """
        name = named("divert_to", when)

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            return beside(Parted(Ahead(Choosing(upstream, m, name, when), m.spawn)), (sink,), m)

        return self.then(name, attach)

    def wire_tap(self, sink: Sink[Out, Any]) -> Flow[In, Out]:
        """Gives every element below, and shows `sink` those it can take at once; it never slows the stream.

        What comes while the sink is busy is not shown to it. A sink that fails, or ends, is shown nothing more; its
        error is logged as a warning and the stream goes on. At the end the run waits until the sink has ended too.

        Emits when: there is input.
        Tokens: pass unchanged; what the sink is shown has none.
        """
        return self.then(f"wire_tap({sink})", lambda m, up: WireTap(up, m, sink))

    def broadcast(self, *sinks: Sink[Out, Any]) -> RunnableGraph[list[Any]]:
        """Ends the stream in several sinks, each of which gets every element; the list of their results.

        A sink that ends early no longer counts; one that fails fails the stream.

        Emits when: there is input, and all sinks ask.
        Waits when: one of the sinks does not ask.
        Completes when: all sinks have.
        Cancels when: all sinks do.
        Tokens: each sink answers for every record, which is confirmed when all of them have settled it.
        """
        if not sinks:
            raise ValueError("broadcast needs at least one sink.")
        return side_by_side(self, "broadcast", sinks, lambda m, up: Everyone(Ahead(up, m.spawn)))


def ended(name: str, sinks: tuple[Sink[Any, Any], ...]) -> str:
    """How an operator with sinks is shown: `also_to(ignore)`."""
    return f"{name}({', '.join(map(repr, sinks))})"


def side_by_side(
    flow: Operators[Any, Any], name: str, sinks: tuple[Sink[Any, Any], ...],
    junction: Callable[[Materializer, Stage[Any]], Junction[Any]],
) -> RunnableGraph[list[Any]]:  # fmt: skip
    """The end of `flow` in several sinks below a junction."""
    from teleporter_lab.engine.graph import Sink  # a blueprint, made by the module that inherits the families

    end: Sink[Any, list[Any]] = Sink(ended(name, sinks), lambda m, up: SideBySide(junction(m, up), sinks, m))
    return cast("Flow[Nothing, Any]", flow).to(end)


class Everyone(Junction[T]):
    """Every branch gets every element; read when all have asked and have nothing left."""

    __slots__ = ()

    def wanted(self, waiting: list[Branch[Any]]) -> int:
        if len(waiting) < len(self.open):
            return 0
        return min((branch.asked for branch in waiting), default=0)

    def hand_out(self, chunk: Chunk[T]) -> None:
        branches = self.open
        for token in chunk.tokens:
            token.retain(len(branches) - 1)
        account_change(chunk.tokens, len(chunk), len(chunk) * len(branches))
        for branch in branches:
            branch.give(self.part(branch, chunk), chunk.tokens, len(branches) == 1)

    def part(self, branch: Branch[Any], chunk: Chunk[T]) -> Any:
        """What one branch gets for `chunk`: as many elements."""
        return chunk.data


class Parted(Junction[T]):
    """Each element goes to the branch that its mark says; a branch holds at most what it was given of one chunk."""

    __slots__ = ()

    def wanted(self, waiting: list[Branch[Any]]) -> int:
        if any(branch.chunk is not None for branch in self.open):
            return 0
        return min((branch.asked for branch in waiting), default=0)

    def hand_out(self, chunk: Chunk[T]) -> None:
        parts = _parts(chunk.data, cast("Marked[T]", chunk).marks, len(self.branches))
        given = [pair for pair in zip(self.branches, parts, strict=True) if pair[1] and not pair[0].left]
        account_change(chunk.tokens, len(chunk), sum(len(part) for _, part in given))
        if not given:
            chunk.confirm()
            return
        for token in chunk.tokens:
            token.retain(len(given) - 1)
        for branch, part in given:
            branch.give(part, chunk.tokens, len(self.open) == 1)


def _parts(elements: list[T], numbers: list[int], ways: int) -> list[list[T]]:
    """The elements that go each way."""
    if ways == 2:
        return [list(compress(elements, map(not_, numbers))), list(compress(elements, numbers))]
    parts: list[list[T]] = [[] for _ in range(ways)]
    for number, element in zip(numbers, elements, strict=True):
        parts[number].append(element)
    return parts


class WireTap(Through[T, T]):
    __slots__ = ("_begun", "_tap")

    def __init__(self, upstream: Stage[T], m: Materializer, sink: Sink[T, Any]) -> None:
        super().__init__(upstream)
        scope = Scope(m.branch())
        self._begun = False
        self._tap: Tap[T] = Tap(scope.m)
        drive = scope.m.spawn(scope.m.drive(sink.attach(scope.m, self._tap)))
        m.spawn(_watch(scope, drive, self._tap, f"wire_tap({sink})"))

    async def pull(self, n: int) -> Chunk[T] | None:
        if not self._begun:
            await asyncio.sleep(0)  # the sink is driven from now on, and may ask for the first element
            self._begun = True
        try:
            chunk = await self.upstream.pull(n)
        except Exception as error:
            self._tap.end(error)
            raise
        if chunk is None:
            self._tap.end(None)
        else:
            self._tap.show(chunk.data)
        return chunk

    async def on_close(self) -> None:
        self._tap.end(None)
        await self.upstream.close()


class Tap(Stage[T]):
    """What the sink of a tap pulls. While it waits there is room for what it asked for, and none while it works."""

    __slots__ = ("_over", "_pace", "_room", "_shown", "_wake", "error")

    def __init__(self, m: Materializer) -> None:
        super().__init__()
        self._pace = m.passing()
        self._room = 0
        self._shown: Held[T] = Held()
        self._wake: asyncio.Future[None] | None = None
        self._over = False
        self.error: Exception | None = None

    def show(self, data: list[T]) -> None:
        room = self._room - self._shown.count
        if room > 0:
            self._shown.add(Chunk(data if len(data) <= room else data[:room]))
            self._rouse()

    def end(self, error: Exception | None) -> None:
        """Nothing more will be shown."""
        if not self._over:
            self._over, self.error = True, error
            self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def pull(self, n: int) -> Chunk[T] | None:
        if not self._shown.count and not self._over:
            self._room = min(n, MAX_CHUNK)
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._room = 0
        if self._shown.count:
            fit = self._pace.fit(n)
            await self._pace.turn()
            self._pace.gave(fit := min(fit, self._shown.count))
            return self._shown.take(fit)
        if self.error is not None:
            raise self.error
        return None


async def _watch(scope: Scope, drive: asyncio.Task[None], tap: Tap[Any], name: str) -> None:
    """Ends what is left of a tap when its sink has ended or failed."""
    await asyncio.wait((drive, scope.failed), return_when=asyncio.FIRST_COMPLETED)
    if scope.failed.done() and (error := scope.failed.result()) is not tap.error:
        logging.getLogger(__name__).warning("%s is shown nothing more, as it failed: %r", name, error)
    await scope.end()
