"""Which fields of a record go into a table, and in which order.

Owns the cut from records to rows, for every sink that writes columns. Refuses to convert values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, cast

from teleporter_lab.errors import BadRecord

Row = tuple[Any, ...]


class Columns:
    """Cuts records to rows of `names`. `exact`: a record with another field is refused; otherwise it is left out.

    Records are mappings, or msgspec Structs; those of a batch are all of one kind.
    """

    def __init__(self, names: Sequence[str], target: str, *, exact: bool) -> None:
        self.names = tuple(names)
        self.exact = exact
        self._target = target
        self._cut = _cutter(self.names)

    @classmethod
    def of(cls, record: Any, target: str) -> Columns:
        """Just the fields of `record`. Raises BadRecord when it has none."""
        names = _fields(record, target, 0)
        if not names:
            raise BadRecord(f"A record for {target} has no fields at all.", index=0)
        return cls(names, target, exact=True)

    def rows(self, records: Sequence[Any]) -> list[Row]:
        """A row for each record. Raises BadRecord naming the field that is missing or too much."""
        if _is_struct(records[0]):
            return list(zip(*self._cells(attrgetter, records), strict=True))
        try:
            rows = list(map(self._cut, records))
            if self.exact and set(map(len, records)) - {len(self.names)}:
                raise KeyError
        except (KeyError, TypeError, IndexError):
            raise self._bad(records) from None
        return rows

    def cells(self, records: Sequence[Any]) -> list[list[Any]]:
        """The values of each column. Raises BadRecord naming the field that is missing or too much."""
        return self._cells(attrgetter if _is_struct(records[0]) else itemgetter, records)

    def _cells(self, getter: Callable[[str], Callable[[Any], Any]], records: Sequence[Any]) -> list[list[Any]]:
        try:
            cells = [list(map(getter(name), records)) for name in self.names]
            if self.exact and set(map(_size_of(records[0]), records)) - {len(self.names)}:
                raise KeyError
        except (AttributeError, KeyError, TypeError, IndexError):
            raise self._bad(records) from None
        return cells

    def _bad(self, records: Sequence[Any]) -> BadRecord:
        wanted = set(self.names)
        for at, record in enumerate(records):
            found = set(_fields(record, self._target, at))
            for name in self.names:
                if name not in found:
                    said = f"Record {at + 1} of the batch for {self._target} lacks the field {name}."
                    return BadRecord(said, index=at)
            if self.exact and found != wanted:
                name = sorted(map(str, found - wanted))[0]
                said = (
                    f"Record {at + 1} of the batch for {self._target} has the field {name}, which the first record had "
                    "not; list the `columns` to write."
                )
                return BadRecord(said, index=at)
        return BadRecord(f"The batch for {self._target} has mappings and Structs; write one kind of record.")


def _fields(record: Any, target: str, at: int) -> Sequence[str]:
    if isinstance(record, Mapping):
        return tuple(cast("Mapping[str, Any]", record))
    if _is_struct(record):
        return record.__struct_fields__
    raise BadRecord(f"A record for {target} must be a mapping of fields, not a {type(record).__name__}.", index=at)


def _is_struct(record: Any) -> bool:
    return hasattr(record, "__struct_fields__")


def _size_of(record: Any) -> Callable[[Any], int]:
    return (lambda each: len(each.__struct_fields__)) if _is_struct(record) else len


def _cutter(names: tuple[str, ...]) -> Callable[[Any], Row]:
    if len(names) == 1:
        (only,) = names
        return lambda record: (record[only],)
    return cast("Callable[[Any], Row]", itemgetter(*names))
