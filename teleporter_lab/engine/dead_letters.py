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
from teleporter_lab.engine.failure import cancel_requested
from teleporter_lab.engine.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.supervision import Failure

ROOM = 1024
"""Letters that may wait for their sink at the same time."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An element that was put aside: what it failed with, where, how often it was tried, when (seconds since 1970)."""

    element: Any
    error: Exception
    stage: str
    tries: int
    at: float


class LetterBoxClosed(RuntimeError):
    """The sink for dead letters has ended or failed, or has refused a letter; the element is not safe anywhere."""

    def __init__(self) -> None:
        super().__init__("The sink for dead letters has not stored the element, so the stream cannot go on without it.")


class LetterBox:
    """The place for dead letters of one run. `letters` is the source that its sink pulls."""

    def __init__(self, m: Materializer) -> None:
        self._m = m
        self._window = AckWindow(ROOM, on_change=self._rouse)
        self._window.serve(self._rouse)
        self._posted: deque[DeadLetter] = deque()
        self._count = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._ended = False
        """No more letters will come."""
        self._served = True
        """The sink still takes letters."""
        self.letters = Letters(self)

    async def put(self, failure: Failure) -> None:
        """Returns when the sink has confirmed the letter. Raises LetterBoxClosed when it cannot."""
        while self._window.room - len(self._posted) <= 0 and self._alive:
            await self._change()
        if not self._alive:
            raise LetterBoxClosed from failure.error
        letter = DeadLetter(failure.element, failure.error, failure.stage, failure.tries, time.time())
        self._count += 1
        number = self._count
        self._posted.append(letter)
        self._rouse()
        while self._stored < number:
            if not self._alive:
                raise LetterBoxClosed from failure.error
            await self._change()

    @property
    def _alive(self) -> bool:
        return self._served and not self._window.refused

    @property
    def _stored(self) -> int:
        progress = self._window.progress
        return 0 if progress is None else progress.count

    async def take(self, n: int) -> Chunk[DeadLetter] | None:
        """The next letters for the sink; None when no more can come."""
        while not self._posted:
            if self._ended:
                return None
            await self._change()
        letters = [self._posted.popleft() for _ in range(min(n, len(self._posted)))]
        token = self._window.open(len(letters), None, self._m.clock.now(), letters)
        return Chunk(letters, (token,))

    async def served(self, sink: Coroutine[Any, Any, Any]) -> None:
        """Runs the sink; when it has ended, nothing more can be put aside."""
        try:
            await sink
        except asyncio.CancelledError:
            if cancel_requested():
                raise
            raise LetterBoxClosed from None
        finally:
            self._served = False
            self._rouse()

    def end(self) -> None:
        """Nothing can fail any more."""
        self._ended = True
        self._rouse()

    async def _change(self) -> None:
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
