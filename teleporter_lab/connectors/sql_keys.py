"""Rows of a batch that have the same key.

Owns which of them counts where a statement may write a row only once. Refuses to know a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

Cells = list[list[Any]]
"""The values of each column."""


@dataclass(frozen=True)
class Survivors:
    """A place for each key that a batch has: of its last row, and of its first."""

    last: list[int]
    first: list[int]


def survivors(keys: Sequence[list[Any]], count: int) -> Survivors | None:
    """What is left of `count` rows with these columns of keys; None where all of them differ.

    As in a unique index a key with a null is like no other one. Values that Python cannot tell apart quickly, such as
    lists, are left to the database.
    """
    whole: list[Any] = keys[0] if len(keys) == 1 else list(zip(*keys, strict=True))
    try:
        if len(set(whole)) == count:
            return None
    except TypeError:
        return None
    last = dict(zip(whole, range(count), strict=True))
    first = dict(zip(reversed(whole), range(count - 1, -1, -1), strict=True))
    alone = [at for at, key in enumerate(zip(*keys, strict=True)) if None in key]
    for at in alone:
        last.pop(whole[at], None)
    pairs = [(at, first[key]) for key, at in last.items()] + [(at, at) for at in alone]
    pairs.sort()
    return Survivors([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def of_last_rows(cells: Cells, rows: Survivors, once: Sequence[bool]) -> Cells:
    """One row for each key, as if the rows had come one after the other.

    Its values are those of the last row; of columns that are written `once`, only where there was no row yet, those of
    the first.
    """
    return [
        [column[at] for at in (rows.first if first else rows.last)] for column, first in zip(cells, once, strict=True)
    ]
