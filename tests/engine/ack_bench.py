"""A source with acks, pulled by hand in virtual time, and who is asked about what comes back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.supervision import Action, Decision, Failure
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe, pulled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.stage import Stage

AGE = 60.0


class Rule:
    """Says what it is told to, and remembers what it was asked."""

    def __init__(self, *decisions: Decision | Action) -> None:
        self._decisions = [d if isinstance(d, Decision) else Decision(d) for d in decisions]
        self.asked: list[Failure] = []

    def decide(self, failure: Failure) -> Decision:
        self.asked.append(failure)
        return self._decisions.pop(0) if len(self._decisions) > 1 else self._decisions[0]


class Shelf:
    """A place for dead letters."""

    def __init__(self, *, closed: bool = False) -> None:
        self.letters: list[Failure] = []
        self._open = asyncio.Event()
        if not closed:
            self._open.set()

    async def put(self, failure: Failure) -> None:
        await self._open.wait()
        self.letters.append(failure)

    def open(self) -> None:
        self._open.set()


class Bench:
    """A source with acks, pulled by hand in virtual time."""

    def __init__(self, stage: Stage[Any], source: SourceProbe, window: AckWindow, clock: FakeClock) -> None:
        self.stage = stage
        self.source = source
        self.window = window
        self.clock = clock

    async def pull(self, n: int = 100) -> Chunk[Any]:
        chunk = await self.stage.pull(n)
        assert chunk is not None
        assert len(chunk) <= n
        return chunk

    async def waiting(self, n: int = 100) -> asyncio.Task[Any]:
        """A pull that has come as far as it can."""
        task = asyncio.ensure_future(self.stage.pull(n))
        await self.clock.settle()
        return task

    @property
    def written(self) -> int:
        progress = self.window.progress
        return 0 if progress is None else progress.count


@asynccontextmanager
async def bench(
    script: list[Any], window: AckWindow | None = None, *, age: float = AGE, most: int = -1, rule: Any = None,
    shelf: Shelf | None = None, wait: bool = True,
) -> AsyncGenerator[Bench]:  # fmt: skip
    clock, window = FakeClock(), window or Witness(100)
    source = SourceProbe(script, wait=wait)
    acked = source.as_source().source_ack(window, age, most)
    async with pulled(acked, Runtime(clock), rule, shelf) as stage:
        yield Bench(stage, source, window, clock)
