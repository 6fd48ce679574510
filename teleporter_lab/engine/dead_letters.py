"""Dead letters: elements a rule put aside, on their way to a sink of their own.

Owns the letter box of one run: whoever puts an element in waits until the sink has confirmed it, so that its record is
not confirmed before it is stored. Refuses to decide what becomes a dead letter (`supervision` and its rules do).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from teleporter_lab.engine.endpoints import Position
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.supervision import Failure

ROOM = 1024
"""Letters that may wait for their sink at the same time."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An element that was put aside: what it failed with, where, how often it was tried, when (seconds since 1970).

    `position` is that of its source behind the chunk it came in; None without acks.
    """

    element: Any
    error: Exception
    stage: str
    tries: int
    at: float
    position: Position | None = None

    @classmethod
    def of(cls, failure: Failure) -> DeadLetter:
        """The letter of an element that is put aside now."""
        return cls(failure.element, failure.error, failure.stage, failure.tries, time.time(), failure.position)


class LetterBoxClosed(RuntimeError):
    """The sink for dead letters has ended or failed, or has refused a letter; the element is not safe anywhere."""

    def __init__(self) -> None:
        super().__init__("The sink for dead letters has not stored the element, so the stream cannot go on without it.")


class LetterBox:
    """The place for dead letters of one part of a run. `letters` is the source that its sink pulls.

    It owns the tasks of that part, too: letters may come until all of them have ended.
    """

    def __init__(self, m: Materializer) -> None:
        self._m = m
        self._tasks = m.tasks
        self._running = 0
        self._over = False
        """The line through the part has ended; side branches in it may go on."""
        self._window = AckWindow(ROOM, on_change=self._rouse)
        self._window.serve(self._rouse)
        self._posted: deque[DeadLetter] = deque()
        self._count = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._served = True
        """The sink still takes letters."""
        self._failed = False
        """The sink has failed, and the run does with it."""
        self.letters = Letters(self)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task of the part. Raises RuntimeError when the run is ending."""
        task = self._tasks.start(work)
        self._running += 1
        task.add_done_callback(self._one_less)
        return task

    def at_exit(self, call: Callable[[], None]) -> None:
        """`call` is called when the run has ended."""
        self._tasks.at_exit(call)

    def _one_less(self, _: asyncio.Task[None]) -> None:
        self._running -= 1
        self._rouse()

    async def put(self, failure: Failure) -> None:
        """Returns when the sink has confirmed the letter. Raises LetterBoxClosed when it has left before."""
        while self._window.room - len(self._posted) <= 0:
            await self._change(failure)
        self._count += 1
        number = self._count
        self._posted.append(DeadLetter.of(failure))
        self._rouse()
        while self._stored < number:
            await self._change(failure)

    @property
    def _stored(self) -> int:
        progress = self._window.progress
        return 0 if progress is None else progress.count

    async def take(self, n: int) -> Chunk[DeadLetter] | None:
        """The next letters for the sink; None when no more can come."""
        while not self._posted:
            if self._over and not self._running:
                return None
            await self._change()
        letters = [self._posted.popleft() for _ in range(min(n, len(self._posted)))]
        token = self._window.open(len(letters), None, self._m.clock.now(), letters)
        return Chunk(letters, (token,))

    async def served(self, sink: Coroutine[Any, Any, Any]) -> None:
        """Runs the sink; when it has ended, nothing more can be put aside."""
        try:
            await sink
        except Exception:
            self._failed = True
            raise
        finally:
            self._served = False
            self._rouse()

    def end(self) -> None:
        """Nothing can fail on the line through the part any more."""
        self._over = True
        self._rouse()

    async def _change(self, failure: Failure | None = None) -> None:
        """Waits until something is different. Raises LetterBoxClosed for a `failure` that nobody takes any more.

        Where the sink has failed it waits for good: the run is ending with the sink's own error.
        """
        if failure is not None and not self._served and not self._failed:
            raise LetterBoxClosed from failure.error
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(changed)
        try:
            await changed
        finally:
            self._waiting.discard(changed)

    def _rouse(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


class Letters(Stage[DeadLetter]):
    __slots__ = ("_box",)

    def __init__(self, box: LetterBox) -> None:
        super().__init__()
        self._box = box

    async def pull(self, n: int) -> Chunk[DeadLetter] | None:
        return await self._box.take(n)
