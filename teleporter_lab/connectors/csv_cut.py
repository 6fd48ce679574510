"""Which lines of a CSV file are one row together.

Owns that question, purely: quoted values may hold line ends. Refuses to take rows apart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class RowEnds:
    """Finds the lines at which rows end. Delimiter and quote are one byte each."""

    def __init__(self, delimiter: bytes, quote: bytes) -> None:
        d, q = re.escape(delimiter), re.escape(quote)
        inside = rb"(?:[^%s]++|%s%s)*+" % (q, q, q)
        field = rb"(?:%s%s%s[^%s]*+|[^%s%s][^%s]*+|)" % (q, inside, q, d, q, d, d)
        self._quote = quote
        self._opens = re.compile(rb"(?:%s%s)*+%s%s\Z" % (field, d, q, inside))
        self._closes = re.compile(rb"%s%s[^%s]*+(?:%s|\Z)" % (inside, q, d, d))

    def of(self, lines: Iterable[bytes]) -> list[int]:
        """The number, from 0, of the last line of each row that ends in `lines`; blank lines between rows are none."""
        ends: list[int] = []
        inside = False
        for number, line in enumerate(lines):
            if self._quote in line:
                inside = self._open_behind(line, inside)
            if not inside and line not in (b"", b"\r"):
                ends.append(number)
        return ends

    def _open_behind(self, line: bytes, inside: bool) -> bool:
        """Whether a quoted value is open at the end of `line`; `inside`: one was open at its start."""
        start = 0
        if inside:
            closed = self._closes.match(line)
            if closed is None:
                return True
            start = closed.end()
        return self._opens.match(line, start) is not None
