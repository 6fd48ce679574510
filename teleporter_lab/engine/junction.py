"""Where a stream splits: one stage above, several branches below.

Owns the hand-over to branches, their ends, and the tasks that drive those with sinks of their own; subclasses say when
to read on and who gets what. An error from above reaches every branch once it has handed out what it holds. Tokens: a
branch answers for what it got by shares, so a record is confirmed when all branches it went to have settled it. A sink
that gives up stops every branch: the run is ending, and what is read from then on would reach the others alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import Interrupted, cancel_requested
from teleporter_lab.engine.share import Shares
from teleporter_lab.engine.stage import Stage, Terminal, given_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.ahead import Ahead
    from teleporter_lab.engine.graph import Sink
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")
R = TypeVar("R")


class Junction(Generic[T]):
    """Reads as soon as a subclass says so, one chunk ahead at the most."""

    __slots__ = ("_ahead", "_over", "_stopped", "branches", "error", "sides")

    def __init__(self, ahead: Ahead[T]) -> None:
        self._ahead = ahead
        self._over = False
        self._stopped = False
        """A sink has given up: nobody gets anything more, and nobody is told an end."""
        self.error: Exception | None = None
        """What the stage above failed with."""
        self.branches: list[Branch[Any]] = []
        self.sides: list[Driven] = []

    def wanted(self, waiting: list[Branch[Any]]) -> int:
        """How many elements to read for the branches that wait with nothing in their hands; 0: none now."""
        raise AssertionError(f"{type(self).__name__} does not say when it reads")

    def hand_out(self, chunk: Chunk[T]) -> None:
        """Gives `chunk` to branches that are not `left`."""
        raise AssertionError(f"{type(self).__name__} does not say who gets what")

    def asking(self, branch: Branch[Any], n: int) -> int:
        """How many elements `branch` asks for, which was pulled for `n`."""
        return n

    @property
    def over(self) -> bool:
        """Whether no branch gets anything more."""
        return self._over

    @property
    def open(self) -> list[Branch[Any]]:
        return [branch for branch in self.branches if not branch.left]

    @property
    def waiting(self) -> list[Branch[Any]]:
        return [branch for branch in self.branches if branch.asked and branch.chunk is None and not branch.left]

    async def fill(self, branch: Branch[Any]) -> None:
        """Returns when `branch` has a chunk or the stream is over."""
        self.go_on()
        while branch.chunk is None and not self.over:
            branch.wake = asyncio.get_running_loop().create_future()
            await branch.wake
            self.go_on()

    def go_on(self) -> None:
        """Hands out what was read, or reads on, if somebody can take it; called by one that pulls.

        Who closes, or calls back, starts no pull: the run may be ending.
        """
        self.give()
        if not self._over and not self._stopped and not self._ahead.started and (n := self.wanted(self.waiting)):
            self._ahead.start(n).add_done_callback(self._arrived)

    def give(self) -> None:
        """Hands out what was read, as long as somebody can take it."""
        while not self._over and not self._stopped and self._ahead.ready and (n := self.wanted(self.waiting)):
            self._distribute(n)

    def _arrived(self, pull: asyncio.Task[None]) -> None:
        if not pull.cancelled():
            self.give()

    def _distribute(self, n: int) -> None:
        outcome = self._ahead.outcome(n)
        if isinstance(outcome, Chunk):
            self.hand_out(outcome)
        else:
            self._over, self.error = True, outcome
        self.rouse()

    def rouse(self) -> None:
        """Lets every waiting branch look again."""
        for branch in self.branches:
            if branch.wake is not None and not branch.wake.done():
                branch.wake.set_result(None)

    async def leave(self, branch: Branch[Any]) -> None:
        """`branch` was closed; the last one closes what is above."""
        self._stopped = self._stopped or given_up()
        for side in self.sides:
            await side.begin()
        if self.open:
            self.rouse()
        else:
            await self._ahead.close()


class Branch(Stage[T]):
    """One way out of a junction, pulled by an island of its own."""

    __slots__ = ("_answer", "_junction", "_shares", "asked", "asked_at", "chunk", "left", "pace", "wake")

    def __init__(self, junction: Junction[Any], m: Materializer) -> None:
        super().__init__()
        self._junction = junction
        self._shares = Shares(m.ends)
        self._answer: asyncio.Future[bool] | None = None
        self.pace = m.passing()
        self.asked = 0
        """What it was pulled for since it handed out a chunk; 0: it was not."""
        self.asked_at = 0
        self.chunk: Chunk[T] | None = None
        """What it got and has not handed out yet."""
        self.left = False
        self.wake: asyncio.Future[None] | None = None
        junction.branches.append(self)

    async def pull(self, n: int) -> Chunk[T] | None:
        self.asked = self._junction.asking(self, n)
        await self._junction.fill(self)
        if self.chunk is None:
            if self._junction.error is not None:
                self._tell(True)
                raise self._junction.error
            return None
        fit = self.pace.fit(n)
        await self.pace.turn()
        chunk, self.chunk = self.chunk, None
        if len(chunk) > fit:
            chunk, self.chunk = chunk.split(fit)
        self.asked = 0
        self.pace.gave(len(chunk))
        self._junction.go_on()
        return chunk

    def give(self, data: list[T], tokens: tuple[Token, ...], alone: bool) -> None:
        """Puts elements into its hands, with a reference of each token; `alone`: there is no other branch left."""
        self.chunk = Chunk(data, tokens if alone else self._shares.of(tokens, len(data)))

    async def knows(self) -> bool:
        """Waits until the branch has raised the junction's error, or was closed without."""
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
            if self.left:
                self._tell(False)
        return await asyncio.shield(self._answer)

    def _tell(self, raised: bool) -> None:
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
        if not self._answer.done():
            self._answer.set_result(raised)

    async def on_close(self) -> None:
        self.left = True
        self._tell(False)
        self._shares.close()
        await self._junction.leave(self)


