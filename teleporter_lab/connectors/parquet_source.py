"""Reading Parquet files.

Owns the walk over files, row groups and the rows in them, and the position in it. Refuses folders and nested column
names: a column is read whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.base import position_field
from teleporter_lab.connectors.files_reader import find_from
from teleporter_lab.connectors.lines import unreachable
from teleporter_lab.connectors.record_batches import arrow, misfits, rows_of, shown
from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from teleporter_lab.connectors.parquet import Condition, ParquetSourceOptions
    from teleporter_lab.connectors.record_batches import Batch, Schema

ROWS = 32_768
"""Rows decoded at a time, whatever is asked for, so that memory is bounded."""

WHAT = "a Parquet file"

COMPARE = {"==": "__eq__", "!=": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}


class ParquetColumns:
    """Gives the rows of Parquet files as RecordBatches.

    Position: `{"file", "rowGroup", "row"}` just behind the last row given, counted from 0 in the row group; exact after
    every row. The files of a pattern have the same columns. Memory: `ROWS` rows of the columns read.
    """

    columnar = True

    def __init__(self, options: ParquetSourceOptions) -> None:
        self._options = options
        self._files: list[str] = []
        self._file: _File | None = None
        self._schema: Schema = None
        self._position: dict[str, Any] | None = None
        self._records = 0

    def open(self, position: Any) -> None:
        self._files, resumed = find_from(self._options.path, position)
        start = [position_field(position, name, int, WHAT) for name in ("rowGroup", "row")] if resumed else [0, 0]
        self._position = position
        self._next(*start)

    def read(self, n: int) -> Any:
        while (file := self._file or self._next(0, 0)) is not None:
            batch = file.ahead(n)
            if batch is not None:
                return self._first(file, batch)
            self._file = None
            file.close()
        return None

    def given(self, batch: Batch) -> Any:
        """The form in which rows are given. Raises BadRecord when one of them cannot have it."""
        return batch

    @property
    def position(self) -> Any:
        return self._position

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._files = []

    def statistics(self) -> dict[str, int]:
        """Rows given since `open`, and files not begun yet."""
        return {"records": self._records, "files_left": len(self._files)}

    def _first(self, file: _File, batch: Batch) -> Any:
        """The rows of `batch`, or some before its first bad one. Raises BadRecord when that is first, and passes it."""
        count = len(batch)
        while True:
            try:
                records = self.given(batch.slice(0, count))
            except BadRecord as error:
                if count > 1:
                    count //= 2
                    continue
                file.passed(1)
                raise BadRecord(f"Row {file.row} of row group {file.group} of {file.path}: {error.message}") from error
            file.passed(count)
            self._position = {"file": file.path, "rowGroup": file.group, "row": file.row}
            self._records += count
            return records

    def _next(self, group: int, row: int) -> _File | None:
        """Opens the next file; a file that cannot be opened stays the next one."""
        if self._files:
            file = _File(self._files[0], self._options, group, row)
            if self._schema is not None and not file.schema.equals(self._schema):
                file.close()
                raise ConnectorError(
                    f"The file {file.path} has other columns than the one before it, {shown(file.schema)} and not "
                    f"{shown(self._schema)}; read files with the same columns."
                )
            self._file, self._schema = file, file.schema
            self._files.pop(0)
        return self._file


class ParquetRows(ParquetColumns):
    """Gives the rows of Parquet files as dicts, at the same positions."""

    columnar = False

    def given(self, batch: Batch) -> list[dict[str, Any]]:
        return rows_of(batch)


class _File:
    """One open file, from a row on. `group` and `row` are just behind the last row given."""

    def __init__(self, path: str, options: ParquetSourceOptions, group: int, row: int) -> None:
        self.path = path
        self.group, self.row = group, row
        self._file = _opened(path)
        try:
            self._check_place()
            self.schema = _chosen(self._file.schema_arrow, options.columns, path)
            if not self.schema.names:
                raise ConnectorError(f"The file {path} has no columns, and without them there are no rows to read.")
            self._expression = _expression(options.filter, self._file.schema_arrow, path)
        except ConnectorError:
            self._file.close()
            raise
        self._names = {*self.schema.names, *(each.column for each in options.filter)}
        self._batches = self._decoded(group, row)
        self._batch: Batch = None
        self._in_group = group
        self._places: Sequence[Any] = ()
        self._given = 0

    def ahead(self, n: int) -> Batch | None:
        """The next rows, `n` at most; None at the end. Raises ConnectorError for a file that is damaged."""
        while self._given >= len(self._places):
            found = self._more()
            if found is None:
                return None
            self._in_group, self._batch, self._places = found
            self._given = 0
        return self._batch.slice(self._given, n)

    def passed(self, count: int) -> None:
        """Goes on behind the first `count` of the rows that `ahead` gave."""
        self._given += count
        self.group, self.row = self._in_group, int(self._places[self._given - 1]) + 1

    def _more(self) -> tuple[int, Batch, Sequence[Any]] | None:
        """What is decoded next. After an error the next call decodes again, from behind the last row given."""
        try:
            return next(self._batches, None)
        except BaseException as error:
            self._batches = self._decoded(self.group, self.row)  # the one that raised would only say that it is over
            if isinstance(error, misfits()) or (isinstance(error, OSError) and error.errno is None):
                raise ConnectorError(f"The file {self.path} cannot be read: {_first_line(error)}.") from error
            if isinstance(error, OSError):
                raise unreachable(self.path, error) from error
            raise

    def close(self) -> None:
        self._batches.close()
        self._file.close()

    def _check_place(self) -> None:
        groups = self._file.num_row_groups
        rows = self._file.metadata.row_group(self.group).num_rows if self.group < groups else 0
        if (self.group, self.row) > (groups, 0) or self.row > rows:
            raise ConnectorError(
                f"The file {self.path} has {groups} row groups and no row {self.row} in number {self.group}, which was "
                "reached before: it was replaced; reset the position to read it again."
            )

    def _decoded(self, first: int, skip: int) -> Generator[tuple[int, Batch, Sequence[Any]]]:
        """Row groups, batches of rows that pass the filter, and the place of each row in its group."""
        for group in self._wanted(first):
            at = 0
            for batch in self._file.iter_batches(ROWS, row_groups=[group], columns=sorted(self._names)):
                begin = max(0, (skip if group == first else 0) - at)
                if begin < len(batch):
                    for kept, places in self._kept(batch.slice(begin), at + begin):
                        yield group, kept, places
                at += len(batch)

    def _wanted(self, first: int) -> list[int]:
        """The row groups from `first` on in which the filter may find something."""
        groups = list(range(self._file.num_row_groups))[first:]
        if self._expression is None:
            return groups
        local = arrow("pyarrow.fs").LocalFileSystem()
        fragment = arrow("pyarrow.dataset").ParquetFileFormat().make_fragment(self.path, local)
        able = {each.row_groups[0].id for each in fragment.split_by_row_group(self._expression)}
        return [group for group in groups if group in able]

    def _kept(self, batch: Batch, at: int) -> Generator[tuple[Batch, Sequence[Any]]]:
        """The rows that pass the filter, and their places; `at` is that of the first."""
        if self._expression is None:
            yield self._cut(batch), range(at, at + len(batch))
            return
        pa = arrow()
        place = "row" + "_" * max(map(len, batch.schema.names))  # longer than any name, so none of them
        places = pa.array(range(at, at + len(batch)), pa.int64())
        table = pa.Table.from_batches([batch]).append_column(place, places)
        for part in table.filter(self._expression).to_batches():
            yield self._cut(part), part.column(place).to_pylist()

    def _cut(self, batch: Batch) -> Batch:
        columns = [batch.column(name) for name in self.schema.names]
        return arrow().RecordBatch.from_arrays(columns, schema=self.schema)


def _opened(path: str) -> Any:
    try:
        return arrow("pyarrow.parquet").ParquetFile(path)
    except misfits() as error:
        raise ConnectorError(f"The file {path} is no Parquet file: {_first_line(error)}.") from error
    except OSError as error:
        raise unreachable(path, error) from error


def _chosen(schema: Schema, names: list[str] | None, path: str) -> Schema:
    """The columns to read, without what other tools have noted beside them."""
    for name in names or schema.names:
        _must_have(schema, name, path)
    fields = [schema.field(name) for name in names or schema.names]
    return arrow().schema([field.remove_metadata() for field in fields])


def _must_have(schema: Schema, name: str, path: str) -> None:
    if name not in schema.names:
        raise ConnectorError(f"The file {path} has no column {name}; it has {', '.join(schema.names)}.")
    if schema.names.count(name) > 1:
        raise ConnectorError(f"The file {path} has the column {name} twice, so it is not clear which one is meant.")


def _expression(conditions: Sequence[Condition], schema: Schema, path: str) -> Any:
    """All conditions as one expression on columns; None when there is none."""
    whole = None
    for condition in conditions:
        _must_have(schema, condition.column, path)
        one = _comparison(condition, schema.field(condition.column).type)
        whole = one if whole is None else whole & one
    return whole


def _comparison(condition: Condition, kind: Any) -> Any:
    pa, column = arrow(), arrow("pyarrow.compute").field(condition.column)
    value: Any = condition.value
    try:
        if condition.is_ in ("in", "not in"):
            found = column.isin(pa.array(value).cast(kind))
            return found if condition.is_ == "in" else ~found & column.is_valid()
        right = pa.scalar(value).cast(kind)
    except misfits() as error:
        raise ConnectorError(
            f"The filter compares the column {condition.column}, {kind}, with {value!r}: {_first_line(error)}."
        ) from error
    return getattr(column, COMPARE[condition.is_])(right)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
