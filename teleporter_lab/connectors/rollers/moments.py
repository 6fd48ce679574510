"""Moments as people write them, and as databases compare them.

Owns the way between a written date-time and an instant in UTC, with all that daylight saving time does to it. Refuses
to ask for the time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

LATEST = datetime(9999, 1, 1, tzinfo=UTC)
"""Later than any moment that is taken; stands for never."""
_YEARS = range(2, 9999)
"""One year is left free at both ends of what Python can hold, so that no zone and no label passes them."""
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")


def zone_of(name: str) -> tzinfo:
    """The zone `Europe/Berlin`, `+08:00`, `Z` or `UTC`. Raises ValueError with a sentence."""
    if name in ("UTC", "Z"):
        return UTC
    if offset := _OFFSET.fullmatch(name):
        hours, minutes = int(offset[2]), int(offset[3])
        if hours < 24 and minutes < 60:
            size = timedelta(hours=hours, minutes=minutes)
            return timezone(-size if offset[1] == "-" else size)
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(f"{name[:64]!r} is no time zone: write a name such as Europe/Berlin, or +08:00") from None


def moment(text: str, zone: tzinfo, *, last: bool = False) -> datetime:
    """The instant that ISO 8601 `text` writes, in UTC; without an offset it is local time of `zone`.

    Of a local time that the clocks show twice it is the first one, or with `last` the second, so that a stretch from
    one to the other holds all of it. Raises ValueError with a sentence, also for a local time that is never shown.
    """
    try:
        written = datetime.fromisoformat(text.strip())
        found = written.astimezone(UTC) if written.tzinfo is not None else _local(written, zone, last)
    except OverflowError:
        found = None
    except ValueError as error:
        if isinstance(error, _Gap):
            raise
        raise ValueError(f"{text[:64]!r} is no date-time; write it as 2024-01-31T10:00:00, perhaps with Z") from None
    if found is None or found.year not in _YEARS:
        raise ValueError(f"The date-time {text[:64]!r} must lie in the years {_YEARS[0]} to {_YEARS[-1]}")
    return found


class _Gap(ValueError):
    """A local time that no clock ever shows."""


def _local(written: datetime, zone: tzinfo, last: bool) -> datetime:
    both = [written.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    if both[0].astimezone(zone).replace(tzinfo=None, fold=0) != written:
        raise _Gap(
            f"{written.isoformat()} is never shown by the clocks of {zone}: they are set forward then; write a time "
            "beside it, or one with an offset"
        )
    return max(both) if last else min(both)


def labels(start: datetime, end: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Both ends of [start, end) in `zone`, so that the labels in between are those of all moments in between.

    Where the clocks are set back, labels come twice. A window with that moment inside gets the whole of the hour that
    comes twice, so that comparing mere labels leaves out nothing; read as instants, the two include the window too.
    """
    begin, finish = start.astimezone(zone), end.astimezone(zone)
    if begin.fold == 0 and _twice(begin) and (turn := _turn(begin)) < end:
        begin = turn.astimezone(timezone(_offset(begin))) - _set_back(begin)
    if finish.fold == 1 and (turn := _turn(finish)) > start:
        if turn == end:
            finish = end.astimezone(timezone(_offset(finish.replace(fold=0))))
        else:
            finish = (turn + _set_back(finish)).astimezone(zone)
    return begin, finish


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta(0)


def _set_back(local: datetime) -> timedelta:
    """How far the clocks are set back around a local time that they show twice."""
    return _offset(local.replace(fold=0)) - _offset(local.replace(fold=1))


def _twice(local: datetime) -> bool:
    return _set_back(local) > timedelta(0)


def _turn(local: datetime) -> datetime:
    """When the clocks are set back, around a local time that they show twice."""
    size = int(_set_back(local).total_seconds())
    at = int(local.timestamp())
    low, high = (at, at + size + 1) if local.fold == 0 else (at - size, at + 1)
    before, zone = _offset(local.replace(fold=0)), local.tzinfo
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, zone)) == before:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)
