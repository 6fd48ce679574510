"""The `roller` block of a source: the form, and the roller that it describes.

Owns what may stand beside what. Refuses to know a query.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic.alias_generators import to_camel

from teleporter_lab.config.duration import Duration, format_duration
from teleporter_lab.connectors.base import Options
from teleporter_lab.connectors.rollers.deadline import FROM_NOW, NOW, Deadline, deadline_of
from teleporter_lab.connectors.rollers.lag import Lag, as_time
from teleporter_lab.connectors.rollers.moments import moment, zone_of
from teleporter_lab.connectors.rollers.pages import Pages
from teleporter_lab.connectors.rollers.time_format import TimeFormat, checked
from teleporter_lab.connectors.rollers.windows import Windows

SHORTEST = 0.001
"""Seconds of a period, at least."""
KeyName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)


class SourceRoller(Options):
    """The `roller` block of a source. Blank: no roller."""

    page: int = Field(default=0, ge=0, description="Number of the first page, `{page}`.")
    page_size: int | None = Field(default=None, ge=1, le=1_000_000, description="Rows of a page, `{pageSize}`.")
    max_page: int | None = Field(
        default=None, ge=0, description="Number of the last page of a window; empty: until one is not full."
    )
    offset: int | None = Field(
        default=None, ge=0, description="Rows before the first page, `{offset}`; empty: page times pageSize."
    )
    start: str | None = Field(default=None, description="Where time begins, such as 2024-01-31T00:00:00.")
    end: str | None = Field(default=None, description="Where time ends, at the latest; a date-time.")
    period: Duration | None = Field(
        default=None, description="Length of a window, such as 10.minutes; empty: one window up to the deadline."
    )
    max_period: Duration | None = Field(
        default=None, description="How long a window may become to catch up; empty: no longer than period."
    )
    deadline: str | None = Field(
        default=None,
        description="Where the walk ends: now, a date-time, or never: fromNow, 1.minutes.fromNow. Empty: end, or now.",
        examples=["now", "fromNow", "1.minutes.fromNow", "2024-01-31T00:00:00"],
    )
    lag: Lag = Field(
        default=0,
        description="How late a row may be committed, which is read again: a time, or so many ids of a key.",
    )
    key: KeyName | Annotated[list[KeyName], Field(min_length=1, max_length=16)] | None = Field(
        default=None, description="Column, or columns, by which pages are read instead of by {offset}."
    )
    zone: str = Field(default="UTC", description="Zone of times without an offset: Europe/Berlin or +08:00.")
    time_format: str = Field(
        default="",
        description="Form of {start} and {end}: iso, epochSeconds, epochMillis, a pattern such as %Y%m%d%H; "
        "empty: 2024-01-31 10:00:00.",
    )

    @field_validator("zone")
    @classmethod
    def _a_zone(cls, name: str) -> str:
        zone_of(name)
        return name

    @field_validator("time_format")
    @classmethod
    def _a_format(cls, pattern: str) -> str:
        return checked(pattern) if pattern else pattern

    @field_validator("period", "max_period")
    @classmethod
    def _a_length(cls, seconds: float | None) -> float | None:
        if seconds is not None and not SHORTEST <= seconds < math.inf:
            raise ValueError(f"Must be a time from 1.millis to 36,500 days, but is {format_duration(seconds)}")
        return seconds

    @model_validator(mode="after")
    def _fits_together(self) -> SourceRoller:
        windows_of(self, _ANY_DAY)
        if self.start is None:
            self._without_windows()
        elif self.max_period is not None and self.period is None:
            raise ValueError("With maxPeriod a period is needed, of which it is a multiple")
        elif self.max_period is not None and self.max_period < (self.period or 0):
            raise ValueError("The maxPeriod must be at least as long as the period")
        self._fitting_pages()
        return self

    def _without_windows(self) -> None:
        for name in ("end", "period", "max_period"):
            if getattr(self, name) is not None:
                raise ValueError(f"With {to_camel(name)} a start is needed, where the first window begins")
        if self.key is None and self.deadline is not None:
            raise ValueError("With deadline a start is needed, or a key behind which new rows are looked for")
        if self.key is not None and self.deadline not in (None, NOW, FROM_NOW):
            raise ValueError("The deadline of a walk by key alone must be now (to the end, once) or fromNow (for ever)")
        if self.key is None and self.lag:
            raise ValueError("With lag a start or a key is needed")

    def _fitting_pages(self) -> None:
        if self.key is None:
            if self.page_size is None and (self.offset is not None or self.max_page is not None or self.page):
                raise ValueError("With page, maxPage or offset a pageSize is needed")
            if self.max_page is not None and self.max_page < self.page:
                raise ValueError("The maxPage must be at least the page")
        elif self.page or self.offset or self.max_page is not None:
            raise ValueError("Pages by key have no number: leave out page, maxPage and offset, or key")
        if isinstance(self.key, list) and len(set(self.key)) < len(self.key):
            raise ValueError("The key must name each column once")

    @property
    def blank(self) -> bool:
        """Whether nothing was asked for: there is neither a window nor a page."""
        return self.start is None and self.page_size is None and self.key is None

    @property
    def follows(self) -> bool:
        """Whether new rows behind the key are looked for, for ever."""
        return self.start is None and self.deadline == FROM_NOW

    @property
    def form(self) -> TimeFormat:
        return TimeFormat(self.time_format, zone_of(self.zone))


def windows_of(options: SourceRoller, now: datetime) -> Windows | None:
    """The windows of a walk that begins at `now`; None where time plays no part. Raises ValueError with a sentence."""
    zone = zone_of(options.zone)
    end = None if options.end is None else moment(options.end, zone, last=True)
    deadline = None if options.deadline is None else deadline_of(options.deadline, zone, now)
    if options.start is None:
        return None
    start = moment(options.start, zone)
    deadline = _earlier(deadline, end) or Deadline(now)
    _check(options, start, end, deadline)
    period = None if options.period is None else timedelta(seconds=options.period)
    longest = timedelta(seconds=options.max_period or options.period or 0)
    return Windows(start, deadline, period, longest, as_time(options.lag))


def _earlier(deadline: Deadline | None, end: datetime | None) -> Deadline | None:
    if deadline is None or end is None:
        return deadline or (None if end is None else Deadline(end))
    return Deadline(end if deadline.at is None else min(end, deadline.at), deadline.delay)


def _check(options: SourceRoller, start: datetime, end: datetime | None, deadline: Deadline) -> None:
    if end is not None and end <= start:
        raise ValueError("The end must be later than the start")
    written = options.deadline not in (None, NOW)
    if written and deadline.at is not None and deadline.at <= start:
        raise ValueError("The deadline must be later than the start")
    if deadline.at is None and options.period is None:
        raise ValueError("With fromNow a period is needed: how long each window is")


def pages_of(options: SourceRoller) -> Pages | None:
    """The pages of a window; None where there are none, or where they are read by key."""
    if options.page_size is None or options.key is not None:
        return None
    offset = options.page * options.page_size if options.offset is None else options.offset
    return Pages(options.page_size, options.page, options.max_page, offset)
