"""Windows of time, one after the other. Owns which window is read next, and when.

    ├──────── period ───────┤
    start                  end = start of the next               deadline
    [───────────────────────)[───────────────────────)[───────────)
                      ├ lag ┤
                      [───────── the second, with lag ────────)

Windows are half open, touch, and are never read before their end is past.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from teleporter_lab.connectors.rollers.moments import LATEST

if TYPE_CHECKING:
    from datetime import datetime

    from teleporter_lab.connectors.rollers.deadline import Deadline

NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Window:
    """Moments from `start` on and before `end`, all in UTC."""

    start: datetime
    """Where reading begins: at the end of the window before, or up to `lag` earlier."""
    end: datetime
    read: datetime
    """When its reading began: whatever is not there by then may be late."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be read before this moment."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Finished:
    """There is nothing more to read."""


FINISHED = Finished()


@dataclass(frozen=True, slots=True)
class Windows:
    """How time is cut. Without a period it is one window up to the deadline."""

    start: datetime
    deadline: Deadline
    period: timedelta | None
    longest: timedelta
    """How long a window may become to catch up: a multiple of the period is taken."""
    lag: timedelta = NOTHING
    """How late a row may be: by this time behind its own moment it is there to be read."""

    def next(self, before: Window | None, now: datetime) -> Window | Wait | Finished:
        """The window behind `before` (None: the first one)."""
        begin = self.start if before is None else before.end
        last = self.deadline.at
        if last is not None and begin >= last:
            return FINISHED
        end = self._end(begin, now)
        due = end + min(self.deadline.delay, LATEST - end)
        if now < due:
            return Wait(due)
        return Window(self._from(before), end, now)

    def late(self, window: Window) -> timedelta:
        """How far before the end of `window` rows may be missing that were late when it was read.

        A row of moment t is there by t + lag. What was missing when reading began at `read` is of a moment later than
        read - lag: a window that is read long after its end, to catch up, leaves nothing to be read again.
        """
        return max(NOTHING, self.lag - max(NOTHING, window.read - window.end))

    def _from(self, before: Window | None) -> datetime:
        if before is None:
            return self.start
        return before.end - min(self.late(before), max(NOTHING, before.end - self.start))

    def _end(self, begin: datetime, now: datetime) -> datetime:
        last = self.deadline.at or LATEST
        if self.period is None:
            return last
        size = self.period
        behind = now - begin - self.deadline.delay
        if behind > size:
            size *= max(1, min(behind // size, self.longest // size))
        return begin + min(size, last - begin)
