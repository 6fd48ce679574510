"""When a file is completed and the next one begun: at moments of the calendar, and when it is large enough.

Owns the moments and the limits, as plain values. Refuses to know a clock, a file or a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

FIELDS = 5
LOOK_BACK = tuple(timedelta(days=days) for days in (1 / 24, 1, 32, 366, 366 * 4, 366 * 9, 366 * 41))
"""How far before a moment its last one is looked for; 29 February of one weekday is 40 years away at most."""


class Cron:
    """Moments of a cron expression: minute, hour, day, month, weekday, as Debian's cron reads them, in a time zone.

    A moment that the clocks leap over in spring comes when they have leapt; one that they show twice in autumn comes
    once, the first time. Expressions with `*` in minute or hour follow real time instead. Source: cronsim, which
    follows Debian's cron.
    """

    def __init__(self, text: str, zone: tzinfo = UTC) -> None:
        """Raises ValueError, one sentence, for what is no cron expression or never comes."""
        self._text, self._zone = text, zone
        try:
            if len(text.split()) != FIELDS:
                raise CronSimError("it has not five fields")
            come = self.after(datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise ValueError(
                f"A cron expression has five fields, minute, hour, day, month and weekday, such as 0 * * * *, but in "
                f"{text[:100]!r} something is wrong: {error}."
            ) from error
        if come is None:
            raise ValueError(f"The cron expression {text!r} never comes.")

    def after(self, moment: datetime) -> datetime | None:
        """The first moment after `moment`, in UTC; None when there is none within 50 years."""
        return next(self._all(moment), None)

    def last(self, moment: datetime) -> datetime | None:
        """The last moment at or before `moment`, in UTC; None when there is none within 40 years."""
        for back in LOOK_BACK:
            found: datetime | None = None
            for each in self._all(moment - back):
                if each > moment:
                    break
                found = each
            if found is not None:
                return found
        return None

    def _all(self, moment: datetime) -> Iterator[datetime]:
        """Those after `moment`. Where clocks go back, cronsim may begin before it."""
        for each in CronSim(self._text, moment.astimezone(self._zone)):
            found = each.astimezone(UTC)
            if found > moment:
                moment = found
                yield found


@dataclass(frozen=True)
class Schedule:
    """What ends a file. All limits may be None: then it ends with its sink."""

    cron: Cron | None = None
    size: int | None = None
    """Bytes."""
    records: int | None = None

    def begin(self, now: datetime) -> datetime:
        """When the time of a file begins that is begun `now`: with a cron, at its last moment."""
        begun = self.cron.last(now) if self.cron else None
        return begun or now

    def due(self, begun: datetime) -> datetime | None:
        """When the time of a file ends; None: never."""
        return self.cron.after(begun) if self.cron else None

    def fits(self, length: int, records: int) -> bool:
        """Whether a file may have as many bytes and records."""
        return (self.size is None or length <= self.size) and (self.records is None or records <= self.records)

    def full(self, length: int, records: int) -> bool:
        """Whether a file has all that it may have."""
        return not self.fits(length + 1, records + 1)
