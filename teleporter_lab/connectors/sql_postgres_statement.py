"""One statement for a whole batch, in the SQL of PostgreSQL.

Owns SQL text, purely. Refuses to connect and to know values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.connectors.sql_dialect import Shape


@dataclass(frozen=True)
class Way:
    """How values get to a column of the type `kind`: as values of `carrier`, by way of `through` if that is given."""

    kind: str
    carrier: str
    through: str = ""

    def cast(self, value: str) -> str:
        if self.through:
            value = f"CAST({value} AS {self.through})"
        return value if self.carrier == self.kind else f"CAST({value} AS {self.kind})"


def statement(shape: Shape, table: str, ways: Sequence[Way], quote: Callable[[str], str], *, alone: bool) -> str:
    """What writes all rows, whose columns are its parameters; `alone`: what writes one, whose values they are."""
    rows = _rows(ways, alone)
    at = {name: f"c{place}" for place, name in enumerate(shape.columns)}
    columns = ", ".join(map(quote, shape.columns))
    same = " AND ".join(f"t.{quote(key)} = r.{at[key]}" for key in shape.keys)
    match shape.mode:
        case "delete":
            return f"DELETE FROM {table} AS t USING ({rows}) AS r WHERE {same}"
        case "updateElseInsert":
            new = ", ".join(f"{quote(name)} = r.{at[name]}" for name in shape.update or shape.keys)
            found = ", ".join(f"r.{at[key]}" for key in shape.keys)
            told = " AND ".join(f"u.{at[key]} = r.{at[key]}" for key in shape.keys)
            return (
                f"WITH r AS ({rows}), u AS (UPDATE {table} AS t SET {new} FROM r WHERE {same} RETURNING {found}) "
                f"INSERT INTO {table} ({columns}) SELECT * FROM r WHERE NOT EXISTS (SELECT FROM u WHERE {told})"
            )
        case _:
            return f"INSERT INTO {table} ({columns}) {rows}{_on_conflict(shape, quote)}"


def _rows(ways: Sequence[Way], alone: bool) -> str:
    names = [f"c{place}" for place in range(len(ways))]
    values = ", ".join(f"{way.cast(f'v.{name}')} AS {name}" for name, way in zip(names, ways, strict=True))
    if alone:
        given = ", ".join(f"${at}::{way.carrier} AS {name}" for at, (name, way) in enumerate(_pairs(names, ways), 1))
        return f"SELECT {values} FROM (SELECT {given}) AS v"
    given = ", ".join(f"${at}::{way.carrier}[]" for at, way in enumerate(ways, 1))
    return f"SELECT {values} FROM unnest({given}) AS v({', '.join(names)})"


def _pairs(names: Sequence[str], ways: Sequence[Way]) -> list[tuple[str, Way]]:
    return list(zip(names, ways, strict=True))


def _on_conflict(shape: Shape, quote: Callable[[str], str]) -> str:
    if shape.mode == "insert":
        return ""
    target = f" ({', '.join(map(quote, shape.keys))})" if shape.keys else ""
    if shape.mode == "insertIgnore" or not shape.update:
        return f" ON CONFLICT{target} DO NOTHING"
    new = ", ".join(f"{quote(name)} = EXCLUDED.{quote(name)}" for name in shape.update)
    return f" ON CONFLICT{target} DO UPDATE SET {new}"
