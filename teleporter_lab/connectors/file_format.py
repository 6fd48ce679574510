"""Records as lines of text, JSON or bytes.

Owns the way from a record to its line. Refuses to know where lines are written to.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from teleporter_lab.connectors.record_batches import is_batch, rows_of
from teleporter_lab.connectors.rollers.formats import Draft
from teleporter_lab.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.connectors.file import FileSinkOptions

UNFIT = (TypeError, ValueError, RecursionError)
"""What a record raises that has no line."""


class LineFormat:
    """One line a record. Takes columns with the format jsonl, where a row is an object."""

    name = "file"
    convert = None

    def __init__(self, options: FileSinkOptions) -> None:
        self._options = options
        self._form = json.dumps([options.format, options.delimiter, options.encoding])
        self._line: Callable[[Any], bytes] = {
            "jsonl": msgspec.json.Encoder().encode,
            "bytes": _as_bytes,
            "text": partial(_as_text, options.encoding),
        }[options.format]
        self.delimiter = options.delimiter.encode(options.encoding)
        self.columnar = options.format == "jsonl"

    def encoded(self, records: Sequence[Any]) -> bytes:
        """The lines. Raises BadRecord for a record that has none."""
        lines = self._lines(rows_of(records) if is_batch(records) else records)
        end = self.delimiter
        data = end.join((*lines, b""))
        if end and data.split(end) != [*lines, b""]:
            at = next(at for at, line in enumerate(lines) if (line + end).split(end) != [line, b""])
            said = f"Record {at + 1} of the batch for {self._options.path} holds the delimiter {end!r} itself."
            raise BadRecord(said, index=at)
        return data

    def resumed(self, form: str) -> bool:
        return form == self._form

    def draft(self, records: Sequence[Any]) -> Draft:
        return Draft(self.encoded(records), len(records), form=self._form)

    def stored(self, draft: Draft) -> None:
        """One file knows nothing of another."""

    def _lines(self, records: Sequence[Any]) -> list[bytes]:
        try:
            return list(map(self._line, records))
        except UNFIT:
            pass
        done: list[bytes] = []
        try:
            for record in records:
                done.append(self._line(record))  # noqa: PERF401 - how many went well is the question
        except UNFIT as error:
            raise BadRecord(
                f"Record {len(done) + 1} of the batch for {self._options.path} cannot be written as "
                f"{self._options.format}: {error}.",
                index=len(done),
            ) from error
        return done


def _as_text(encoding: str, record: Any) -> bytes:
    return str.encode(record, encoding)


def _as_bytes(record: object) -> bytes:
    if isinstance(record, bytes):
        return record
    raise TypeError(f"it is a {type(record).__name__}")
