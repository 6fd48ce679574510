"""Columns at the ends of a stream: pyarrow RecordBatches.

Owns the connectors' door to pyarrow, the Arrow types behind the type names of the forms, and the ways from rows to a
batch and back. Refuses to know a format.
"""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.connectors.base import require
from teleporter_lab.connectors.columns import Columns
from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from teleporter_lab.connectors.csv_values import TypeName

Batch = Any
"""A pyarrow RecordBatch: some rows of some columns."""

Schema = Any
"""A pyarrow Schema: the names and types of columns."""

DECIMAL = (38, 18)
"""Digits of a decimal in columns, and how many of them stand behind the point."""


class Misfit(ValueError):
    """A value that its column cannot hold. `row` counts from 0; the text is the rest of a sentence."""

    def __init__(self, row: int, field: Any, value: Any, why: str) -> None:
        super().__init__(f"the column {field.name} holds {field.type}, not {str(value)[:100]!r}: {why}")
        self.row = row


def arrow(module: str = "pyarrow") -> Any:
    """pyarrow or one of its modules. Raises MissingDriver, which says how to install it."""
    return require(module, "arrow")


def is_batch(records: Any) -> bool:
    """Whether these are columns and not a sequence of records."""
    return hasattr(records, "num_columns")


class Piece:
    """Rows of a file as columns, given out bit by bit, and the byte behind each of them."""

    def __init__(self, batch: Batch = None, ends: Sequence[int] = ()) -> None:
        self._batch = batch
        self._ends = ends
        self._given = 0

    @property
    def left(self) -> int:
        """Rows not given yet."""
        return len(self._ends) - self._given

    def take(self, n: int) -> Batch:
        """The next rows, `n` at most."""
        batch = self._batch.slice(self._given, n)
        self._given += len(batch)
        return batch

    def mark(self, position: dict[str, Any]) -> dict[str, Any]:
        """`position` just behind the piece, moved back to the last row given."""
        return {**position, "offset": self._ends[self._given - 1]} if self._given and self.left else position


def misfits() -> tuple[type[Exception], ...]:
    """What pyarrow raises on values that it cannot read, keep or convert."""
    return (arrow().ArrowException, ValueError, TypeError, OverflowError, ArithmeticError)


def arrow_type(kind: TypeName, zone: str | None = None) -> Any:
    """The Arrow type behind a type name; `zone` makes a `datetime` one of instants."""
    pa = arrow()
    match kind:
        case "int":
            return pa.int64()
        case "float":
            return pa.float64()
        case "bool":
            return pa.bool_()
        case "date":
            return pa.date32()
        case "datetime":
            return pa.timestamp("us", zone)
        case "decimal":
            return pa.decimal128(*DECIMAL)
        case _:
            return pa.string()


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    """A mapping for each row. Nanoseconds become microseconds, as Python has no smaller unit.

    Raises BadRecord for a value that Python has no form for, such as a time beyond the year 9999.
    """
    try:
        return _in_python_units(batch).to_pylist()
    except misfits() as error:
        raise _unheld(batch, error) from error


def cells_of(batch: Batch) -> list[list[Any]]:
    """The values of each column as Python has them. Raises BadRecord like `rows_of`."""
    try:
        return [column.to_pylist() for column in _in_python_units(batch).columns]
    except misfits() as error:
        raise _unheld(batch, error) from error


def batch_of(columns: Iterable[Sequence[Any]], schema: Schema) -> Batch:
    """A batch of `columns` of values. Raises Misfit on a value that its column cannot hold without a loss."""
    pa, wrong, arrays = arrow(), misfits(), list[Any]()
    for field, values in zip(schema, columns, strict=True):
        if _may_lose(field.type, values):
            _refuse_losses(field, values)
        try:
            arrays.append(pa.array(values, field.type))
        except wrong:
            at, error = _first_misfit(values, field.type, wrong)
            raise Misfit(at, field, values[at], str(error).splitlines()[0].rstrip(".")) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def one_of(table: Any, what: str) -> Batch:
    """The rows of a table as one batch. Raises ConnectorError when one cannot hold them."""
    batches = table.combine_chunks().to_batches()
    if len(batches) > 1:
        raise ConnectorError(f"A page of {what} has more text than one batch can hold; give it a smaller `pageSize`.")
    return batches[0] if batches else arrow().RecordBatch.from_pylist([], schema=table.schema)


def of_batch(batch: Batch, target: str) -> Columns:
    """Just the columns of `batch`. Raises BadRecord when it has none."""
    if not batch.num_columns:
        raise BadRecord(f"A batch for {target} has no columns at all.")
    return Columns(batch.schema.names, target, exact=True)


def selected(batch: Batch, columns: Columns, target: str) -> Batch:
    """The columns that a sink writes, in their order. Raises BadRecord for one that is missing or too much."""
    names: list[str] = batch.schema.names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRecord(f"The batch for {target} has the column {twice} twice.")
    for name in columns.names:
        if name not in names:
            raise BadRecord(f"The batch for {target} lacks the column {name}.")
    if columns.exact and len(names) > len(columns.names):
        extra = next(name for name in names if name not in columns.names)
        raise BadRecord(
            f"The batch for {target} has the column {extra}, which the first one had not; list the `columns` to write."
        )
    return batch.select(list(columns.names))


def inferred(values: Sequence[Any]) -> Any:
    """The Arrow type that these values have, with room for others of their kind: instants in UTC, wide decimals.

    Null when there is none. Raises ValueError when they have several types.
    """
    try:
        return _widened(arrow().array(values).type)
    except misfits() as error:
        raise ValueError(str(error).splitlines()[0].rstrip(".")) from error


