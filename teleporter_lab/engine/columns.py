"""The one door of the engine to pyarrow, opened when a stream carries columns.

Owns what a RecordBatch cannot do by itself: be joined with others, compute new columns, be made of rows. Everything
else (its length, slices, filters) it is asked directly, so that columns take the way of rows through the same stages.
The engine imports the standard library only; pyarrow is loaded here, on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


class ColumnsMismatch(TypeError):
    """Pieces that cannot travel as one chunk: rows and columns, or columns of different schemas."""


def arrow(module: str = "pyarrow") -> ModuleType:
    """pyarrow or one of its modules. Raises ModuleNotFoundError that says what to install."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Columns need pyarrow: pip install 'teleporter-lab[arrow]'.", name=error.name
        ) from error


def joined(parts: Sequence[Any]) -> Any:
    """The data of several chunks as one: lists as a list, batches as a batch of the schema of the first.

    Raises ColumnsMismatch for rows beside columns, and for batches of different schemas.
    """
    if all(type(part) is list for part in parts):
        return [element for part in cast("Sequence[list[Any]]", parts) for element in part]
    if any(type(part) is list for part in parts):
        raise ColumnsMismatch("Rows and columns meet here: put to_batches() or to_rows() above one of them.")
    pyarrow: Any = arrow()
    try:
        return pyarrow.concat_batches(parts)
    except pyarrow.ArrowInvalid as error:
        raise ColumnsMismatch(f"Batches of different schemas meet here: {error}") from error
