"""The last lines of this process's log, kept in memory for whoever asks through the broker.

Owns a ring of formatted lines and who follows it. Refuses to write files (`daemon.logs` does).
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = 2000
"""Lines kept."""

SHOWN = 4000
"""Characters kept of one."""


class LogKeeper(logging.StreamHandler[Any]):
    """A logging handler that keeps the newest lines and hands new ones to a follower, in the thread that logs.

    Like every handler of `logging` it harms nobody who logs what cannot be formatted.
    """

    terminator = ""

    def __init__(self, lines: int = LINES) -> None:
        super().__init__(self)
        self._lines: deque[str] = deque(maxlen=lines)
        self._follower: Callable[[list[str]], object] | None = None
        self._telling = False

    def write(self, text: str) -> None:
        """Takes one formatted line."""
        line = (text if len(text) <= SHOWN else f"{text[:SHOWN]}…").encode("utf-8", "backslashreplace").decode()
        self._lines.append(line)
        if self._follower is not None and not self._telling:
            self._telling = True  # telling may log; that line is not told again
            try:
                self._follower([line])
            finally:
                self._telling = False

    def tail(self, n: int) -> list[str]:
        """The newest `n` lines, oldest first."""
        return list(self._lines)[-max(0, n) :] if n > 0 else []

    def flush(self) -> None:
        """Nothing waits to be written."""

    def follow(self, follower: Callable[[list[str]], object] | None) -> None:
        """Hands every new line to `follower`, which takes the place of an earlier one; None: to nobody."""
        self._follower = follower
