"""How a moment is given to a system that compares it: a text, a number, or the date-time itself.

Owns the forms. Whatever the form, later moments never come earlier in it, so that windows which touch in time touch in
the form too, however coarse it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import TYPE_CHECKING

from teleporter_lab.connectors.rollers.moments import labels

if TYPE_CHECKING:
    from collections.abc import Callable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS = {"epochSeconds": timedelta(seconds=1), "epochMillis": timedelta(milliseconds=1)}
_WORDS = ("iso", *_NUMBERS)
_SAMPLES = [
    datetime(2023, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    *(datetime(2024, 1, 1, hour, 30, 15, tzinfo=UTC) for hour in range(24)),
    *(
        datetime(2024, month, day, hour, tzinfo=UTC)
        for month in range(2, 13)
        for day, hour in ((1, 18), (9, 6), (28, 12))
    ),
    datetime(2025, 1, 1, tzinfo=UTC),
]
"""Moments in order, whose forms must be in order too."""

Form = str | int


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """One form: `iso`, `epochSeconds`, `epochMillis`, a pattern of strftime, or "" for `2024-01-31 10:00:00`."""

    pattern: str
    zone: tzinfo

    def both(self, start: datetime, end: datetime, *, with_offset: bool = False) -> tuple[Form, Form]:
        """The two ends of a window; `with_offset` adds the offset to the form that has no pattern.

        Forms without an offset are local times of the zone, the way `moments.labels` gives them.
        """
        if size := _NUMBERS.get(self.pattern):
            return (start - _EPOCH) // size, (end - _EPOCH) // size
        if self.pattern == "iso" or "%z" in self.pattern or "%:z" in self.pattern:
            begin, finish = start.astimezone(self.zone), end.astimezone(self.zone)
        else:
            begin, finish = labels(start, end, self.zone)
        form = self._form(with_offset)
        return form(begin), form(finish)

    def _form(self, with_offset: bool) -> Callable[[datetime], str]:
        if self.pattern == "iso":
            return datetime.isoformat
        if self.pattern:
            return lambda at: at.strftime(self.pattern)
        return lambda at: (at if with_offset else at.replace(tzinfo=None)).isoformat(sep=" ")


def checked(pattern: str) -> str:
    """`pattern` where it is a form that keeps moments in order. Raises ValueError with a sentence."""
    if pattern in _WORDS:
        return pattern
    try:
        read = [datetime.strptime(at.strftime(pattern), pattern).replace(tzinfo=None) for at in _SAMPLES]
    except (ValueError, OverflowError):
        read = []
    whole = [at.replace(tzinfo=None) for at in _SAMPLES]
    if not read or any(one > other for one, other in pairwise(read)) or any(map(_off, read, whole)):
        raise ValueError(
            f"{pattern[:64]!r} is no form of a date-time that says the year and all that stands between it and the "
            f"smallest part: write {', '.join(_WORDS)} or a pattern such as %Y-%m-%dT%H:%M:%S"
        )
    return pattern


def _off(read: datetime, sample: datetime) -> bool:
    """Whether a form has put a moment later than it is, or into another year."""
    return read > sample or read.year != sample.year
