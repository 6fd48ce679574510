"""What was already given of the stretch of time that is read again for late rows.

Owns the memory of it: 16 bytes a row and their places in tables, 150 to 300 bytes, for the rows of those windows that
reach into the overlap. Rows that are alike are counted, so that the second of two is not taken for the first.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from teleporter_lab.connectors.rollers.windows import Window


class Overlap:
    """Tells rows that are new from those that were given in this run. Knows nothing of earlier runs."""

    def __init__(self) -> None:
        self._given: dict[datetime, Counter[bytes]] = {}
        """By the end of the window that they were given in."""
        self._now: Counter[bytes] | None = None
        self._known: Counter[bytes] = Counter()
        self._seen: Counter[bytes] = Counter()

    def begin(self, window: Window, kept: bool) -> None:
        """`window` is read from its start; `kept`: what it gives may be read again."""
        self._given = {end: rows for end, rows in self._given.items() if end > window.start}
        self._known = sum(self._given.values(), Counter[bytes]())
        self._seen = Counter()
        self._now = self._given.setdefault(window.end, Counter()) if kept else None

    @property
    def rows(self) -> int:
        """Rows it remembers."""
        return sum(map(len, self._given.values()))

    @property
    def active(self) -> bool:
        """Whether it must be asked."""
        return bool(self._known) or self._now is not None

    def is_new(self, row: Sequence[Any]) -> bool:
        """Whether `row`, which was read, was not given yet; it counts as given from now on."""
        if not self.active:
            return True
        mark = blake2b(repr(tuple(row)).encode(errors="surrogatepass"), digest_size=16).digest()
        self._seen[mark] += 1
        if self._seen[mark] <= self._known[mark]:
            return False
        if self._now is not None:
            self._now[mark] += 1
        return True
