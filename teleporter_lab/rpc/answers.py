"""Requests and notices of the other side, on their way through our handler.

Owns the tasks that run it. Requests run side by side, `open_requests` at most; notices one after another, in the
order in which they came. As many more of either may wait, then reading stops until fewer do, so that a flood
costs the one who sends it. Refuses to know what a message means.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from teleporter_lab.errors import FrameTooLarge, MalformedFrame, TeleporterError
from teleporter_lab.rpc.messages import Failure, Message, Notice, Reply, Request, failure_of

if TYPE_CHECKING:
    from teleporter_lab.rpc.link import Link
    from teleporter_lab.rpc.terms import Terms

Handler = Callable[[Message], Awaitable[Message]]
"""Answers a message. A TeleporterError that it raises is raised again, as the same class, at the requester.
It is cancelled when the connection ends; what must be finished nevertheless belongs to a task of its own."""

log = logging.getLogger(__name__)


class Answers:
    """The other side's open requests and waiting notices."""

    def __init__(self, link: Link, terms: Terms) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._limit = terms.open_requests
        self._handler: Handler | None = None
        self._open: dict[int, asyncio.Task[None]] = {}
        self._pending: deque[Request] = deque()
        self._notices: deque[Message] = deque()
        self._notifier: asyncio.Task[None] | None = None
        self._ending: list[asyncio.Task[None]] = []
        self._listening = True
        self._last = 0
        self.answered = 0

    @property
    def open(self) -> int:
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Requests and notices that wait for their turn."""
        return len(self._pending) + len(self._notices)

    def serve(self, handler: Handler) -> None:
        """From now on `handler` answers; what came earlier has waited."""
        self._handler = handler
        self._go_on()
        self._notify()

    def take(self, request: Request) -> None:
        """Answers it, now or when it is its turn. Raises MalformedFrame for a number that is not a new one."""
        if request.seq <= self._last:
            raise MalformedFrame(f"Request {request.seq} after request {self._last}: numbers must grow.")
        self._last = request.seq
        if self._handler is None or self._pending or len(self._open) >= self._limit:
            self._pending.append(request)
            self._listen()
        else:
            self._start(self._handler, request)

    def note(self, notice: Notice) -> None:
        """Hands it to the handler when those before it are through."""
        self._notices.append(notice.body)
        self._listen()
        self._notify()

    def cancel(self) -> None:
        """Ends everything; `finished` waits for it."""
        self._ending = [*self._open.values(), *([self._notifier] if self._notifier else [])]
        self._open.clear()
        self._pending.clear()
        self._notices.clear()
        for task in self._ending:
            task.cancel()

    async def finished(self) -> None:
        """Returns when what `cancel` ended is gone; a handler that asks does not wait for itself."""
        current = asyncio.current_task()
        if others := [task for task in self._ending if task is not current]:
            await asyncio.wait(others)

    # ---- requests

    def _start(self, handler: Handler, request: Request) -> None:
        self._open[request.seq] = self._loop.create_task(self._answer(handler, request))

    async def _answer(self, handler: Handler, request: Request) -> None:
        try:
            answer = await self._outcome(handler, request.body)
            if self._link.paused:
                await self._link.drained()
            self._reply(request.seq, answer)
        except asyncio.CancelledError:
            self._reply(request.seq, Failure(TeleporterError.code, "It was cancelled on the other side.", []))
            raise
        finally:
            self._open.pop(request.seq, None)
            self.answered += 1
            if self._pending:
                self._go_on()

    async def _outcome(self, handler: Handler, message: Message) -> Message | Failure:
        try:
            return await handler(message)
        except TeleporterError as error:
            return failure_of(error)
        except Exception as error:
            log.exception("The handler failed on a %s.", type(message).__name__)
            return Failure(TeleporterError.code, f"Unexpected {type(error).__name__}; the log says more.", [])

    def _reply(self, seq: int, answer: Message | Failure) -> None:
        if self._link.why is not None:
            return
        try:
            self._link.send(Reply(seq, answer))
        except (FrameTooLarge, MalformedFrame) as error:
            self._link.send(Reply(seq, failure_of(error)))

    def _go_on(self) -> None:
        handler = self._handler
        while handler is not None and self._pending and len(self._open) < self._limit:
            self._start(handler, self._pending.popleft())
        self._listen()

    def _listen(self) -> None:
        wanted = len(self._pending) <= self._limit and len(self._notices) <= self._limit
        if wanted is not self._listening:
            self._listening = wanted
            self._link.listen(wanted)

    # ---- notices

    def _notify(self) -> None:
        if self._handler is not None and self._notices and self._notifier is None:
            self._notifier = self._loop.create_task(self._take_notice(self._handler))

    async def _take_notice(self, handler: Handler) -> None:
        try:
            while self._notices:
                message = self._notices.popleft()
                self._listen()
                answer = await self._outcome(handler, message)
                if isinstance(answer, Failure):
                    log.warning("A notice %s failed: %s", type(message).__name__, answer.message)
        finally:
            self._notifier = None
            if self._link.why is None:
                self._notify()
