"""Which columns the Parquet files of a sink have, and of which types.

Owns the way from records, by rows or by columns, to a batch of those columns. Refuses to write one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.columns import Columns
from teleporter_lab.connectors.record_batches import (
    Misfit,
    arrow_type,
    batch_of,
    fitted,
    inferred,
    is_batch,
    of_batch,
    schema_of,
    selected,
)
from teleporter_lab.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from teleporter_lab.connectors.parquet import ParquetSinkOptions
    from teleporter_lab.connectors.record_batches import Batch, Schema


class ParquetShape:
    """The columns are those configured, else those of the files there, else those of the first batch; in the last two
    cases a record with another field is refused. Types: likewise, column by column."""

    def __init__(self, options: ParquetSinkOptions) -> None:
        self._options = options
        self._columns = Columns(options.columns, options.path, exact=False) if options.columns else None
        self._known: Mapping[str, Any] = {}
        self._schema: Schema = None

    def know(self, schema: Schema) -> None:
        """Takes over the columns and types of the files there, as far as none are configured."""
        self._known = {field.name: field.type for field in schema}
        self._columns = self._columns or Columns(schema.names, self._options.path, exact=True)

    def fits(self, schema: Schema) -> bool:
        """Whether files of that schema have the columns and types that are configured."""
        given = [name for name in self._options.types if name in schema.names]
        return self._options.columns in (None, schema.names) and all(
            schema.field(name).type == self._kind(name, (), schema.field(name).type) for name in given
        )

    def batch(self, records: Sequence[Any]) -> tuple[Columns, Batch]:
        """The columns, and some records of them, 1 at least. Changes nothing. Raises BadRecord."""
        path = self._options.path
        made = is_batch(records)
        columns = self._columns or (of_batch(records, path) if made else Columns.of(records[0], path))
        return columns, self._of_batch(records, columns) if made else self._of_rows(records, columns)

    def keep(self, columns: Columns, schema: Schema) -> None:
        """All that comes has these columns and types."""
        self._columns, self._schema = columns, schema

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
            said = f"Record {misfit.row + 1} of the batch for {self._options.path}: {misfit}."
            raise BadRecord(said, index=misfit.row) from misfit

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
