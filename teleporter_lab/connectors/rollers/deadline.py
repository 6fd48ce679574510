"""Where the walk over time ends: at a moment, or never, some time behind the present.

Owns the forms `now`, `fromNow`, `1.minutes.fromNow` and a date-time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from teleporter_lab.config.duration import parse_duration
from teleporter_lab.connectors.rollers.moments import moment
from teleporter_lab.errors import InvalidDuration

NOW, FROM_NOW = "now", "fromNow"


@dataclass(frozen=True, slots=True)
class Deadline:
    """`at`: no window ends later, and the walk is over there. None: it goes on for ever, `delay` behind the present."""

    at: datetime | None
    delay: timedelta = timedelta(0)


def deadline_of(text: str, zone: tzinfo, now: datetime) -> Deadline:
    """What `text` writes, at the moment `now`. Raises ValueError with a sentence."""
    if text == NOW:
        return Deadline(now)
    if text == FROM_NOW:
        return Deadline(None)
    if text.endswith(f".{FROM_NOW}"):
        return Deadline(None, _delay(text.removesuffix(f".{FROM_NOW}"), text))
    try:
        return Deadline(moment(text, zone, last=True))
    except ValueError as error:
        raise ValueError(f"{error}; or write now, fromNow or 1.minutes.fromNow") from None


def _delay(written: str, text: str) -> timedelta:
    try:
        seconds = parse_duration(written)
    except InvalidDuration as error:
        raise ValueError(f"{text[:64]!r} is no deadline: {error.message}") from None
    if math.isinf(seconds):
        raise ValueError(f"{text[:64]!r} is never due: write fromNow, or a time such as 1.minutes.fromNow")
    return timedelta(seconds=seconds)
