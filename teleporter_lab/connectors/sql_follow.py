"""Reading behind a key for ever, and again a stretch before it for rows that were committed late.

Owns the queries and the waiting between passes; what is asked next is said by `rollers.passes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.rollers.passes import AskGreatest, AskPage, Passes
from teleporter_lab.connectors.sql_cursor import names_of
from teleporter_lab.connectors.sql_keyset import Key, KeyPages, escaped, key_from, key_json
from teleporter_lab.connectors.sql_threads import READER_THREADS
from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.clock import Clock, LoopClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.rollers.lag import LagValue
    from teleporter_lab.connectors.sql_database import Database


@dataclass(frozen=True, slots=True)
class Following:
    """What to read: the query, its key, and how."""

    query: str
    columns: tuple[str, ...]
    size: int
    follow: bool
    """Look for new rows for ever; otherwise one pass is all."""
    interval: float = 1.0
    """Seconds between two passes."""
    lag: LagValue = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Rows that are new, with their keys; `last`: the pass is over."""

    names: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    keys: Sequence[Key]
    last: bool


class SqlFollow:
    """Reads pages behind the last key, and waits for more. Position: `{"key": value}`, exact.

    With `lag` the overlap is read again after a restart. Memory: one page, and the keys of the overlap.
    """

    blocking = False

    def __init__(self, following: Following, database: Database, clock: Clock | None = None) -> None:
        self._following = following
        self._database = database
        self._clock = clock or LoopClock()
        self._calls: OneCall[Page] = OneCall(READER_THREADS)
        self._passes = Passes(following.columns[0], following.lag, None)
        self._reading: _Reading | None = None
        self._page: Page | None = None
        self._index = 0
        self._wait = False
        self._over = False
        self._position: Any = None
        self._records = 0

    async def open(self, position: Any) -> None:
        self._database.must_exist()
        after = None if position is None else key_from(position, self._following.columns)
        self._passes = Passes(self._following.columns[0], self._following.lag, after)
        self._reading = _Reading(self._following, self._database, self._passes)
        self._position = position

    async def read(self, n: int) -> list[dict[str, Any]] | None:
        reading = self._reading
        while reading is not None and not self._over:
            if self._wait:
                await self._clock.sleep(self._following.interval)
                self._wait = False
            if self._page is None:
                self._page, self._index = await self._calls.call(reading.page), 0
            if records := self._give(self._page, n):
                return records
        return None

    @property
    def position(self) -> Any:
        return self._position

    async def close(self) -> None:
        await self._calls.settle()
        self._reading = self._page = None

    def statistics(self) -> dict[str, int]:
        """Rows given since it was made, and keys remembered of the overlap."""
        return {"records": self._records, "overlap": self._passes.remembered}

    def _give(self, page: Page, n: int) -> list[dict[str, Any]]:
        taken = page.rows[self._index : self._index + n]
        self._index += len(taken)
        if taken:
            self._position = {"key": key_json(self._passes.given(page.keys[self._index - 1]))}
            self._records += len(taken)
        if self._index >= len(page.rows):
            self._page = None
            self._wait = page.last
            self._over = page.last and not self._following.follow
        return [dict(zip(page.names, row)) for row in taken]  # noqa: B905 - the driver gives as many as it names


class _Reading:
    """The database's side: `page` is called in threads, one call at a time."""

    def __init__(self, following: Following, database: Database, passes: Passes) -> None:
        self._following = following
        self._database = database
        self._passes = passes
        self._pages = KeyPages(following.columns, database.backend)
        self._source = escaped(following.query)

    def page(self) -> Page:
        """The next page. Raises ConnectorError; what failed is asked again by the next call."""
        ask = self._passes.ask()
        if isinstance(ask, AskGreatest):
            if not self._passes.greatest(self._greatest()):
                return Page((), (), (), last=True)
            ask = self._passes.ask()
        return self._new(ask, *self._rows(ask)) if isinstance(ask, AskPage) else Page((), (), (), last=True)

    def _greatest(self) -> Key | None:
        with self._database.connect("the query") as connection:
            result = connection.execute(self._pages.greatest(self._source))
            keys = self._pages.of(names_of(result), result.fetchall())
        return keys[0] if keys else None

    def _rows(self, ask: AskPage) -> tuple[tuple[str, ...], Sequence[Sequence[Any]]]:
        """A page, and one row more, to see whether the key of its last one stands twice."""
        wanted = {"count": self._following.size + 1, "since": ask.since}
        wanted |= KeyPages.parameters("after", ask.after or ()) | KeyPages.parameters("upto", ask.upto or ())
        statement = self._pages.page(
            self._source, after=ask.after is not None, upto=ask.upto is not None, since=ask.since is not None
        )
        if ask.since is None:
            del wanted["since"]
        with self._database.connect("the query") as connection:
            result = connection.execute(statement, wanted)
            return names_of(result), result.fetchall()

    def _new(self, ask: AskPage, names: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> Page:
        size = self._following.size
        keys = self._pages.of(names, rows, ask.after)[:size]
        last = len(rows) <= size
        new = self._passes.fetched(keys, last)
        return Page(names, [rows[at] for at in new], [keys[at] for at in new], last)
