"""Reading a query window by window and page by page.

Owns the queries and what is given when; where the walk goes is said by `rollers.walk`. Waiting is done by the loop,
queries in its threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.rollers.overlap import Overlap
from teleporter_lab.connectors.rollers.source_roller import windows_of
from teleporter_lab.connectors.rollers.walk import Roller, Walk
from teleporter_lab.connectors.rollers.windows import Finished, Wait
from teleporter_lab.connectors.sql_cursor import Cursor, names_of
from teleporter_lab.connectors.sql_keyset import Key, KeyPages, key_columns, key_from, key_json
from teleporter_lab.connectors.sql_query import RolledQuery
from teleporter_lab.connectors.sql_source import ordered
from teleporter_lab.connectors.sql_threads import READER_THREADS
from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.clock import Clock, LoopClock
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.connectors.rollers.source_roller import SourceRoller
    from teleporter_lab.connectors.rollers.walk import Place
    from teleporter_lab.connectors.sql import SqlSourceOptions
    from teleporter_lab.connectors.sql_database import Database

AT_ONCE = 2000
"""Rows fetched at a time."""
LONGEST_WAIT = 60.0
"""Seconds after which the time of day is looked at again, which can be set."""


@dataclass(frozen=True, slots=True)
class Time:
    """The time of day, and the clock to wait by."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Clock = LoopClock()  # noqa: RUF009 - it has no state


@dataclass(frozen=True, slots=True)
class Fetched:
    """Rows of a page, in order; `last`: there are no more in it."""

    rows: Sequence[Sequence[Any]]
    keys: Sequence[Key] | None
    last: bool


class SqlRolled:
    """Reads the windows and pages of a roller. Position: the window or page, and the rows or the key reached in it.

    Exact, but for a query without pages, key and ORDER BY: of that a window that was begun is read again. With `lag`,
    rows of the overlap are given once in a run, and again after a restart. Memory: 2,000 rows or a page by key, and the
    marks of the overlap.
    """

    blocking = False

    def __init__(
        self, options: SqlSourceOptions, roller: SourceRoller, database: Database, time: Time | None = None
    ) -> None:
        self._query = RolledQuery(options.query, roller, database.backend)
        self._options = roller
        self._columns = key_columns(roller.key)
        self._size = roller.page_size or options.page_size
        self._reading = _Reading(self._query, database, KeyPages(self._columns, database.backend), self._size)
        self._counted = self._query.pages is not None or ordered(options.query)
        self._calls: OneCall[Any] = OneCall(READER_THREADS)
        self._time = time or Time()
        self._overlap = Overlap()
        self._walk: Walk | None = None
        self._fetched: Fetched | None = None
        self._index = 0
        self._position: Any = None
        self._records = 0

    async def open(self, position: Any) -> None:
        await self._calls.call(self._reading.must_exist)
        windows = windows_of(self._options, self._time.now())
        roller = Roller(windows, self._query.pages, keyed=bool(self._columns), counted=self._counted)
        self._walk = roller.walk(position)
        if self._columns and position is not None and position.get("key") is not None:
            key_from(position, self._columns)
        self._position = position
        self._begin()

    async def read(self, n: int) -> list[dict[str, Any]] | None:
        while self._walk is not None:
            if self._fetched is not None:
                if records := self._give(n):
                    return records
                continue
            step = self._walk.step(self._time.now())
            match step:
                case Finished():
                    return None
                case Wait(until):
                    seconds = (until - self._time.now()).total_seconds()
                    await self._time.clock.sleep(min(max(seconds, 0.0), LONGEST_WAIT))
                case Walk():
                    await self._read(step)
        return None

    @property
    def position(self) -> Any:
        return self._position

    async def close(self) -> None:
        await self._calls.settle()
        self._walk = self._fetched = None
        await self._calls.call(self._reading.close)

    def statistics(self) -> dict[str, int]:
        """Rows given since it was made, and rows remembered of the overlap."""
        return {"records": self._records, "overlap": self._overlap.rows}

    def _begin(self) -> None:
        """Rows of the window that is read may be known from the one before."""
        walk = self._walk
        windows = walk.roller.windows if walk is not None else None
        if walk is None or walk.over or windows is None or walk.here.window is None:
            return
        self._overlap.begin(walk.here.window, kept=bool(windows.late(walk.here.window)))

    async def _read(self, walk: Walk) -> None:
        """The next rows. After a failure the walk goes on behind the last row, or begins its window anew."""
        if walk is not self._walk:
            self._walk = walk
            self._begin()
        try:
            self._fetched, self._index = await self._calls.call(self._reading.more, walk.here), 0
        except ConnectorError:
            if self._overlap.active:
                self._walk = walk.again()
                self._begin()
            raise

    def _give(self, n: int) -> list[dict[str, Any]]:
        """Up to `n` of the rows fetched that are new."""
        fetched, walk = self._fetched, self._walk
        if fetched is None or walk is None:
            return []
        begin = self._index
        taken = self._taken(fetched.rows, n)
        if self._index > begin:
            key = None if fetched.keys is None else key_json(fetched.keys[self._index - 1])
            self._walk = walk = walk.passed(self._index - begin, key)
        if taken:
            self._records += len(taken)
            self._position = walk.position
        if self._index >= len(fetched.rows):
            self._fetched = None
            if fetched.last:
                self._walk = walk.window_over() if fetched.keys is not None else walk.page_over(self._reading.rows)
        names = self._reading.names
        return [dict(zip(names, row)) for row in taken]  # noqa: B905 - the driver gives as many as it names

    def _taken(self, rows: Sequence[Sequence[Any]], n: int) -> Sequence[Sequence[Any]]:
        """The next rows that are new; moves on behind them."""
        if not self._overlap.active:
            taken = rows[self._index : self._index + n]
            self._index += len(taken)
            return taken
        new: list[Sequence[Any]] = []
        while self._index < len(rows) and len(new) < n:
            row = rows[self._index]
            self._index += 1
            if self._overlap.is_new(row):
                new.append(row)
        return new


