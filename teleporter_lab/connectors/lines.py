"""One file, cut into raw lines, with the exact byte behind each.

Owns reading in blocks and the bound on memory. Refuses to know what a line means.
"""

from __future__ import annotations

import codecs
import os
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO

from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLOCK = 1 << 20
"""Bytes read at a time."""
LONGEST = 16 << 20
"""Bytes one line may have; a longer one is a bad record, so that memory is bounded."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def encoding_that_keeps_ascii(name: str) -> str:
    """`name`, if it is an encoding in which an ASCII byte is always that character. Raises ValueError."""
    try:
        plain = "\n,".encode(name)
    except LookupError as error:
        raise ValueError(f"{name} is no encoding; utf-8, latin-1 and cp1252 are some.") from error
    if plain != b"\n,":
        raise ValueError(f"{name} does not write a line end as one byte; convert the file to utf-8.")
    return name


def is_utf8(encoding: str) -> bool:
    """Whether text of that encoding is UTF-8 as it stands."""
    return codecs.lookup(encoding).name in ("utf-8", "ascii")


def unreachable(path: str, error: OSError) -> AddressUnreachable:
    """The error for a file that cannot be opened, read or written."""
    return AddressUnreachable(f"The file {path} cannot be used: {error.strerror or error}.")


def offsets(lines: Sequence[bytes], begin: int, delimiter: int, end: int) -> list[int]:
    """The byte behind each of `lines`, from `begin` on; `end` is that of the last one, which may have no delimiter."""
    behind = list(accumulate(map(delimiter.__add__, map(len, lines)), initial=begin))[1:]
    if behind:
        behind[-1] = end
    return behind


class Lines:
    """One file cut into raw lines, without their delimiters. `offset` is the byte behind the last line taken.

    Reads a block at a time; memory is one block and at most one line of `LONGEST` bytes. `mark` are bytes to look
    out for: `marked` says whether the lines at hand may hold them.
    """

    def __init__(self, path: str, delimiter: bytes = b"\n", mark: bytes = b"") -> None:
        self.path = path
        self.offset = 0
        self.marked = False
        self._delimiter = delimiter
        self._mark = mark
        self._lines: list[bytes] = []
        self._index = 0
        self._carry = b""
        self._torn = False
        self._counted = (0, 1)
        try:
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - closed by close()
            self.size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise unreachable(path, error) from error

    def seek(self, offset: int) -> None:
        """Goes on from `offset`. Raises ConnectorError when the file is shorter."""
        if offset > self.size:
            raise ConnectorError(
                f"The file {self.path} has {self.size} bytes, but byte {offset} was reached before: it was replaced or "
                "cut; reset the position to read it again."
            )
        self._file.seek(offset)
        self.offset = offset
        self._lines, self._index, self._carry, self._torn = [], 0, b"", False

    def skip_byte_order_mark(self) -> None:
        """At the start of a file: leaves out the three bytes that some editors put before UTF-8."""
        if self._read(3) != BYTE_ORDER_MARK:
            self._file.seek(0)
        self.offset = self._file.tell()

    def ready(self) -> bool:
        """Makes sure that there are lines at hand; False at the end. Raises BadRecord on a line beyond LONGEST."""
        return self._index < len(self._lines) or self._load()

    def take(self, n: int) -> list[bytes]:
        """Up to `n` of the lines at hand; `[]` at the end."""
        if not self.ready():
            return []
        taken = self._lines[self._index : self._index + n]
        self._index += len(taken)
        self.offset += sum(map(len, taken)) + len(taken) * len(self._delimiter)
        if self._torn:
            self.offset = min(self.offset, self._file.tell())
        return taken

    def __iter__(self) -> Iterator[bytes]:
        """Takes line after line."""
        while self.ready():
            line = self._lines[self._index]
            self._index += 1
            self.offset += len(line) + len(self._delimiter)
            if self._torn:
                self.offset = min(self.offset, self._file.tell())
            yield line

    def back(self, lines: list[bytes]) -> None:
        """Puts back the last lines of the last `take`."""
        ended = self._torn and self._index == len(self._lines) and bool(lines)
        self._index -= len(lines)
        self.offset -= sum(map(len, lines)) + (len(lines) - ended) * len(self._delimiter)

    def piece(self, size: int) -> bytes:
        """The next `size` bytes, for a reader that wants no lines; fewer, and at last none, at the end."""
        taken = self._read(size)
        self.offset += len(taken)
        return taken

    def line_number(self, offset: int) -> int:
        """The number, from 1, of the line that begins at `offset`; counts line feeds from the last asked place on."""
        at, line = self._counted if self._counted[0] <= offset else (0, 1)
        with open(self.path, "rb") as file:
            file.seek(at)
            while at < offset and (block := file.read(min(BLOCK, offset - at))):
                line += block.count(b"\n")
                at += len(block)
        self._counted = (at, line)
        return line

    def number_of(self, line: bytes) -> int:
        """The number of `line`, which is the last one taken."""
        ended = self._torn and self._index == len(self._lines)
        return self.line_number(self.offset - len(line) - (0 if ended else len(self._delimiter)))

    def close(self) -> None:
        self._file.close()

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise unreachable(self.path, error) from error

    def _load(self) -> bool:
        while True:
            block = self._read(BLOCK)
            data = self._carry + block
            if not block:
                return self._last(data)
            lines = data.split(self._delimiter)
            self._carry = lines.pop()
            if lines:
                self._set(lines, data)
                return True
            if len(data) > LONGEST:
                self._refuse()

    def _last(self, data: bytes) -> bool:
        """The line at the end of the file that no delimiter ends."""
        self._carry = b""
        if not data:
            return False
        self._torn = True
        self._set([data], data)
        return True

    def _set(self, lines: list[bytes], data: bytes) -> None:
        self.marked = bool(self._mark) and self._mark in data
        self._lines, self._index = lines, 0

    def _refuse(self) -> None:
        """Passes over a line that is too long, to its end, and raises."""
        begin = self.offset
        while self._delimiter not in self._carry:
            keep = self._carry[-len(self._delimiter) :]
            block = self._read(BLOCK)
            if not block:
                self.offset, self._carry = self._file.tell(), b""
                break
            self._carry = keep + block
        else:
            cut = self._carry.index(self._delimiter) + len(self._delimiter)
            self.seek(self._file.tell() - len(self._carry) + cut)
        line = self.line_number(begin)
        raise BadRecord(f"Line {line} of {self.path} has more than {LONGEST} bytes; is the delimiter right?")
