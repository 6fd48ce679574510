"""A batch of columns as the text of a CSV file.

Owns the form of values, which is that of the row sink wherever pyarrow can write it. Refuses what has no plain text:
nested and binary values, times, other quote signs; those take the way of rows.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.record_batches import arrow, misfits

if TYPE_CHECKING:
    from teleporter_lab.connectors.record_batches import Batch


def csv_text(batch: Batch, delimiter: str) -> bytes | None:
    """The rows in UTF-8, without a header, quoted by `"`; None when they must be written as rows.

    Differs from the row sink where one text of the batch needs quotes (then all texts, fractions and truth values get
    them), where one time of a column has a fraction of a second (then all have six digits), and in small numbers
    (0.00001, not 1e-05).
    """
    pa = arrow()
    if batch.num_columns == 1 or not delimiter.isascii():
        return None  # a single null would be a blank line, which is no row
    columns = [_text(column) for column in batch.columns]
    if any(column is None for column in columns):
        return None
    table = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    try:
        return _written(table, delimiter, "none")
    except misfits():
        return _written(table, delimiter, "needed")


def _written(batch: Batch, delimiter: str, quoting: str) -> bytes:
    csv, pa = arrow("pyarrow.csv"), arrow()
    options = csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style=quoting, batch_size=8192)
    with pa.BufferOutputStream() as out:
        csv.write_csv(batch, out, options)
        return out.getvalue().to_pybytes()


def _text(column: Any) -> Any:
    """A column that pyarrow writes as Python would; None when there is none."""
    types = arrow().types
    kind = column.type
    if types.is_integer(kind) or types.is_string(kind) or types.is_decimal(kind) or types.is_null(kind):
        return column
    if types.is_date32(kind) or types.is_large_string(kind):
        return column
    if types.is_boolean(kind):
        return arrow("pyarrow.compute").if_else(column, "True", "False")
    if types.is_floating(kind):
        return _float_text(column)
    return _time_text(column) if types.is_timestamp(kind) else None


def _float_text(column: Any) -> Any:
    """Numbers that are whole keep a point, so that they are read as what they are."""
    pa, compute = arrow(), arrow("pyarrow.compute")
    text = column.cast(pa.string())
    whole = compute.match_substring_regex(text, r"^-?\d+$")
    return compute.if_else(whole, compute.binary_join_element_wise(text, ".0", ""), text)


def _time_text(column: Any) -> Any:
    pa, compute = arrow(), arrow("pyarrow.compute")
    zone, plain = column.type.tz, column.cast(pa.timestamp("us"), safe=False)
    with suppress(pa.ArrowInvalid):  # there are fractions of a second
        plain = plain.cast(pa.timestamp("s"))
    return plain if zone is None else compute.binary_join_element_wise(plain.cast(pa.string()), "+00:00", "")
