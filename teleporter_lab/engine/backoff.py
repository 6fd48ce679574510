"""How long to wait before something that failed is started again, and when to give up.

Owns the growing delays and the count of what was started again. Pure but for the clock it is given: it never waits
itself. Refuses to know what is started.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import random as uniform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from teleporter_lab.engine.clock import Clock

DOUBLINGS = 60
"""After so many the delay grows no more, whatever its limit."""

Which = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], object]
"""Some errors: those of a class, of one of several classes, or for which a function is true."""


def concerns(which: Which, error: Exception) -> bool:
    """Whether `error` is one of them. Raises what the function raises."""
    if isinstance(which, type | tuple):
        return isinstance(error, which)
    return bool(which(error))


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double from `min_seconds` to `max_seconds`, each made up to `jitter` longer (0.2: by a fifth)."""

    min_seconds: float
    max_seconds: float
    jitter: float = 0.2
    max_restarts: int = -1
    """How often in a row; -1 for ever, 0 never."""
    within_seconds: float | None = None
    """What has run for so long without a failure starts counting anew. None: `min_seconds`."""
    when: Which | None = None
    """Which errors are worth another try: a class of them, several, or a function; None: all."""
    on_restart: Callable[[Exception | None, int, float], object] | None = None
    """Is told the error (None after a mere end), how many restarts in a row this makes, and the delay."""
    random: Callable[[], float] = uniform
    """From 0 to 1; how much of the jitter a delay gets."""

    def __post_init__(self) -> None:
        if not 0 < self.min_seconds <= self.max_seconds:
            raise ValueError(
                f"Backoff needs 0 < min_seconds <= max_seconds, not {self.min_seconds} and {self.max_seconds}"
            )
        if self.jitter < 0:
            raise ValueError(f"Backoff needs a jitter of 0 or more, not {self.jitter}")
        if self.max_restarts < -1:
            raise ValueError(f"Backoff needs max_restarts of 0 or more, or -1 for ever, not {self.max_restarts}")
        if self.within_seconds is not None and self.within_seconds < 0:
            raise ValueError(f"Backoff needs within_seconds of 0 or more, not {self.within_seconds}")

    def worth(self, error: Exception | None) -> bool:
        """Whether there may be another try after `error`, or after a mere end. Raises what `when` raises."""
        return error is None or self.when is None or concerns(self.when, error)

    def delay(self, before: int) -> float:
        """Seconds to wait after `before` restarts in a row."""
        seconds = min(self.max_seconds, self.min_seconds * 2.0 ** min(before, DOUBLINGS))
        return seconds * (1 + self.jitter * self.random())


class Restarts:
    """The restarts of one thing, counted."""

    __slots__ = ("_backoff", "_clock", "_count", "_due", "_since", "_within")

    def __init__(self, backoff: Backoff, clock: Clock) -> None:
        self._backoff = backoff
        self._within = backoff.min_seconds if backoff.within_seconds is None else backoff.within_seconds
        self._clock = clock
        self._count = 0
        self._since = self._due = clock.now()

    async def wait(self) -> None:
        """Until the next start is due. May be cancelled and called again: it waits no longer than it should."""
        early = self._due - self._clock.now()
        if early > 0:
            await self._clock.sleep(early)
        self._since = self._clock.now()

    def again(self, error: Exception | None) -> bool:
        """Whether there is to be one more start after `error`, or after an end; `wait` waits for it.

        Raises what `when` or `on_restart` raise.
        """
        backoff, now = self._backoff, self._clock.now()
        if not backoff.worth(error):
            return False
        if now - self._since >= self._within:
            self._count = 0
        if 0 <= backoff.max_restarts <= self._count:
            return False
        delay = backoff.delay(self._count)
        self._count += 1
        if backoff.on_restart is not None:
            backoff.on_restart(error, self._count, delay)
        self._due = now + delay
        return True