class _Reading:
    """The database's side: called in threads, one call at a time."""

    def __init__(self, query: RolledQuery, database: Database, pages: KeyPages, size: int) -> None:
        self._query = query
        self._database = database
        self._pages = pages
        self._size = size
        self._cursor = Cursor(database, min(size, AT_ONCE))
        self.names: tuple[str, ...] = ()
        self.rows = 0
        """Rows of the page that was read last, so far."""

    def must_exist(self) -> None:
        self._database.must_exist()

    def more(self, place: Place) -> Fetched:
        """The next rows of the page at `place`; a page that is not open is opened behind the rows passed."""
        return self._by_key(place) if self._pages.columns else self._by_cursor(place)

    def close(self) -> None:
        self._cursor.close()

    def _by_cursor(self, place: Place) -> Fetched:
        try:
            if not self._cursor.is_open:
                self._open(place)
            rows = self._cursor.fetch(AT_ONCE)
        except BaseException:
            self._cursor.close()
            raise
        self.rows += len(rows)
        last = len(rows) < AT_ONCE
        if last:
            self._cursor.close()
        return Fetched(rows, None, last)

    def _open(self, place: Place) -> None:
        self.rows = 0
        self._cursor.open(self._query.at(place).statement())
        self.names = self._cursor.names
        while self.rows < place.rows and (passed := self._cursor.fetch(min(place.rows - self.rows, AT_ONCE))):
            self.rows += len(passed)

    def _by_key(self, place: Place) -> Fetched:
        """A page behind the key; one row more is asked for, to see whether the key of the last one stands twice."""
        after = () if place.key is None else key_from({"key": place.key}, self._pages.columns)
        asked = self._query.at(replace(place, page=0))
        statement = self._pages.page(asked.sql, after=bool(after), typed=asked.typed())
        with self._database.connect("the query") as connection:
            result = connection.execute(statement, {"count": self._size + 1, **KeyPages.parameters("after", after)})
            self.names = names_of(result)
            rows = result.fetchall()
        keys = self._pages.of(self.names, rows, after)
        return Fetched(rows[: self._size], keys, last=len(rows) <= self._size)
