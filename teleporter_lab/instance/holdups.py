"""Tells of user code that holds the loop of an instance: in its log, once for each stream and line.

Owns what was told already. The watchdog notices (`engine/watchdog.py`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from teleporter_lab.engine.watchdog import Blocked

log = logging.getLogger(__name__)


class HoldUps:
    """Called by the watchdog, in its thread. A place that holds the loop again and again is told of once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, int]] = set()

    def __call__(self, blocked: Blocked) -> None:
        place = (blocked.stream, blocked.file, blocked.line)
        log.log(logging.DEBUG if place in self._told else logging.WARNING, "%s", blocked)
        if blocked.over:
            self._told.add(place)
