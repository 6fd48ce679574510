"""One Parquet file, written row group by row group.

Owns the size of a row group and what is said of values that Parquet cannot keep. Refuses to know where records come
from.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.record_batches import arrow, misfits
from teleporter_lab.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from teleporter_lab.connectors.parquet import ParquetSinkOptions
    from teleporter_lab.connectors.record_batches import Batch, Schema

GROUP = 131_072
"""Rows of a row group at most."""

GROUP_BYTES = 128 << 20
"""Bytes of the columns of a row group, about; so much is in memory while a file is written."""


def write_parquet(batches: Iterable[Batch], schema: Schema, into: Any, options: ParquetSinkOptions) -> None:
    """Writes a file, to a path or a pyarrow stream. Raises OSError, BadRecord for what Parquet cannot keep."""
    pa, parquet = arrow(), arrow("pyarrow.parquet")
    with _kept(options.path), parquet.ParquetWriter(into, schema, compression=options.compression) as writer:
        for group in _groups(batches):
            writer.write_table(pa.Table.from_batches(group), GROUP)


def _groups(batches: Iterable[Batch]) -> Iterator[list[Batch]]:
    group: list[Batch] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
        if rows >= GROUP or size >= GROUP_BYTES:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group


@contextmanager
def _kept(path: str) -> Generator[None]:
    try:
        yield
    except misfits() as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise BadRecord(f"The batch for {path} cannot be kept in Parquet: {reason}.") from error
