"""Writing Parquet files.

Owns that each batch becomes complete files of its own: a Parquet file can be read only once its last bytes are
written, and a batch counts as written when it can be read. `part_files` names them, `parquet_shape` says which columns
they have.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.parquet_file import write_parquet
from teleporter_lab.connectors.parquet_shape import ParquetShape
from teleporter_lab.connectors.part_files import PartFiles
from teleporter_lab.connectors.record_batches import arrow, is_batch, misfits, of_batch
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.parquet import ParquetSinkOptions


class ParquetSink:
    """Writes each batch, a list of records or columns, as one file or, beyond `rowsPerFile`, several.

    All files have the columns that `parquet_shape` says.
    """

    columnar = True

    def __init__(self, options: ParquetSinkOptions) -> None:
        self._options = options
        self._parts = PartFiles(options.path, options.prefix, "parquet")
        self._shape = ParquetShape(options)
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
        self._shape.know(schema)

    def write(self, records: Sequence[Any]) -> None:
        if is_batch(records):
            of_batch(records, self._options.path)
        if not len(records):
            return
        columns, batch = self._shape.batch(records)
        size = self._options.rows_per_file
        self._files += self._parts.add(
            partial(write_parquet, [batch.slice(start, size)], batch.schema, options=self._options)
            for start in range(0, len(batch), size)
        )
        self._shape.keep(columns, batch.schema)
        self._records += len(batch)

    def close(self) -> None:
        self._parts.close()

    def statistics(self) -> dict[str, int]:
        """Records and files written since it was made."""
        return {"records": self._records, "files": self._files}
