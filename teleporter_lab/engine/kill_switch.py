"""A switch that ends streams from outside: softly (what was read still goes down) or with an error.

Owns the switch; `stages/watching` puts it into a stream. One switch may stop many streams, and its place in a stream
decides what drains: what is above it is closed, what is below runs on to the end.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Waiting:
    """A task that waits for what is above a switch, and whether the switch has interrupted it."""

    __slots__ = ("_interrupted", "_task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._interrupted = False

    @property
    def runs(self) -> bool:
        """Whether it is this very task that is running now."""
        return self._task is asyncio.current_task()

    def interrupt(self) -> None:
        self._interrupted = True
        self._task.cancel()

    def take_back(self) -> bool:
        """Takes the switch's cancellation back; whether none is left, so that nobody else has cancelled the task."""
        if not self._interrupted:
            return False
        self._interrupted = False
        return self._task.uncancel() == 0


class KillSwitch:
    """Passed to `flow.kill_switch(switch)`; `shutdown`, `abort` and `drain` work once, the first one counts."""

    def __init__(self) -> None:
        self._fired = False
        self._error: Exception | None = None
        self._waiting: set[Waiting] = set()
        self._streams = 0
        self._drained: set[asyncio.Future[None]] = set()

    @property
    def fired(self) -> bool:
        return self._fired

    @property
    def error(self) -> Exception | None:
        """What `abort` was called with."""
        return self._error

    def shutdown(self) -> None:
        """Ends the streams: no more is read, what was read goes down to the sinks."""
        self._fire(None)

    def abort(self, error: Exception) -> None:
        """Fails the streams with `error`."""
        self._fire(error)

    async def drain(self) -> None:
        """Like `shutdown`, and returns when all streams it stands in have ended, with everything below it written."""
        self.shutdown()
        while self._streams:
            drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._drained.add(drained)
            try:
                await drained
            finally:
                self._drained.discard(drained)

    def join(self) -> None:
        """It stands in one more stream."""
        self._streams += 1

    def part(self) -> None:
        """One of its streams has ended."""
        self._streams -= 1
        for drained in self._drained:
            if not self._streams and not drained.done():
                drained.set_result(None)

    def _fire(self, error: Exception | None) -> None:
        if self._fired:
            return
        self._fired, self._error = True, error
        for waiting in list(self._waiting):
            if waiting.runs:  # fired from above the switch; it may still come to wait
                asyncio.get_running_loop().call_soon(self._interrupt, waiting)
            else:
                waiting.interrupt()

    def _interrupt(self, waiting: Waiting) -> None:
        if waiting in self._waiting:
            waiting.interrupt()

    def enter(self, task: asyncio.Task[Any]) -> Waiting:
        """`task` waits above the switch: firing interrupts it."""
        waiting = Waiting(task)
        self._waiting.add(waiting)
        return waiting

    def leave(self, waiting: Waiting) -> None:
        """It no longer waits there; an interruption that came to nothing is taken back."""
        self._waiting.discard(waiting)
        waiting.take_back()
