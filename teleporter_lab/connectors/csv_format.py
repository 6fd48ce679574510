"""Records as rows of CSV, by rows and by columns.

Owns which columns there are, and their header. Refuses to know where rows are written to; `csv_text` writes columns.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Literal

from teleporter_lab.connectors.columns import Columns, Row
from teleporter_lab.connectors.csv_text import csv_text
from teleporter_lab.connectors.lines import is_utf8
from teleporter_lab.connectors.record_batches import cells_of, is_batch, of_batch, selected
from teleporter_lab.connectors.rollers.formats import Draft
from teleporter_lab.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.csv import CsvSinkOptions
    from teleporter_lab.connectors.record_batches import Batch


class CsvFormat:
    """Rows of the columns configured, else of those already there, else of the fields of the first record.

    In the last two cases a record with another field is refused.
    """

    name = "csv"
    columnar = True
    convert = None

    def __init__(self, options: CsvSinkOptions) -> None:
        self._options = options
        self._settings = [options.delimiter, options.quote, options.encoding, options.header]
        self.columns = Columns(options.columns, options.path, exact=False) if options.columns else None
        """Those of the batches so far, or configured."""

    def known(self, names: list[str]) -> bool:
        """Takes over the columns that are there. False when others are configured."""
        if self._options.columns not in (None, names):
            return False
        self.columns = Columns(names, self._options.path, exact=self._options.columns is None)
        return True

    def encoded(self, records: Sequence[Any]) -> tuple[Columns, bytes, bytes]:
        """The columns, their header if one is wanted, and the rows. Raises BadRecord."""
        path = self._options.path
        made = is_batch(records)
        columns = self.columns or (of_batch(records, path) if made else Columns.of(records[0], path))
        try:
            body = self._of_batch(records, columns) if made else self._rows(columns.rows(records))
            return columns, self._rows([columns.names]) if self._options.header else b"", body
        except (csv.Error, UnicodeError) as error:
            said = f"A record for {path} cannot be written as CSV: {error}."
            raise BadRecord(said, index=None if made else self._bad(columns.rows(records))) from error

    def resumed(self, form: str) -> bool:
        names, settings = json.loads(form)
        return self.known(names) and settings == self._settings

    def draft(self, records: Sequence[Any]) -> Draft:
        columns, head, body = self.encoded(records)
        return Draft(body, len(records), head, json.dumps([columns.names, self._settings]), columns)

    def stored(self, draft: Draft) -> None:
        self.columns = draft.shape

    def _of_batch(self, batch: Batch, columns: Columns) -> bytes:
        chosen, encoding = selected(batch, columns, self._options.path), self._options.encoding
        text = csv_text(chosen, self._options.delimiter) if self._options.quote == '"' else None
        if text is None:
            return self._rows(list(zip(*cells_of(chosen), strict=True)))
        return text if is_utf8(encoding) else text.decode().encode(encoding)

    def _rows(self, rows: list[Row]) -> bytes:
        text = self._text(rows, csv.QUOTE_MINIMAL)
        if "\r" in text:
            text = self._text(rows, csv.QUOTE_ALL)  # the parser takes a bare carriage return for a line end
        return text.encode(self._options.encoding)

    def _bad(self, rows: list[Row]) -> int | None:
        """The first row that cannot be written; None where it is the header."""
        for at, row in enumerate(rows):
            try:
                self._rows([row])
            except (csv.Error, UnicodeError):
                return at
        return None

    def _text(self, rows: list[Row], quoting: Literal[0, 1]) -> str:
        text = io.StringIO()
        delimiter, quote = self._options.delimiter, self._options.quote
        csv.writer(text, delimiter=delimiter, quotechar=quote, quoting=quoting, lineterminator="\n").writerows(rows)
        return text.getvalue()
