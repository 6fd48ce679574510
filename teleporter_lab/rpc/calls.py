"""Requests of ours that wait for an answer.

Owns their numbers, their time limits and the window: so many are open, later ones wait for their turn, first come
first served. Refuses to know the socket beyond `link.send`. A request that is cancelled or too late is forgotten;
its answer is dropped when it comes.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING

from teleporter_lab.errors import MalformedFrame, TeleporterError
from teleporter_lab.rpc.messages import Failure, Message, Reply, Request, error_of

if TYPE_CHECKING:
    from teleporter_lab.rpc.link import Link
    from teleporter_lab.rpc.terms import Terms, Timer

_GRAIN = 0.01  # seconds between two looks at the clock when many requests are late at once
_AT_ONCE = 16  # may write before the link is asked again whether it takes more


class Calls:
    """One side's open requests."""

    def __init__(self, link: Link, terms: Terms) -> None:
        self._link = link
        self._clock = terms.clock()
        self._loop = asyncio.get_running_loop()
        self._window = terms.open_requests
        self._open: dict[int, tuple[asyncio.Future[Message], float]] = {}
        self._queue: deque[tuple[asyncio.Future[None], float]] = deque()
        self._granted = 0
        self._timer: Timer | None = None
        self._due = math.inf
        self.asked = 0
        """The number of the last request."""

    @property
    def open(self) -> int:
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._queue)

    async def request(self, message: Message, timeout: float) -> Message:
        """The answer. Raises the error that the other side answered with, ConnectionLost, TimeoutError."""
        deadline = self._clock.time() + timeout
        if self._queue or self._full():
            await self._turn(deadline)
        self.asked = seq = self.asked + 1
        try:
            self._link.send(Request(seq, message))
            future: asyncio.Future[Message] = self._loop.create_future()
            self._open[seq] = (future, deadline)
            if deadline < self._due:
                self._look_at(deadline)
            if self._queue:
                self.admit()
            return await future
        finally:
            self._open.pop(seq, None)
            if self._queue:
                self.admit()

    def settle(self, reply: Reply) -> None:
        """Hands an answer to whom it belongs. Raises MalformedFrame when nobody ever asked."""
        entry = self._open.get(reply.seq)
        if entry is None:
            if reply.seq > self.asked:
                raise MalformedFrame(f"An answer to request {reply.seq}, which was never made.")
            return
        future, body = entry[0], reply.body
        if future.done():
            return
        if isinstance(body, Failure):
            future.set_exception(error_of(body))
        else:
            future.set_result(body)

    def admit(self) -> None:
        """Lets the next ones go for which there is room."""
        while self._queue and not self._full():
            future, _ = self._queue.popleft()
            if not future.done():
                self._granted += 1
                future.set_result(None)

    def fail(self, error: TeleporterError) -> None:
        """Ends all, open and waiting."""
        for future, _ in [*self._open.values(), *self._queue]:
            if not future.done():
                future.set_exception(type(error)(error.message))
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._due = math.inf

    def _full(self) -> bool:
        if self._link.paused or self._granted >= _AT_ONCE:
            return True
        return len(self._open) + self._granted >= self._window

    async def _turn(self, deadline: float) -> None:
        if self._link.why is not None:
            raise self._link.error()
        future: asyncio.Future[None] = self._loop.create_future()
        entry = (future, deadline)
        self._queue.append(entry)
        if deadline < self._due:
            self._look_at(deadline)
        try:
            await future
        except BaseException:
            if entry in self._queue:
                self._queue.remove(entry)
            if _granted(future):
                self._granted -= 1
                self.admit()
            raise
        self._granted -= 1

    def _look_at(self, deadline: float) -> None:
        """One timer serves all: it is set to the first time limit that can pass."""
        if self._timer is not None:
            self._timer.cancel()
        self._due = deadline
        self._timer = self._clock.call_at(deadline, self._expire)

    def _expire(self) -> None:
        now, soonest = self._clock.time(), math.inf
        for future, deadline in [*self._open.values(), *self._queue]:
            if future.done():
                continue
            if deadline <= now:
                future.set_exception(TimeoutError("No answer came in time."))
            else:
                soonest = min(soonest, deadline)
        self._due = math.inf
        if soonest < math.inf:
            self._look_at(max(soonest, now + _GRAIN))


def _granted(future: asyncio.Future[None]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
