"""Reading the rows of a query as columns.

Owns positions and what is given when, which are those of `sql_source`: either form goes on from the other's position.
Where batches come from is behind `Fetch`: the driver's rows (`sql_rows_to_columns`), or ADBC (`sql_adbc`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from teleporter_lab.connectors.base import position_field
from teleporter_lab.connectors.record_batches import arrow
from teleporter_lab.connectors.sql_keyset import came_again
from teleporter_lab.connectors.sql_source import key_of, ordered
from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Generator

    from teleporter_lab.connectors.record_batches import Batch
    from teleporter_lab.connectors.sql import SqlSourceOptions
    from teleporter_lab.connectors.sql_database import Database

ROWS = 20_000
"""Rows of a page of columns, unless `pageSize` says otherwise."""


class Fetch(Protocol):
    """Where batches come from. All have the same columns."""

    def page(self, after: Any, count: int) -> Batch:
        """Up to `count` rows behind the key `after` (None: from the start), in the order of the key.

        Raises BadRecord when one of them does not fit the columns.
        """
        ...

    def keys(self, after: Any, count: int) -> list[Any]:
        """The keys alone of such a page."""
        ...

    def whole(self) -> Generator[Batch]:
        """All rows of the query, in batches. Raises, at the latest with the first batch, what the database says.

        After `close` it may be called again.
        """
        ...

    def close(self) -> None:
        """Lets go of everything; a second call does nothing."""
        ...


def page_size(options: SqlSourceOptions) -> int:
    """Rows fetched at a time."""
    return options.page_size if "page_size" in options.model_fields_set else ROWS


class _Columns:
    """Gives the rows of one batch after the other."""

    columnar = True

    def __init__(self, options: SqlSourceOptions, database: Database, fetch: Fetch) -> None:
        self._options = options
        self._database = database
        self._fetch = fetch
        self._batch: Batch = None
        self._given = 0
        self._rows = 0

    def read(self, n: int) -> Batch | None:
        while self._batch is None or self._given >= len(self._batch):
            self._batch, self._given = self._more(), 0
            if self._batch is None:
                self.close()
                return None
        batch = self._batch.slice(self._given, n)
        self._given += len(batch)
        self._rows += len(batch)
        self._passed(batch)
        return batch

    def close(self) -> None:
        self._batch = None
        self._fetch.close()

    def statistics(self) -> dict[str, int]:
        """Rows given since it was made."""
        return {"records": self._rows}

    def _more(self) -> Batch | None:
        """The next batch with rows; None at the end, and from then on."""
        raise AssertionError(f"{type(self).__name__} does not say where batches come from")

    def _passed(self, batch: Batch) -> None:
        """Called with each batch that goes out."""


class SqlColumnPages(_Columns):
    """Pages behind a key, like `SqlPages`. Position: `{"key": value}`, exact; memory: one page.

    A row that does not fit the columns is raised once everything before it went out; the read after that goes on
    behind it.
    """

    def __init__(self, options: SqlSourceOptions, database: Database, fetch: Fetch) -> None:
        super().__init__(options, database, fetch)
        self._key = cast("str", options.key)
        self._size = page_size(options)
        self._position: dict[str, Any] | None = None
        self._end = False

    def open(self, position: Any) -> None:
        self._database.must_exist()
        self._position = None if position is None else {"key": key_of(position)}

    @property
    def position(self) -> Any:
        return self._position

    def _more(self) -> Batch | None:
        """The next page; one row more is asked for, to see whether the key of the last one stands twice."""
        if self._end:
            return None
        page, count = self._fitting()
        self._check(page)
        self._end = len(page) < count
        return page.slice(0, max(1, count - 1)) if len(page) else None

    def _fitting(self) -> tuple[Batch, int]:
        """The next page, smaller where a row does not fit, and the rows asked for. Passes a bad row that is first."""
        after, count = None if self._position is None else self._position["key"], self._size + 1
        bad: BadRecord | None = None
        while True:
            try:
                page = self._fetch.page(after, count)
            except BadRecord as error:
                bad = error
            else:
                if count == 1:
                    self._behind(after)
                return page, count
            if count == 1:
                self._position = {"key": self._behind(after)}
                raise bad
            count //= 2

    def _behind(self, after: Any) -> Any:
        """The key behind `after`; the one that follows must be another, or its row would be passed as well."""
        keys = self._fetch.keys(after, 2)
        if len(set(keys)) < len(keys):
            raise self._twice()
        return key_of({"key": keys[0]})

    def _passed(self, batch: Batch) -> None:
        self._position = {"key": batch.column(self._key)[len(batch) - 1].as_py()}

    def _check(self, page: Batch) -> None:
        names: list[str] = page.schema.names
        if self._key not in names:
            raise ConnectorError(f"The query has no column {self._key}; it has {', '.join(names)}.")
        keys, types = page.column(self._key), arrow().types
        kind = keys.type
        able = types.is_integer(kind) or types.is_floating(kind) or types.is_string(kind)
        if not able or keys.null_count:
            raise ConnectorError(f"The key {self._key} must hold numbers or text and no nulls.")
        if self._position is not None and len(keys) and keys[0].as_py() == self._position["key"]:
            raise came_again(self._key)
        if arrow("pyarrow.compute").count_distinct(keys).as_py() < len(keys):
            raise self._twice()

    def _twice(self) -> ConnectorError:
        return ConnectorError(f"The key {self._key} must be unique: a value stands twice.")


class SqlColumnRows(_Columns):
    """The whole result once, like `SqlRows`. Position: `{"row": n}` with an ORDER BY, none without.

    After an error the query is asked again, from the row reached on; without an ORDER BY there is no such row, and once
    rows went out the same error is raised again.
    """

    def __init__(self, options: SqlSourceOptions, database: Database, fetch: Fetch) -> None:
        super().__init__(options, database, fetch)
        self._ordered = ordered(options.query)
        self._batches: Generator[Batch] | None = None
        self._row = 0
        self._end = False
        self._failure: BaseException | None = None

    def open(self, position: Any) -> None:
        self._database.must_exist()
        self._row = 0 if position is None or not self._ordered else position_field(position, "row", int, "a query")
        skipped = self._skip(self._row)
        self._row = min(self._row, skipped)

    @property
    def position(self) -> Any:
        return {"row": self._row} if self._ordered else None

    def close(self) -> None:
        self._end = True
        self._let_go()
        super().close()

    def _more(self) -> Batch | None:
        if self._failure is not None:
            raise self._failure
        if self._end:
            return None
        try:
            if self._batches is None:
                self._skip(self._row)
                if self._batch is not None:
                    return self._batch.slice(self._given)
            return self._next()
        except BaseException as error:
            self._let_go()
            if self._row and not self._ordered:
                self._failure = error
            raise

    def _skip(self, rows: int) -> int:
        """Asks the query, and passes over so many rows; gives how many there were. The rest of a batch stays."""
        self._batch, self._given, skipped = None, 0, 0
        self._batches = self._fetch.whole()
        while skipped < rows and (batch := self._next()) is not None:
            self._batch, self._given = batch, min(rows - skipped, len(batch))
            skipped += self._given
        return skipped

    def _next(self) -> Batch | None:
        return next((batch for batch in self._batches or () if len(batch)), None)

    def _let_go(self) -> None:
        """Ends the query; one that failed cannot go on, and would only say that it is over."""
        batches, self._batches = self._batches, None
        if batches is not None:
            batches.close()
        self._fetch.close()

    def _passed(self, batch: Batch) -> None:
        self._row += len(batch)
