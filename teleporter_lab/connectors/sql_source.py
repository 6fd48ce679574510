"""Reading the rows of a query.

Owns the two ways: pages behind a key, and the whole result once. Refuses OFFSET, which gets slower with every page.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import bindparam, column, literal_column, select, text
from sqlalchemy.exc import SQLAlchemyError

from teleporter_lab.connectors.base import position_field
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, CursorResult, Select

    from teleporter_lab.connectors.sql import SqlSourceOptions
    from teleporter_lab.connectors.sql_database import Database

KEY_TYPES = frozenset({int, float, str})
"""What a key may be, so that a position is plain JSON."""

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)
_INNER = re.compile(r"\([^()]*\)")
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)


class SqlPages:
    """Reads pages of `pageSize` rows behind the last key. Position: `{"key": value}`, exact; memory: one page.

    Rows that appear later with a greater key are read if the end was not reached yet. A key that is null, stands twice
    or is neither number nor text raises ConnectorError, as rows could be lost.
    """

    def __init__(self, options: SqlSourceOptions, database: Database) -> None:
        self._key = cast("str", options.key)
        self._size = options.page_size
        self._database = database
        self._first, self._next = statements(options.query, self._key)
        self._names: tuple[str, ...] = ()
        self._page: Sequence[Sequence[Any]] = ()
        self._index = 0
        self._more = True
        self._position: dict[str, Any] | None = None
        self._rows = 0

    def open(self, position: Any) -> None:
        self._database.must_exist()
        self._position = None if position is None else {"key": key_of(position)}

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
        records = [dict(zip(self._names, row)) for row in taken]  # noqa: B905 - the driver gives as many as it names
        self._position = {"key": records[-1][self._key]}
        return records

    @property
    def position(self) -> Any:
        return self._position

    def close(self) -> None:
        self._page, self._more = (), False

    def statistics(self) -> dict[str, int]:
        """Rows given since it was made."""
        return {"records": self._rows}

    def _fetch(self) -> None:
        """The next page; one row more is asked for, to see whether the key of the last one stands twice."""
        wanted = {"count": self._size + 1}
        with self._database.connect("the query") as connection:
            if self._position is None:
                result = connection.execute(self._first, wanted)
            else:
                result = connection.execute(self._next, {**wanted, "after": self._position["key"]})
            self._names = names_of(result)
            page = result.fetchall()
        self._check(page)
        self._more = len(page) > self._size
        self._page, self._index = page[: self._size], 0

    def _check(self, page: Sequence[Sequence[Any]]) -> None:
        if self._key not in self._names:
            raise ConnectorError(f"The query has no column {self._key}; it has {', '.join(self._names)}.")
        at = self._names.index(self._key)
        keys = [row[at] for row in page]
        if not set(map(type, keys)) <= KEY_TYPES:
            raise ConnectorError(f"The key {self._key} must hold numbers or text and no nulls.")
        if len(set(keys)) < len(keys):
            raise ConnectorError(f"The key {self._key} must be unique: a value stands twice.")


class SqlRows:
    """Reads the whole result of a query once, through a cursor. Memory: what the driver buffers.

    Position: `{"row": n}` when the query has an ORDER BY; then the first n rows are passed over on resume. Without one
    the order may be another one next time, so the position stays null and a resumed read starts over.
    """

    def __init__(self, options: SqlSourceOptions, database: Database) -> None:
        self._query = options.query
        self._buffer = options.page_size
        self._database = database
        self._ordered = ordered(options.query)
        self._connection: Connection | None = None
        self._result: CursorResult[Any] | None = None
        self._names: tuple[str, ...] = ()
        self._row = 0

    def open(self, position: Any) -> None:
        self._database.must_exist()
        skip = 0 if position is None or not self._ordered else position_field(position, "row", int, "a query")
        self._connection = self._database.acquire()
        try:
            streaming = self._connection.execution_options(stream_results=True, max_row_buffer=self._buffer)
            self._result = streaming.exec_driver_sql(self._query)
            self._names = names_of(self._result)
        except SQLAlchemyError as error:
            raise self._database.refused("the query", error) from error
        while self._row < skip and (passed := self._fetch(min(skip - self._row, self._buffer))):
            self._row += len(passed)

    def read(self, n: int) -> list[dict[str, Any]] | None:
        rows = self._fetch(min(n, self._buffer))
        if not rows:
            self.close()
            return None
        self._row += len(rows)
        return [dict(zip(self._names, row)) for row in rows]  # noqa: B905 - the driver gives as many as it names

    @property
    def position(self) -> Any:
        return {"row": self._row} if self._ordered else None

    def close(self) -> None:
        if self._result is not None:
            self._result.close()
            self._result = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def statistics(self) -> dict[str, int]:
        """Rows read, those passed over on resume included."""
        return {"records": self._row}

    def _fetch(self, n: int) -> Sequence[Sequence[Any]]:
        if self._result is None:
            return ()
        try:
            return self._result.fetchmany(n)
        except SQLAlchemyError as error:
            raise self._database.refused("the query", error) from error


def ordered(query: str) -> bool:
    """Whether `query` has an ORDER BY outside of parentheses, texts and comments."""
    bare, inner = _QUOTED.sub(" ", query), 1
    while inner:
        bare, inner = _INNER.subn(" ", bare)
    return bool(_ORDER.search(bare))


def stripped(query: str) -> str:
    """`query` without what ends a statement, to be put into another one."""
    return query.rstrip("; \t\r\n")


def statements(query: str, key: str) -> tuple[Select[Any], Select[Any]]:
    """The first page, and a page behind the key `:after`."""
    inner = stripped(query).replace(":", "\\:")
    by: ColumnElement[Any] = column(key)
    page: Select[Any] = select(cast("ColumnElement[Any]", literal_column("*"))).select_from(
        text(f"({inner}\n) AS page")
    )
    page = page.order_by(by).limit(bindparam("count"))
    return page, page.where(by > bindparam("after"))


def key_of(position: Any) -> Any:
    """The key of a committed position. Raises ConnectorError when it is none of a reader by key."""
    key = cast("dict[str, Any]", position).get("key") if isinstance(position, dict) else None
    if type(key) not in KEY_TYPES:
        raise ConnectorError(f'{position!r} is no position of a query by key: that is {{"key": number or text}}.')
    return key


def names_of(result: CursorResult[Any]) -> tuple[str, ...]:
    """The columns of a result. Raises ConnectorError when one stands twice."""
    names = tuple(result.keys())
    distinct(names)
    return names


def distinct(names: Sequence[str]) -> None:
    """Raises ConnectorError when a query gives a column twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConnectorError(f"The query gives the column {twice[0]} twice; name them apart with AS.")
