"""The one door of the engine to pyarrow, opened when a stream carries columns.

Owns what a RecordBatch cannot do by itself: be joined with others, compute new columns, be made of rows. Everything
else (its length, slices, filters) it is asked directly, so that columns take the way of rows through the same stages.
The engine imports the standard library only; pyarrow is loaded here, on first use.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.failure import FAILURES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


class ColumnsMismatch(TypeError):
    """Pieces that cannot travel as one chunk: rows and columns, or columns of different schemas."""


@cache
def arrow(module: str = "pyarrow") -> ModuleType:
    """pyarrow or one of its modules. Raises ModuleNotFoundError that says what to install."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Columns need pyarrow: pip install 'teleporter-lab[arrow]'.", name=error.name
        ) from error


def is_rows(data: Any) -> bool:
    """Whether a chunk's data is a list of elements, not a batch of columns."""
    return type(data) is list


def rows_of(data: Any) -> list[Any]:
    """The elements as people see them: of a batch a dict each, or a batch of one row that Python cannot hold."""
    if is_rows(data):
        return data
    try:
        return data.to_pylist()
    except FAILURES:
        return [data] if len(data) == 1 else [rows_of(data[i : i + 1])[0] for i in range(len(data))]


def picked(data: Any, places: Sequence[int]) -> Any:
    """The elements at `places`: a list of a list, a batch of a batch."""
    return [data[i] for i in places] if is_rows(data) else data.take(arrow().array(places, "int64"))


def alike(one: Any, other: Any) -> bool:
    """Whether two pieces of data can be joined."""
    return (is_rows(one) and is_rows(other)) or (
        not is_rows(one) and not is_rows(other) and one.schema.equals(other.schema)
    )  # fmt: skip


def joined(parts: Sequence[Any]) -> Any:
    """The data of several chunks as one: lists as a list, batches as a batch of the schema of the first.

    Raises ColumnsMismatch for rows beside columns, and for batches of different schemas.
    """
    if all(type(part) is list for part in parts):
        data: list[Any] = []
        for part in parts:
            data += part
        return data
    if any(type(part) is list for part in parts):
        raise ColumnsMismatch("Rows and columns meet here: put to_batches() or to_rows() above one of them.")
    pyarrow: Any = arrow()
    try:
        return pyarrow.concat_batches(parts)
    except pyarrow.ArrowInvalid as error:
        raise ColumnsMismatch(f"Batches of different schemas meet here: {error}") from error


def one_batch(columns: Any) -> Any:
    """A RecordBatch of what a function gave: a RecordBatch as it is, a Table joined to one; None and 0 rows are None.

    Raises TypeError for anything else, ValueError for a table that does not fit into one batch.
    """
    if columns is None:
        return None
    pyarrow: Any = arrow()
    if isinstance(columns, pyarrow.RecordBatch):
        return columns if columns.num_rows else None
    if not isinstance(columns, pyarrow.Table):
        raise TypeError(f"A function for batches gives a RecordBatch, a Table or None, not {type(columns).__name__}.")
    batches = columns.combine_chunks().to_batches()
    if len(batches) > 1:
        raise ValueError(f"A table of {columns.num_rows} rows is too large for one batch; give fewer rows at a time.")
    return batches[0] if batches else None


def batches_of(columns: Any) -> list[Any]:
    """What a source of columns gives at a time, as batches with rows. Raises TypeError like `one_batch`."""
    found = columns.to_batches() if isinstance(columns, arrow().Table) else [columns]
    return [batch for batch in map(one_batch, found) if batch is not None]


def filtered(batch: Any, expression: Any) -> Any:
    """The rows for which `expression` is true; None when there are none."""
    acero: Any = arrow("pyarrow.acero")
    return _planned(batch, acero.Declaration("filter", acero.FilterNodeOptions(expression)))


def evaluate(batch: Any, expressions: Sequence[Any]) -> list[Any]:
    """A column for each expression over the columns of `batch`."""
    acero: Any = arrow("pyarrow.acero")
    names = [str(i) for i in range(len(expressions))]
    result = _planned(batch, acero.Declaration("project", acero.ProjectNodeOptions(list(expressions), names)))
    return list(result.columns)


def _planned(batch: Any, plan: Any) -> Any:
    """Runs a one-step plan in the calling thread: handing it to others costs more than most batches take."""
    pyarrow: Any = arrow()
    acero: Any = arrow("pyarrow.acero")
    table = pyarrow.Table.from_batches([batch])
    begin = acero.Declaration("table_source", acero.TableSourceNodeOptions(table))
    return one_batch(acero.Declaration.from_sequence([begin, plan]).to_table(use_threads=False))
