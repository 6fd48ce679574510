"""Writing Parquet files.

Owns the columns that all files of a sink share. A Parquet file can be read only once its last bytes are written, and a
batch counts as written when it can be read: so each batch becomes complete files of its own, which `part_files` names.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.columns import Columns
from teleporter_lab.connectors.part_files import PartFiles
from teleporter_lab.connectors.record_batches import (
    Misfit,
    arrow,
    arrow_type,
    batch_of,
    fitted,
    inferred,
    is_batch,
    misfits,
    of_batch,
    schema_of,
    selected,
)
from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from teleporter_lab.connectors.parquet import ParquetSinkOptions
    from teleporter_lab.connectors.record_batches import Batch, Schema

GROUP = 131_072
"""Rows of a row group at most."""


class ParquetSink:
    """Writes each batch, a list of records or columns, as one file or, beyond `rowsPerFile`, several.

    The columns are those configured, else those of the files in the folder, else those of the first batch; in the last
    two cases a record with another field is refused. Types: likewise, column by column.
    """

    columnar = True

    def __init__(self, options: ParquetSinkOptions) -> None:
        self._options = options
        self._parts = PartFiles(options.path, options.prefix, "parquet")
        self._columns = Columns(options.columns, options.path, exact=False) if options.columns else None
        self._known: Mapping[str, Any] = {}
        self._schema: Schema = None
        self._records = 0
        self._files = 0

    def open(self) -> None:
        there = self._parts.open()
        if not there:
            return
        try:
            schema = arrow("pyarrow.parquet").read_schema(there[-1])
        except (*misfits(), OSError) as error:
            self._parts.close()
            raise ConnectorError(f"The file {there[-1]} is no Parquet file; move it away.") from error
        self._known = {field.name: field.type for field in schema}
        self._columns = self._columns or Columns(schema.names, self._options.path, exact=True)

    def write(self, records: Sequence[Any]) -> None:
        path = self._options.path
        made = is_batch(records)
        found = of_batch(records, path) if made else None
        if not len(records):
            return
        columns = self._columns or found or Columns.of(records[0], path)
        batch = self._of_batch(records, columns) if made else self._of_rows(records, columns)
        size = self._options.rows_per_file
        self._files += self._parts.add(
            partial(self._store, batch.slice(start, size)) for start in range(0, len(batch), size)
        )
        self._columns, self._schema = columns, batch.schema
        self._records += len(batch)

    def close(self) -> None:
        self._parts.close()

    def statistics(self) -> dict[str, int]:
        """Records and files written since it was made."""
        return {"records": self._records, "files": self._files}

    def _of_batch(self, records: Batch, columns: Columns) -> Batch:
        batch = selected(records, columns, self._options.path)
        if self._schema is None:
            kinds = {field.name: self._kind(field.name, (), field.type) for field in batch.schema}
            return fitted(batch, schema_of(kinds), f"the batch for {self._options.path}")
        return fitted(batch, self._schema, f"the batch for {self._options.path}")

    def _of_rows(self, records: Sequence[Any], columns: Columns) -> Batch:
        values = list(zip(*columns.rows(records), strict=True))
        schema = self._schema
        if schema is None:
            schema = schema_of({name: self._kind(name, each) for name, each in zip(columns.names, values, strict=True)})
        try:
            return batch_of(values, schema)
        except Misfit as misfit:
            raise BadRecord(f"Record {misfit.row + 1} of the batch for {self._options.path}: {misfit}.") from misfit

    def _kind(self, name: str, values: Sequence[Any], found: Any = None) -> Any:
        """The type of a column: the one configured, of the files there, or found in the first batch."""
        given = self._options.types.get(name)
        if given is not None:
            zone = getattr(found, "tz", None) or next(
                (t for each in values if (t := getattr(each, "tzinfo", None))), None
            )
            return arrow_type(given, "UTC" if given == "datetime" and zone else None)
        if name in self._known:
            return self._known[name]
        try:
            return inferred(values) if found is None else found
        except ValueError as error:
            raise BadRecord(
                f"The field {name} of the batch for {self._options.path} has no one type: {error}."
            ) from error

    def _store(self, batch: Batch, path: str) -> None:
        pa, parquet = arrow(), arrow("pyarrow.parquet")
        try:
            with parquet.ParquetWriter(path, batch.schema, compression=self._options.compression) as writer:
                writer.write_table(pa.Table.from_batches([batch]), GROUP)
        except misfits() as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise BadRecord(f"The batch for {self._options.path} cannot be kept in Parquet: {reason}.") from error
