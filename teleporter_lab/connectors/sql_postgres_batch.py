"""A batch on its way to PostgreSQL: its columns in the form that the table takes, and the statement for them.

Owns what is done to the values. Refuses to connect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.sql_keys import Cells, Survivors, of_last_rows, survivors
from teleporter_lab.connectors.sql_postgres_statement import Way, statement
from teleporter_lab.connectors.sql_postgres_values import Misfit, carried, row_of, told_apart
from teleporter_lab.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.connectors.sql_dialect import Shape
    from teleporter_lab.connectors.sql_postgres_table import Table


@dataclass(frozen=True)
class Load:
    """A batch. `copied`: by COPY; `alone`: row by row, for the database finds keys equal that differ in Python."""

    shape: Shape
    ways: tuple[Way, ...]
    cells: Cells
    copied: bool = False
    alone: bool = False
    left: Survivors | None = None
    """Which rows of the batch these are; None for all."""

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        return list(zip(*self.cells, strict=True))


class Loader:
    """Makes loads for one table, and the statements for them, each once."""

    def __init__(self, table: Table, quote: Callable[[str], str]) -> None:
        self.table = table
        self._quote = quote
        self._texts: dict[tuple[Shape, tuple[Way, ...], bool], str] = {}

    def text(self, load: Load) -> str:
        """The statement for a load."""
        key = (load.shape, load.ways, load.alone)
        text = self._texts.get(key)
        if text is None:
            text = statement(load.shape, self.table.sql, load.ways, self._quote, alone=load.alone)
            self._texts[key] = text
        return text

    def load(self, shape: Shape, cells: Cells) -> Load:
        """The rows in the form that the table takes. Raises BadRecord for a value that has none."""
        ways: list[Way] = []
        sent: Cells = []
        for name, values in zip(shape.columns, cells, strict=True):
            try:
                column = carried(self.table.columns[name].kind, values)
            except Misfit as error:
                raise self._bad(shape, name, str(error), error.row) from error
            ways.append(column.way)
            sent.append(column.values)
        load = Load(shape, tuple(ways), sent)
        match shape.mode:
            case "upsert" | "updateElseInsert":
                return self._one_for_each_key(load)
            case "insert":
                plain = all(way.carrier == way.kind for way in ways)
                return replace(load, copied=plain and self.table.copied(shape.columns))
            case _:
                return load

    def keys(self, names: Sequence[str], cells: Cells) -> Cells | None:
        """Columns of keys so that they are equal just when the database has them equal; None if that is not sure."""
        found: Cells = []
        for name, values in zip(names, cells, strict=True):
            column = self.table.columns[name]
            told = told_apart(column.kind, column.modifier, column.folded, values)
            if told is None:
                return None
            found.append(told)
        return found

    def misfit(self, load: Load, at: int, why: str) -> BadRecord:
        """What to say of a value in the column at the place `at` that asyncpg refused."""
        name = load.shape.columns[at]
        row = row_of(load.ways[at].carrier, load.cells[at])
        if row is not None and load.left is not None:
            row = (load.left.first if _once(load.shape)[at] else load.left.last)[row]
        return self._bad(load.shape, name, why, row)

    def _one_for_each_key(self, load: Load) -> Load:
        shape = load.shape
        at = [shape.columns.index(key) for key in shape.keys]
        keys = [load.cells[place] for place in at]
        if shape.mode == "updateElseInsert" and self.keys(shape.keys, keys) is None:
            return replace(load, alone=True)  # no unique index would notice that a row is inserted twice
        left = survivors(keys, len(keys[0]))
        if left is None:
            return load
        return replace(load, cells=of_last_rows(load.cells, left, _once(shape)), left=left)

    def _bad(self, shape: Shape, name: str, why: str, row: int | None) -> BadRecord:
        kind = self.table.columns[name].kind
        said = f"A record of the batch for {shape.target} has a value in {name} that {kind} cannot hold: {why}."
        return BadRecord(said, index=row)


def _once(shape: Shape) -> list[bool]:
    """Which columns are written only where there was no row yet."""
    return [name not in shape.keys and name not in shape.update for name in shape.columns]
