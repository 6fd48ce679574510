"""A table whose rows become visible in time, perhaps late, and a reader that walks over it as a connector does.

Time is in whole seconds behind `START`. What the reader costs, where it is cut and when it is started anew is drawn.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.rollers.deadline import Deadline
from teleporter_lab.connectors.rollers.overlap import Overlap
from teleporter_lab.connectors.rollers.pages import Pages
from teleporter_lab.connectors.rollers.walk import Roller, Walk
from teleporter_lab.connectors.rollers.windows import Finished, Wait, Window, Windows

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2024, 1, 1, tzinfo=UTC)
END = 200
"""Seconds after which a walk without a deadline is looked at."""


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Row:
    id: int
    moment: int
    there: int
    """When it can be read first."""


@dataclass(frozen=True)
class Case:
    """One walk: the rows as (moment, lateness), the roller's options, and what happens on the way."""

    rows: list[tuple[int, int]]
    period: int
    growth: int
    lag: int
    size: int | None
    deadline: int | None
    delay: int
    begin: int
    """When the reader is started first."""
    costs: list[int]
    """Seconds that a query takes."""
    chunks: list[int]
    restarts: list[int]
    """After how many chunks each run ends."""
    keyed: bool = False

    def table(self) -> list[Row]:
        return [Row(n, when, when + min(late, self.lag)) for n, (when, late) in enumerate(self.rows)]

    def roller(self) -> Roller:
        deadline = Deadline(None if self.deadline is None else at(self.deadline), timedelta(seconds=self.delay))
        period = timedelta(seconds=self.period)
        windows = Windows(START, deadline, period, period * self.growth, timedelta(seconds=self.lag))
        pages = None if self.size is None or self.keyed else Pages(self.size)
        return Roller(windows, pages, keyed=self.keyed)


@dataclass
class Reader:
    """Reads by a walk until it is finished, or nothing is due before `END`."""

    case: Case
    given: list[tuple[int, int]] = field(default_factory=list)
    """Ids with the second they were given in."""
    last: Window | None = None
    """The last window that was read to its end."""
    runs: int = 1

    def __post_init__(self) -> None:
        self._now = self.case.begin
        self._table = self.case.table()
        self._costs = cycle(self.case.costs)
        self._chunks = cycle(self.case.chunks)
        self._restarts = list(self.case.restarts)
        self._position: Any = None
        self._start()

    def _start(self) -> None:
        self._left = self._restarts.pop() if self._restarts else -1
        self._walk = self.case.roller().walk(json.loads(json.dumps(self._position)))
        self._overlap = Overlap()
        self._begin()

    def _begin(self) -> None:
        walk, windows = self._walk, self._walk.roller.windows
        if not walk.over and walk.here.window is not None and windows is not None:
            self._overlap.begin(walk.here.window, bool(windows.late(walk.here.window)))

    def run(self) -> None:
        while True:
            step = self._walk.step(at(self._now))
            if isinstance(step, Finished) or (self.last is not None and self.last.end >= at(END)):
                return
            if isinstance(step, Wait):
                self._now = max(self._now, int((step.until - START).total_seconds()))
                if self._now > END:
                    return
                continue
            if step is not self._walk:
                self._walk = step
                self._begin()
            self._page()

    def _page(self) -> None:
        """Reads one page; it is cut where a run ends."""
        found = self._query()
        here = self._walk.here
        rows = found[here.rows :] if self.case.size is None and not self.case.keyed else found
        for chunk in self._cut(rows):
            if not self._give(chunk):
                return
        if self.case.keyed:
            over = len(rows) < (self.case.size or 1)
            self._walk = self._walk.window_over() if over else self._walk
        else:
            self._walk = self._walk.page_over(len(rows) if self.case.size is None else here.rows + len(rows))
        if self._walk.over:
            self.last = here.window
        self._now += next(self._costs)

    def _query(self) -> list[Row]:
        """The rows of the page that are there now, behind those that were passed."""
        here, size = self._walk.here, self.case.size
        assert here.window is not None
        found = [row for row in self._table if row.there <= self._now]
        found = [row for row in found if here.window.start <= at(row.moment) < here.window.end]
        if self.case.keyed:
            return sorted((row for row in found if here.key is None or row.id > here.key), key=lambda row: row.id)[
                : size or 1
            ]
        found.sort(key=lambda row: (row.moment, row.id))
        return found if size is None else found[here.page * size : here.page * size + size][here.rows :]

    def _cut(self, rows: list[Row]) -> Iterator[list[Row]]:
        begin = 0
        while begin < len(rows):
            end = begin + next(self._chunks)
            yield rows[begin:end]
            begin = end

    def _give(self, chunk: list[Row]) -> bool:
        """Gives the new rows; false where the run has ended with them."""
        new = [row for row in chunk if self._overlap.is_new((row.id, row.moment))]
        self._walk = self._walk.passed(len(chunk), chunk[-1].id)
        if new:
            self.given += [(row.id, self._now) for row in new]
            self._position = self._walk.position
            self._left -= 1
            if self._left == 0:
                self.runs += 1
                self._now += next(self._costs)
                self._start()
                return False
        return True


def read(case: Case) -> Reader:
    reader = Reader(case)
    reader.run()
    return reader


def finished(walk: Walk, seconds: float) -> bool:
    return isinstance(walk.step(at(seconds)), Finished)
