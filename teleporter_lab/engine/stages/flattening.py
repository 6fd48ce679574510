"""Operators that make a source of each element and give what comes out of it: flat_map_concat, flat_map_merge,
switch_map.

Owns their methods and stages, and `Origin`: what comes out of an inner source answers for the record it was made from.
What fails inside an inner source fails the stream, in its side sinks too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk, account_change
from teleporter_lab.engine.loan import Loan
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import PLENTY, Stage, Through, close_each, close_fully
from teleporter_lab.engine.stages.nesting import Merging, Part, inside
from teleporter_lab.engine.stages.transform import Map
from teleporter_lab.engine.supervision import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.ack import Account, Token
    from teleporter_lab.engine.graph import Flow, Source
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
A = TypeVar("A")
B = TypeVar("B")


class Flattening(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def flat_map_concat(self, function: Callable[[Out], Source[B]]) -> Flow[In, B]:
        """Gives everything from the source `function(x)`, then everything from that of the next element, and so on.

        A source is made when those before it have ended, and so have the sinks inside them, which are stopped only
        when what is below stops asking. Values that it publishes cannot be asked for.

        Emits when: the inner source does.
        Completes when: its input and the last inner source do.
        Tokens: a record is confirmed when everything that came out of its source is, or when nothing did.
        Supervised: yes, `function` by element; an error of an inner source fails the stream.
        """
        name = named("flat_map_concat", function)
        return self.then(name, lambda m, up: FlatMapConcat(sources(up, m, name, function), m))

    def flat_map_merge(self, breadth: int, function: Callable[[Out], Source[B]]) -> Flow[In, B]:
        """Gives what the sources `function(x)` give as it comes, up to `breadth` of them running side by side.

        Those that have something take turns; each keeps its own order. It reads as many elements as it may run
        sources. An error of its input comes when the inner sources that run have ended.

        Emits when: one of the inner sources does.
        Completes when: its input and all inner sources do.
        Tokens: a record is confirmed when everything that came out of its source is, or when nothing did.
        Supervised: yes, `function` by element; an error of an inner source fails the stream.
        """
        if breadth < 1:
            raise ValueError(f"flat_map_merge needs a breadth of 1 or more, not {breadth}")
        name = named("flat_map_merge", function)
        return self.then(name, lambda m, up: FlatMapMerge(sources(up, m, name, function), m, breadth))

    def switch_map(self, function: Callable[[Out], Source[B]]) -> Flow[In, B]:
        """Gives what the source `function(x)` gives, until the next element puts another in its place.

        The older source is closed then; what it had to give and nobody asked for is left out.

        Emits when: the newest inner source does.
        Waits when: nothing below asks; new elements are looked for only while something below does.
        Completes when: its input and the newest inner source do.
        Tokens: a record is confirmed when its source has ended or was left, and what it gave is confirmed.
        Supervised: yes, `function` by element; an error of an inner source fails the stream.
        """
        name = named("switch_map", function)
        return self.then(name, lambda m, up: SwitchMap(sources(up, m, name, function), m))


def sources(
    upstream: Stage[A], m: Materializer, name: str, function: Callable[[A], Source[B]]
) -> Stage[Callable[[Materializer], Stage[B]]]:
    """What `function` gives for each element, ready to be attached. What is no source is an error of the function."""

    def source_of(element: A) -> Callable[[Materializer], Stage[B]]:
        source = function(element)
        check_source(source, "The function")
        return source.attach

    return Map(upstream, m, name, source_of)


def check_source(source: object, by: str) -> None:
    """Raises TypeError where `source` is none."""
    steps = getattr(source, "steps", ())
    if not hasattr(source, "then") or not steps or not steps[0].starts:
        raise TypeError(f"{by} has to give a source, and gave {source!r}")


def check_flow(flow: object, by: str) -> None:
    """Raises TypeError where `flow` is none, or is a source."""
    steps = getattr(flow, "steps", ())
    if not hasattr(flow, "then") or (steps and steps[0].starts):
        raise TypeError(f"{by} has to give a flow, and gave {flow!r}")


class Lasting(Loan):
    """What a prefix answers with whose tail may last as long as the stream.

    Whoever runs the tail holds a reference until the tail has ended. Once the tail has given something, the prefix is
    done when nothing but that reference is left: it would stand in front of all that the tail confirms.
    """

    __slots__ = ("_done", "_held", "_left", "attached", "began")

    def __init__(self, of: Token, elements: int) -> None:
        super().__init__(of)
        self.attached = False
        """Whether the tail was put into a source that nobody has claimed yet."""
        self.began = False
        """Whether the tail has given something."""
        self._held = 0
        """References of the one who runs the tail."""
        self._left = elements
        self._done = False

    def claim(self) -> bool:
        """Whether the source that was just made has the tail in it: whoever runs it holds a reference."""
        claimed, self.attached = self.attached, False
        self._held += claimed
        return claimed

    def release(self) -> None:
        """The reference of the one who ran the tail is one like others."""
        self._held = 0

    def begin(self) -> None:
        """The tail has given something."""
        self.began = True
        self._look()

    def _look(self) -> None:
        if self.began and not self._done and 0 < self._refs == self._held:
            self._refs = 0
            self.account("filtered", self._left)
            self._done = True
            self._finish()

    def confirm(self) -> None:
        if not self._done:
            super().confirm()
            self._look()

    def _unsettled(self, error: BaseException, ask: bool) -> None:
        if not self._done:
            super()._unsettled(error, ask)
            self._look()

    def account(self, where: Account, n: int) -> None:
        if not self._done:
            self._left += n if where in ("expanded", "carried") else -n
            super().account(where, n)

    def _switched(self, channel: int) -> Token:
        """The prefix stays one piece, and answers for every channel."""
        self.retain()
        return self


class Origin:
    """The record an inner source was made from."""

    __slots__ = ("_counted", "_lasting", "_tokens")

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self._tokens = tokens
        self._lasting: list[Lasting] = []
        """Those of a prefix whose tail is in the source."""
        self._counted = False
        """Whether the ledger has been told what became of the record itself."""

    def part(self, m: Materializer, attach: Callable[[Materializer], Stage[B]], fused: bool = False) -> Part[B]:
        """The source, ready to be pulled."""
        part = Part(m, attach, fused)
        self._lasting = [token for token in self._tokens if isinstance(token, Lasting) and token.claim()]
        return part

    def out(self, chunk: Chunk[Any]) -> Chunk[Any]:
        """`chunk` came out of the source, and answers for the record too."""
        tokens = self._tokens
        if not tokens:
            return chunk
        if not chunk.tokens:
            account_change(tokens, 0 if self._counted else 1, len(chunk))
        elif not self._counted:  # those of the chunk account for its elements
            tokens[-1].account("merged", 1)
        self._counted = True
        if chunk.tokens and self._lasting:
            begun = [token for token in self._lasting if token.began]
            tokens = tuple(token for token in tokens if token not in begun)
        for token in tokens:
            token.retain()
        return Chunk(chunk.data, (*tokens, *chunk.tokens))

    def over(self, error: Exception | None) -> None:
        """Nothing more comes out of the source, or it has failed."""
        for token in self._lasting:
            token.release()
        if error is not None:
            for token in self._tokens:
                token.refuse(error)
            return
        if not self._counted:
            account_change(self._tokens, 1, 0)
        for token in self._tokens:
            token.confirm()


class FlatMapConcat(Through[Any, B], Generic[B]):
    __slots__ = ("_failure", "_m", "_origin", "_part")

    def __init__(self, upstream: Stage[Any], m: Materializer) -> None:
        super().__init__(upstream)
        self._m = inside(m)
        self._part: Part[B] | None = None
        self._origin = Origin(())
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[B] | None:
        while self._failure is None:
            if self._part is None:
                chunk = await self.upstream.pull(1)
                if chunk is None:
                    return None
                self._origin = Origin(chunk.tokens)
                self._part = self._origin.part(self._m, chunk.data[0], fused=True)
            outcome = await attempt(self._part, n)
            if isinstance(outcome, Chunk):
                return self._origin.out(outcome)
            self._origin.over(outcome)
            self._failure = outcome
            if outcome is None:
                self._part = None
        raise self._failure

    async def on_close(self) -> None:
        if self._part is None:
            await self.upstream.close()
        else:
            await close_each(self._part.close, self.upstream.close)


class FlatMapMerge(Merging[B]):
    __slots__ = ("_breadth", "_sources")

    def __init__(self, upstream: Stage[Any], m: Materializer, breadth: int) -> None:
        super().__init__(m)
        self._sources: Ahead[Any] = Ahead(upstream, m.spawn)
        self._breadth = breadth

    def go_on(self, n: int) -> bool:
        together, ahead = self.together, self._sources
        if ahead.ready and not ahead.ended:
            outcome = ahead.outcome(self._breadth - len(together))
            if isinstance(outcome, Chunk):
                self._open(outcome)
        together.start(n)
        room = self._breadth - len(together)
        if room > 0 and not ahead.started:
            ahead.start(room).add_done_callback(together.rouse)
        return len(together) > 0 or not ahead.ended

    def _open(self, chunk: Chunk[Any]) -> None:
        for token in chunk.tokens:
            token.retain(len(chunk) - 1)
        for attach in chunk.data:
            origin = Origin(chunk.tokens)
            self.together.add(origin.part(self.m, attach), origin)

    def end(self) -> Exception | None:
        outcome = self._sources.outcome(1)
        return outcome if isinstance(outcome, Exception) else None

    async def on_close(self) -> None:
        await close_each(self.together.close, self._sources.close)


class SwitchMap(Stage[B]):
    __slots__ = ("_clock", "_failure", "_inner", "_m", "_next", "_origin", "_pace", "_sources", "_spawn")

    def __init__(self, upstream: Stage[Any], m: Materializer) -> None:
        super().__init__()
        self._m = inside(m)
        self._spawn = m.spawn
        self._clock = m.clock
        self._pace = m.passing()
        self._sources: Ahead[Any] = Ahead(upstream, m.spawn)
        self._next: Chunk[Any] | None = None
        """The newest source, before the one it replaces is closed."""
        self._inner: Ahead[B] | None = None
        self._origin = Origin(())
        self._failure: Exception | None = None

    async def pull(self, n: int) -> Chunk[B] | None:
        fit = self._pace.fit(n)
        while self._failure is None:
            if self._newer():
                await self._switch()
                continue
            tasks = [ahead.start(n if ahead is self._inner else 1) for ahead in self._working()]
            if not tasks:
                self._sources.take(1)  # raises what the stage above failed with
                return None
            if not any(task.done() for task in tasks):
                await self._clock.wait(tasks)
            await self._pace.turn()
            if self._inner is not None and self._inner.ready and not self._newer():
                chunk = self._given(self._inner, fit)
                if chunk is not None:
                    return chunk
        raise self._failure

    def _working(self) -> list[Ahead[Any]]:
        inner = [] if self._inner is None else [self._inner]
        return inner if self._sources.ended else [self._sources, *inner]

    def _newer(self) -> bool:
        """Whether there is a newer source; the end of the input is noted on the way."""
        if self._next is None and self._sources.ready and not self._sources.ended:
            outcome = self._sources.outcome(1)
            self._next = outcome if isinstance(outcome, Chunk) else None
        return self._next is not None

    async def _switch(self) -> None:
        """Puts the newer source in the place of the one before."""
        inner, self._inner = self._inner, None
        if inner is not None:
            self._leave(inner)
            try:
                await close_fully(inner.close)
            except Exception as error:  # noqa: BLE001 - raised by pull, now and later
                self._failure = error
        chunk, self._next = self._next, None
        if chunk is not None:
            self._origin = Origin(chunk.tokens)
            self._inner = Ahead(self._origin.part(self._m, chunk.data[0]), self._spawn)

    def _leave(self, inner: Ahead[B]) -> None:
        """What has come out of the older source and was not asked for stands in nobody's way."""
        outcome = inner.outcome(PLENTY) if inner.ready else None
        if isinstance(outcome, Chunk):
            account_change(outcome.tokens, len(outcome), 0)
            outcome.confirm()
        self._origin.over(None)

    def _given(self, inner: Ahead[B], n: int) -> Chunk[B] | None:
        outcome = inner.outcome(n)
        if isinstance(outcome, Chunk):
            self._pace.gave(len(outcome))
            return self._origin.out(outcome)
        self._origin.over(outcome)
        self._failure = outcome
        if outcome is None:
            self._inner = None
        return None

    async def on_close(self) -> None:
        if self._inner is None:
            await self._sources.close()
        else:
            await close_each(self._inner.close, self._sources.close)
