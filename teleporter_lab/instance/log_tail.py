"""The last lines of this process's log, kept in memory for whoever asks through the broker.

Owns a ring of formatted lines and who follows it. Refuses to write files (`daemon.logs` does).
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = 2000
"""Lines kept."""


class LogKeeper(logging.Handler):
    """A logging handler that keeps the newest lines and hands new ones to a follower."""

    def __init__(self, lines: int = LINES) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=lines)
        self._follower: Callable[[list[str]], object] | None = None
        self._telling = False

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
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

    def follow(self, follower: Callable[[list[str]], object]) -> None:
        """Hands every new line to `follower`, which takes the place of an earlier one."""
        self._follower = follower
