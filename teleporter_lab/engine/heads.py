"""The heads of several sources: what each has given and a stage has not used yet.

Owns the waiting: every source without a head is asked, by a task of its own, until the stage can go on. Subclasses say
when that is, and what they make of the heads; an error of a source ends all at once. Refuses columns, as all of them
look at single elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.stage import Stage, close_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.engine.ahead import Ahead
    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")


class Heads(Stage[T], Generic[T]):
    """`heads` has, in the order of `sources`, a chunk or None."""

    __slots__ = ("_clock", "_failure", "_over", "_pace", "heads", "name", "sources")

    def __init__(self, sources: Sequence[Ahead[Any]], m: Materializer, name: str) -> None:
        super().__init__()
        self.sources = sources
        self.heads: list[Chunk[Any] | None] = [None] * len(sources)
        self.name = m.name or name
        self._clock = m.clock
        self._pace = m.pace()
        self._over = False
        self._failure: Exception | None = None

    def ready(self) -> bool:
        """Whether `give` can do something with the heads that are there."""
        raise AssertionError(f"{type(self).__name__} does not say what it waits for")

    def give(self, n: int) -> Chunk[T] | None:
        """Up to `n` elements made of the heads; None after `fail`."""
        raise AssertionError(f"{type(self).__name__} does not give anything")

    def ends(self) -> bool:
        """Whether all is over, now that a source has ended."""
        return all(self.gone(i) for i in range(len(self.sources)))

    def gone(self, i: int) -> bool:
        """Whether nothing is left of a source."""
        return self.heads[i] is None and self.sources[i].ended

    @property
    def missing(self) -> list[Ahead[Any]]:
        """The sources that have not ended and have no head."""
        pairs = zip(self.sources, self.heads, strict=True)
        return [source for source, head in pairs if head is None and not source.ended]

    def take(self, i: int, n: int) -> Chunk[Any]:
        """The first elements of a head, up to `n`."""
        head = self.heads[i]
        if head is None:
            raise AssertionError("that source has no head")
        first, self.heads[i] = head.split(n) if len(head) > n else (head, None)
        return first

    def fail(self, error: Exception, *heads: Chunk[Any]) -> None:
        """The stream fails with `error`, because of what is in `heads`."""
        self._over, self._failure = True, error
        for head in heads:
            head.refuse(error)

    async def pull(self, n: int) -> Chunk[T] | None:
        fit = self._pace.fit(n)
        while not self._over:
            if not self.ready():
                tasks = [source.start(fit) for source in self.missing]
                if not any(task.done() for task in tasks):
                    await self._clock.wait(tasks)
                self._look(fit)
                continue
            await self._pace.turn()
            chunk = self.give(fit)
            if chunk is not None:
                self._pace.gave(len(chunk))
                return chunk
        if self._failure is not None:
            raise self._failure
        return None

    def _look(self, n: int) -> None:
        """Takes what the sources have brought by now."""
        for i, source in enumerate(self.sources):
            if self.heads[i] is not None or source.ended or not source.ready:
                continue
            outcome = source.outcome(n)
            if isinstance(outcome, Exception):
                self.fail(outcome)
            elif outcome is None:
                self._over = self._over or self.ends()
            elif type(outcome.data) is not list:
                self.fail(RowsNeeded(self.name), outcome)
            else:
                self.heads[i] = outcome
            if self._over:
                return

    async def on_close(self) -> None:
        await close_each(*(source.close for source in self.sources))
