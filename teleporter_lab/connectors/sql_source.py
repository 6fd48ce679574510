"""Reading the rows of a query once.

Owns the two ways: pages behind a key, and the whole result. Refuses OFFSET, which gets slower with every page; where
time and pages play a part it is `sql_rolled`, where it goes on for ever `sql_follow`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.base import position_field
from teleporter_lab.connectors.sql_cursor import Cursor, names_of
from teleporter_lab.connectors.sql_keyset import PLAIN, Key, KeyPages, escaped, key_columns, key_from, key_json
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select

    from teleporter_lab.connectors.sql import SqlSourceOptions
    from teleporter_lab.connectors.sql_database import Database

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)
_INNER = re.compile(r"\([^()]*\)")
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)


class SqlPages:
    """Reads pages of `pageSize` rows behind the last key. Position: `{"key": value}`, exact; memory: one page.

    Rows that appear later with a greater key are read if the end was not reached yet. A key that is null, stands twice
    or is of a type that cannot be a position raises ConnectorError, as rows could be lost.
    """

    blocking = True

    def __init__(self, options: SqlSourceOptions, database: Database) -> None:
        self._pages = KeyPages(key_columns(options.key), database.backend)
        self._size = options.page_size
        self._database = database
        self._source = escaped(options.query)
        self._names: tuple[str, ...] = ()
        self._page: Sequence[Sequence[Any]] = ()
        self._keys: list[Key] = []
        self._index = 0
        self._more = True
        self._after: Key | None = None
        self._rows = 0

    def open(self, position: Any) -> None:
        self._database.must_exist()
        self._after = None if position is None else key_from(position, self._pages.columns)

    def read(self, n: int) -> list[dict[str, Any]] | None:
        if self._index >= len(self._page):
            if not self._more:
                return None
            self._fetch()
        taken = self._page[self._index : self._index + n]
        if not taken:
            return None
        self._index += len(taken)
        self._rows += len(taken)
        self._after = self._keys[self._index - 1]
        return [dict(zip(self._names, row)) for row in taken]  # noqa: B905 - the driver gives as many as it names

    @property
    def position(self) -> Any:
        return None if self._after is None else {"key": key_json(self._after)}

    def close(self) -> None:
        self._page, self._more = (), False

    def statistics(self) -> dict[str, int]:
        """Rows given since it was made."""
        return {"records": self._rows}

    def _fetch(self) -> None:
        """The next page; one row more is asked for, to see whether the key of the last one stands twice."""
        wanted = {"count": self._size + 1, **KeyPages.parameters("after", self._after or ())}
        with self._database.connect("the query") as connection:
            statement = self._pages.page(self._source, after=self._after is not None)
            result = connection.execute(statement, wanted)
            self._names = names_of(result)
            page = result.fetchall()
        self._keys = self._pages.of(self._names, page, self._after)
        self._more = len(page) > self._size
        self._page, self._index = page[: self._size], 0


class SqlRows:
    """Reads the whole result of a query once, through a cursor of the server. Memory: `pageSize` rows.

    Position: `{"row": n}` when the query has an ORDER BY; then the first n rows are passed over on resume. Without one
    the order may be another one next time, so the position stays null and a resumed read starts over. After an error
    the query is asked again behind the last row; without an ORDER BY the error is raised again once rows went out.
    """

    blocking = True

    def __init__(self, options: SqlSourceOptions, database: Database) -> None:
        self._query = options.query
        self._buffer = options.page_size
        self._database = database
        self._ordered = ordered(options.query)
        self._cursor = Cursor(database, options.page_size)
        self._row = 0
        self._over = False
        self._failure: ConnectorError | None = None

    def open(self, position: Any) -> None:
        self._database.must_exist()
        skip = 0 if position is None or not self._ordered else position_field(position, "row", int, "a query")
        self._ask(skip)

    def read(self, n: int) -> list[dict[str, Any]] | None:
        if self._over:
            return None
        if self._failure is not None:
            raise self._failure
        try:
            if not self._cursor.is_open:
                self._ask(self._row)
            rows = self._cursor.fetch(min(n, self._buffer))
        except ConnectorError as error:
            self._cursor.close()
            self._failure = error if self._row and not self._ordered else None
            raise
        if not rows:
            self.close()
            return None
        self._row += len(rows)
        return [dict(zip(self._cursor.names, row)) for row in rows]  # noqa: B905 - as many as it names

    @property
    def position(self) -> Any:
        return {"row": self._row} if self._ordered else None

    def close(self) -> None:
        self._over = True
        self._cursor.close()

    def statistics(self) -> dict[str, int]:
        """Rows read, those passed over on resume included."""
        return {"records": self._row}

    def _ask(self, skip: int) -> None:
        """Asks the query, and passes over so many rows; there may be fewer."""
        self._cursor.open(self._query)
        passed = 0
        while passed < skip and (rows := self._cursor.fetch(min(skip - passed, self._buffer))):
            passed += len(rows)
        self._row = passed


def ordered(query: str) -> bool:
    """Whether `query` has an ORDER BY outside of parentheses, texts and comments."""
    bare, inner = _QUOTED.sub(" ", query), 1
    while inner:
        bare, inner = _INNER.subn(" ", bare)
    return bool(_ORDER.search(bare))


def statements(query: str, key: str) -> tuple[Select[Any], Select[Any]]:
    """The first page, and a page behind the key `:after_0`, for a key of one column."""
    pages = KeyPages((key,), "")
    return pages.page(escaped(query)), pages.page(escaped(query), after=True)


def key_of(position: Any) -> Any:
    """The key of a committed position, number or text. Raises ConnectorError when it is another one."""
    (key,) = key_from(position, ("",))
    if type(key) not in PLAIN:
        raise ConnectorError(f"{position!r} is no position of a query of columns: its key must be a number or text.")
    return key
