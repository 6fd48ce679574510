"""A checker that knows nothing of the code under test: it reads a table and compares it with the known input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.services.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Found:
    """What a table of ids holds of the input 0 … n - 1, where each row's `value` must be `id % 1000`."""

    rows: int
    missing: int
    doubled: int
    wrong: int

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.missing:,} missing, {self.doubled:,} twice, {self.wrong:,} wrong"


def look(database: Postgres, table: str, n: int) -> Found:
    (row,) = database.rows(
        f"SELECT count(*) AS rows, count(DISTINCT id) FILTER (WHERE id >= 0 AND id < {n}) AS good,"
        f" count(*) FILTER (WHERE id < 0 OR id >= {n} OR value IS DISTINCT FROM id % 1000) AS wrong FROM {table}"
    )
    return Found(row["rows"], n - row["good"], row["rows"] - row["good"] - row["wrong"], row["wrong"])