def fitted(batch: Batch, schema: Schema, what: str) -> Batch:
    """`what`, a batch, with the types of `schema`, which has its columns. Raises BadRecord where something is lost."""
    if batch.schema.equals(schema):
        return batch
    columns = [_cast(column, field, what) for column, field in zip(batch.columns, schema, strict=True)]
    return arrow().RecordBatch.from_arrays(columns, schema=schema)


def schema_of(columns: Mapping[str, Any]) -> Schema:
    """A schema of these names and types, where a type that is null becomes text."""
    return arrow().schema([(name, _without_null(kind)) for name, kind in columns.items()])


def shown(schema: Schema) -> str:
    """The columns of a schema with their types, for a sentence."""
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _without_null(kind: Any) -> Any:
    pa = arrow()
    return pa.string() if pa.types.is_null(kind) else _rebuilt(kind, _without_null)


def _widened(kind: Any) -> Any:
    pa = arrow()
    if pa.types.is_decimal(kind):
        return pa.decimal128(*DECIMAL)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    return _rebuilt(kind, _widened)


def _rebuilt(kind: Any, change: Callable[[Any], Any]) -> Any:
    """A nested type with `change` done to the types inside."""
    pa = arrow()
    if pa.types.is_list(kind):
        return pa.list_(change(kind.value_type))
    return pa.struct([(field.name, change(field.type)) for field in kind]) if pa.types.is_struct(kind) else kind


def _cast(column: Any, field: Any, what: str) -> Any:
    have, want = column.type, field.type
    types = arrow().types
    try:
        if have.equals(want):
            return column
        if types.is_nested(have) and not types.is_dictionary(have):
            raise TypeError(f"it cannot be made one of {want}")
        if types.is_timestamp(have) and types.is_timestamp(want) and (have.tz is None) != (want.tz is None):
            raise TypeError(f"it has {'no zone' if have.tz is None else 'a zone'}, unlike {want}")
        kept = column.cast(want)
        if types.is_timestamp(have) and types.is_date(want) and not kept.cast(have).equals(column):
            raise TypeError("it has times of day")
        return kept
    except misfits() as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise BadRecord(f"The column {field.name} of {what}, {have}, does not fit: {reason}.") from error


def _refuse_losses(field: Any, values: Sequence[Any]) -> None:
    """Raises Misfit where pyarrow would convert a value and leave out a part of it without a word."""
    for row, value in enumerate(values):
        why = _lost(field.type, value)
        if why:
            raise Misfit(row, field, value, why)


def _may_lose(kind: Any, values: Sequence[Any]) -> bool:
    types = arrow().types
    if types.is_integer(kind):
        return not set(map(type, values)) <= {int, NoneType}
    return types.is_nested(kind) or types.is_temporal(kind)


def _lost(kind: Any, value: Any) -> str:
    """What of `value` a column of that type would lose; empty when nothing."""
    types = arrow().types
    if value is None:
        return ""
    if types.is_nested(kind):
        return _lost_inside(kind, value)
    if types.is_integer(kind):
        return "it has a fraction" if isinstance(value, float | Decimal) and value % 1 else ""
    if isinstance(value, int | float):
        return "it is a number" if types.is_temporal(kind) else ""
    if isinstance(value, datetime) and types.is_date(kind):
        return "it has a time of day"
    if isinstance(value, datetime | time) and getattr(kind, "unit", "us") in ("s", "ms") and value.microsecond:
        return f"it has parts of a second that {kind} has not"
    if isinstance(value, datetime) and types.is_timestamp(kind) and (value.tzinfo is None) != (kind.tz is None):
        return "it has a zone offset" if kind.tz is None else "it has no zone offset"
    return ""


def _lost_inside(kind: Any, value: Any) -> str:
    types = arrow().types
    if isinstance(value, dict) and types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        items = cast("dict[Any, Any]", value).items()
        return next((why for name, each in items if (why := _lost_field(fields, name, each))), "")
    if isinstance(value, list | tuple) and (types.is_list(kind) or types.is_large_list(kind)):
        each = cast("Sequence[Any]", value)
        return next((why for one in each if (why := _lost(kind.value_type, one))), "")
    return ""


def _lost_field(fields: dict[str, Any], name: Any, value: Any) -> str:
    return _lost(fields[name], value) if name in fields else f"it has the field {name} inside"


def _first_misfit(values: Sequence[Any], kind: Any, wrong: tuple[type[Exception], ...]) -> tuple[int, Exception]:
    pa = arrow()
    for at, value in enumerate(values):
        try:
            pa.array([value], kind)
        except wrong as error:
            return at, error
    raise AssertionError("only called for values of which one does not fit")


def _unheld(batch: Batch, error: Exception) -> BadRecord:
    """What to say of a batch with a value that Python cannot hold."""
    wrong = misfits()
    for name, column in zip(batch.schema.names, _in_python_units(batch).columns, strict=True):
        for value in column:
            try:
                value.as_py()
            except wrong as found:
                reason = str(found).splitlines()[0].rstrip(".")
                return BadRecord(f"The column {name}, {column.type}, has a value that Python cannot hold: {reason}.")
    return BadRecord(f"A batch has values that Python cannot hold: {str(error).splitlines()[0].rstrip('.')}.")


def _in_python_units(batch: Batch) -> Batch:
    pa = arrow()
    schema = pa.schema([field.with_type(_python_unit(field.type)) for field in batch.schema])
    return batch if schema.equals(batch.schema) else batch.cast(schema, safe=False)


def _python_unit(kind: Any) -> Any:
    pa = arrow()
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    return pa.time64("us") if pa.types.is_time64(kind) and kind.unit == "ns" else kind
