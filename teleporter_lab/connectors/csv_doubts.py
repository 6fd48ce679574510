"""CSV text that pyarrow's converters take and Python's do not, or take for something else.

Owns the cheap look for it in the bytes of a piece. Refuses to convert: where there is a doubt, the row form decides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from teleporter_lab.connectors.csv_values import TypeName

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Doubts:
    """Finds what the columns of these types could read otherwise. Delimiter and quote are one byte each.

    Whole numbers like `0x1F`, floats like `nan(1)`, and a U+FEFF at the start, which pyarrow drops.
    A search for a few bytes comes first, so that a piece without them costs next to nothing.
    """

    def __init__(self, kinds: Collection[TypeName], delimiter: bytes, quote: bytes) -> None:
        edge = rb"[%s%s\r\n]" % (re.escape(delimiter), re.escape(quote))
        self._int, self._float = "int" in kinds, "float" in kinds
        self._hex = re.compile(rb"(?:\A|%s)[\s+-]*0[xX]" % edge)
        self._nan = re.compile(rb"nan\(", re.IGNORECASE)

    def about(self, data: bytes) -> bool:
        """Whether there may be such text in a piece of UTF-8."""
        if data.startswith(BYTE_ORDER_MARK):
            return True
        if self._int and any(x in data and b"0" + x in data for x in (b"x", b"X")) and self._hex.search(data):
            return True
        return self._float and b"(" in data and (b"n(" in data or b"N(" in data) and self._nan.search(data) is not None
