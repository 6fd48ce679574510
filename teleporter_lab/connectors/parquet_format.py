"""Parquet for a rolled sink: batches are kept as Arrow streams until the file is complete.

Owns that way. A Parquet file can be read only once its last bytes are written, so an unfinished one cannot be gone on
with after a crash. A batch therefore becomes an Arrow IPC stream of its own in the unfinished file, behind the ones
before it; when the file is complete they are read one after another and become row groups of a usual size.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.parquet_file import write_parquet
from teleporter_lab.connectors.parquet_shape import ParquetShape
from teleporter_lab.connectors.record_batches import arrow
from teleporter_lab.connectors.rollers.formats import Draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from teleporter_lab.connectors.parquet import ParquetSinkOptions
    from teleporter_lab.connectors.record_batches import Batch, Schema


class ParquetFormat:
    """Takes lists of records and batches of columns."""

    name = "parquet"
    columnar = True

    def __init__(self, options: ParquetSinkOptions) -> None:
        self._options = options
        self._shape = ParquetShape(options)
        self._tried: Schema = None
        """A schema that is known to be one for Parquet."""

    def resumed(self, form: str) -> bool:
        schema = arrow("pyarrow.ipc").read_schema(arrow().py_buffer(b64decode(form)))
        self._shape.know(schema)
        return self._shape.fits(schema)

    def draft(self, records: Sequence[Any]) -> Draft:
        columns, batch = self._shape.batch(records)
        self._try(batch)
        form = b64encode(batch.schema.serialize().to_pybytes()).decode()
        return Draft(_streamed(batch), len(batch), form=form, shape=(columns, batch.schema))

    def stored(self, draft: Draft) -> None:
        self._shape.keep(*draft.shape)
        self._tried = draft.shape[1]

    def convert(self, part: Path, into: Path) -> None:
        """Makes a Parquet file of the streams in `part`."""
        with arrow().OSFile(str(part)) as file:
            batches = _batches(file)
            first = next(batches)
            write_parquet(_with(first, batches), first.schema, str(into), self._options)

    def _try(self, batch: Batch) -> None:
        """Raises BadRecord for what Arrow can keep and Parquet cannot: better now than when the file is complete."""
        schema = batch.schema
        if self._tried is None or not schema.equals(self._tried) or "timestamp[s" in str(schema):
            write_parquet([batch], schema, arrow().BufferOutputStream(), self._options)


def _streamed(batch: Batch) -> bytes:
    ipc = arrow("pyarrow.ipc")
    with arrow().BufferOutputStream() as out:
        with ipc.new_stream(out, batch.schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_batch(batch)
        return out.getvalue().to_pybytes()


def _batches(file: Any) -> Iterator[Batch]:
    ipc, size = arrow("pyarrow.ipc"), file.size()
    while file.tell() < size:
        yield from ipc.open_stream(file)


def _with(first: Batch, others: Iterator[Batch]) -> Iterator[Batch]:
    yield first
    yield from others
