"""Which fields of a record go into a table, and in which order.

Owns the cut from records to rows, for every sink that writes columns. Refuses to convert values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, cast

from teleporter_lab.errors import BadRecord

Row = tuple[Any, ...]


class Columns:
    """Cuts records to rows of `names`. `exact`: a record with another field is refused; otherwise it is left out."""

    def __init__(self, names: Sequence[str], target: str, *, exact: bool) -> None:
        self.names = tuple(names)
        self.exact = exact
        self._target = target
        self._cut = _cutter(self.names)

    @classmethod
    def of(cls, record: Any, target: str) -> Columns:
        """Just the fields of `record`. Raises BadRecord when it has none."""
        names = _mapping(record, target)
        if not names:
            raise BadRecord(f"A record for {target} has no fields at all.")
        return cls(tuple(names), target, exact=True)

    def rows(self, records: Sequence[Any]) -> list[Row]:
        """A row for each record. Raises BadRecord naming the field that is missing or too much."""
        try:
            rows = list(map(self._cut, records))
            if self.exact and set(map(len, records)) - {len(self.names)}:
                raise KeyError
        except (KeyError, TypeError, IndexError):
            raise self._bad(records) from None
        return rows

    def _bad(self, records: Sequence[Any]) -> BadRecord:
        wanted = set(self.names)
        for number, record in enumerate(records, 1):
            found = set(_mapping(record, self._target))
            for name in self.names:
                if name not in found:
                    return BadRecord(f"Record {number} of the batch for {self._target} lacks the field {name}.")
            if self.exact and found != wanted:
                name = sorted(map(str, found - wanted))[0]
                return BadRecord(
                    f"Record {number} of the batch for {self._target} has the field {name}, which the first record had "
                    "not; list the `columns` to write."
                )
        raise AssertionError("only called for a batch that holds a bad record")


def _mapping(record: Any, target: str) -> Mapping[str, Any]:
    if isinstance(record, Mapping):
        return cast("Mapping[str, Any]", record)
    raise BadRecord(f"A record for {target} must be a mapping of fields, not a {type(record).__name__}.")


def _cutter(names: tuple[str, ...]) -> Callable[[Any], Row]:
    if len(names) == 1:
        (only,) = names
        return lambda record: (record[only],)
    return cast("Callable[[Any], Row]", itemgetter(*names))
