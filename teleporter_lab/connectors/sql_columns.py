"""Reading the rows of a query as columns.

Owns positions and what is given when, which are those of `sql_source`: either form goes on from the other's position.
Where batches come from is behind `Fetch`: the driver's rows (`sql_rows_to_columns`), or ADBC (`sql_adbc`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from teleporter_lab.connectors.base import position_field
from teleporter_lab.connectors.record_batches import arrow
from teleporter_lab.connectors.sql_source import key_of, ordered
from teleporter_lab.errors import ConnectorError

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
        """Up to `count` rows behind the key `after` (None: from the start), in the order of the key."""
        ...

    def whole(self) -> Generator[Batch]:
        """All rows of the query, in batches. Raises, at the latest with the first batch, what the database says."""
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
    """Pages behind a key, like `SqlPages`. Position: `{"key": value}`, exact; memory: one page."""

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
        after = None if self._position is None else self._position["key"]
        page = self._fetch.page(after, self._size + 1)
        self._check(page)
        self._end = len(page) <= self._size
        return page.slice(0, self._size) if len(page) else None

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
        if arrow("pyarrow.compute").count_distinct(keys).as_py() < len(keys):
            raise ConnectorError(f"The key {self._key} must be unique: a value stands twice.")


class SqlColumnRows(_Columns):
    """The whole result once, like `SqlRows`. Position: `{"row": n}` with an ORDER BY, none without."""

    def __init__(self, options: SqlSourceOptions, database: Database, fetch: Fetch) -> None:
        super().__init__(options, database, fetch)
        self._ordered = ordered(options.query)
        self._batches: Generator[Batch] | None = None
        self._row = 0

    def open(self, position: Any) -> None:
        self._database.must_exist()
        skip = 0 if position is None or not self._ordered else position_field(position, "row", int, "a query")
        self._batches = self._fetch.whole()
        self._row = skip
        while skip and (batch := self._more()) is not None:
            self._batch, self._given = batch, min(skip, len(batch))
            skip -= self._given
        self._row -= skip

    @property
    def position(self) -> Any:
        return {"row": self._row} if self._ordered else None

    def close(self) -> None:
        if self._batches is not None:
            self._batches.close()
            self._batches = None
        super().close()

    def _more(self) -> Batch | None:
        return next((batch for batch in self._batches or () if len(batch)), None)

    def _passed(self, batch: Batch) -> None:
        self._row += len(batch)
