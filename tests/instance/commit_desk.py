"""A committer at work in virtual time, on a store and a system outside that do what they are told."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from teleporter_lab.config.key import Key
from teleporter_lab.engine.ack import AckWindow, Ledger
from teleporter_lab.instance.committer import Committer
from teleporter_lab.instance.positions import Committed
from teleporter_lab.rpc.messages import Done, PositionCommit
from teleporter_lab.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from teleporter_lab.rpc.messages import Message

SOURCE = Key.parse("/source/test/task/copy/rows")
NOTHING = Committed(None, Ledger(), None)


class Keep:
    """A link to a store that answers at once, unless it is told to fail or to wait."""

    def __init__(self) -> None:
        self.commits: list[dict[str, Any]] = []
        self.failures: list[Exception] = []
        self.asked = 0
        self.busy = 0
        self.most = 0
        self.going = asyncio.Event()
        self.going.set()

    async def request(self, message: Message, timeout: float = 30.0) -> Message:
        assert isinstance(message, PositionCommit)
        self.asked += 1
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await self.going.wait()
            if self.failures:
                raise self.failures.pop(0)
        finally:
            self.busy -= 1
        self.commits.append(json.loads(message.update))
        return Done()

    @property
    def positions(self) -> list[int]:
        return [commit["position"] for commit in self.commits]


class System:
    """A reader whose system keeps positions."""

    def __init__(self, *failures: Exception) -> None:
        self.committed: list[int] = []
        self.notes: list[dict[str, Any]] = []
        self.failures = list(failures)
        self.kept: list[int] = []
        """How much our own store had kept when it was told."""
        self.keep: Keep | None = None

    async def commit(self, position: int, note: str = "") -> None:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        self.committed.append(position)
        self.notes.append(json.loads(note))
        if self.keep is not None:
            self.kept.append(len(self.keep.commits))


class Desktop:
    """A committer at work on a window of 100 records, with an interval of one second."""

    def __init__(self, reader: Callable[[], object] | None = None, base: Committed = NOTHING) -> None:
        self.clock = FakeClock()
        self.keep = Keep()
        self.window = AckWindow(100)
        link: Any = self.keep
        self.committer = Committer(link, SOURCE, self.window, base, lambda: 7, reader)

    def read(self, count: int, *, written: bool = True) -> Any:
        token = self.window.open(count, self.window.opened + count, self.clock.now())
        if written:
            token.account("written", count)
            token.confirm()
        return token


@asynccontextmanager
async def at_work(
    reader: Callable[[], object] | None = None, base: Committed = NOTHING, most: int | None = None
) -> AsyncIterator[Desktop]:
    desk = Desktop(reader, base)
    keeping = asyncio.create_task(desk.committer.keep_committing(desk.clock, 1.0, most))
    await desk.clock.settle()
    yield desk
    keeping.cancel()
    await asyncio.wait((keeping,))
    assert desk.keep.most <= 1, "two commits at a time"
