"""Pages by number. Owns their offsets, and which one is the last."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages of `size` rows from the page `first` on, which begins at the row `offset`."""

    size: int
    first: int = 0
    last: int | None = None
    """The greatest page number that is read; None: until a page is not full."""
    offset: int = 0

    def offset_of(self, page: int) -> int:
        """Rows before `page`."""
        return self.offset + (page - self.first) * self.size

    def next(self, page: int, rows: int) -> int | None:
        """The page behind `page`, which had `rows` rows; None where there is none."""
        return None if rows < self.size or (self.last is not None and page >= self.last) else page + 1