class Driven:
    """A branch with a sink of its own. `main` is the branch that goes on beside it, where there is one."""

    __slots__ = ("_begun", "_junction", "_m", "_main", "_task", "_terminal", "branch", "failed", "result")

    def __init__(
        self, junction: Junction[Any], m: Materializer, sink: Sink[Any, Any], main: Branch[Any] | None = None
    ) -> None:
        self._junction = junction
        self._m = m
        self._main = main
        self._begun = False
        self._task: asyncio.Task[None] | None = None
        self.branch: Branch[Any] = Branch(junction, m)
        self.result: Any = None
        self.failed = False
        """Whether it failed with what the stage above failed with."""
        self._terminal = sink.attach(m, self.branch)
        junction.sides.append(self)

    def start(self) -> asyncio.Task[None] | None:
        """Drives the sink in a task of the run; None when the run is ending."""
        try:
            self._task = self._m.spawn(self._driven())
        except RuntimeError:
            self.branch.left = True
        return self._task

    async def drive(self) -> None:
        """Drives the sink in the calling task."""
        self._begun = True
        self.result = await self._m.drive(self._terminal)

    async def _driven(self) -> None:
        try:
            await self.drive()
        except asyncio.CancelledError as error:
            if cancel_requested():
                raise
            raise Interrupted from error
        except Exception as error:
            self.failed = error is self._junction.error
            if not self.failed or not await self._told_elsewhere():
                raise

    async def _told_elsewhere(self) -> bool:
        """Whether what the stage above failed with is raised by another branch, which may recover from it."""
        return self._main is None or await self._main.knows()

    async def begin(self) -> None:
        """Waits until the sink is driven; one that was cancelled before counts as closed, as it will not close."""
        if not self._begun and self._task is not None and not self._task.done():
            await asyncio.sleep(0)  # the first step of a task comes in the pass after it was made
        if not self._begun:
            self.branch.left = True


def beside(junction: Junction[Any], sinks: Sequence[Sink[Any, Any]], m: Materializer) -> Stage[Any]:
    """The branch that goes on below, which is the first; each of `sinks` ends another one, driven by a task."""
    ways = m.split(len(sinks), goes_on=True)
    main: Branch[Any] = Branch(junction, m)
    for side in [Driven(junction, way, sink, main) for way, sink in zip(ways, sinks, strict=True)]:
        side.start()
    return main


class SideBySide(Terminal[list[Any]]):
    """The end of a stream in several sinks; the first one is driven by the calling task. Gives all results."""

    __slots__ = ("_junction", "_sides")

    def __init__(self, junction: Junction[Any], sinks: Sequence[Sink[Any, Any]], m: Materializer) -> None:
        ways = m.split(len(sinks), goes_on=False)
        self._junction = junction
        self._sides = [Driven(junction, way, sink) for way, sink in zip(ways, sinks, strict=True)]

    async def run(self) -> list[Any]:
        first, *others = self._sides
        tasks = [task for side in others if (task := side.start()) is not None]
        await first.drive()
        if tasks:
            await asyncio.wait(tasks)
        if self._junction.error is not None and any(side.failed for side in others):
            raise self._junction.error
        return [side.result for side in self._sides]
