"""CSV files as columns.

Owns the way of whole pieces of a file through pyarrow's parser, and the proof that it saw each line as one row. Where
it did not, or refuses a value, the rows take the way of `csv`, which decides what is right: quoted line ends, values
that only Python reads, bad rows. So both forms give the same rows, at the same positions.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.csv import CsvSource
from teleporter_lab.connectors.csv_cut import RowEnds
from teleporter_lab.connectors.csv_doubts import Doubts
from teleporter_lab.connectors.csv_values import BOOLEANS, Values
from teleporter_lab.connectors.lines import BLOCK, is_utf8, offsets
from teleporter_lab.connectors.record_batches import Misfit, Piece, arrow, arrow_type, batch_of, misfits, shown
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.csv import CsvSourceOptions
    from teleporter_lab.connectors.lines import Lines
    from teleporter_lab.connectors.record_batches import Batch

ROWS = BLOCK
"""More rows than a piece has."""

BLANK = (b"", b"\r")


class CsvColumns(CsvSource):
    """Gives rows as RecordBatches. Positions and bad rows are those of `CsvSource`: either form goes on from the other.

    Memory: the rows of one block, as text and as columns.
    """

    columnar = True

    def __init__(self, options: CsvSourceOptions) -> None:
        super().__init__(options)
        self._form: ColumnForm | None = None
        self._piece = Piece()
        self._multiline = False

    def reading(self, lines: Lines, names: Sequence[str]) -> Values:
        plain = super().reading(lines, names)
        rows = self.sample(lines, names) if "datetime" in plain.kinds else []
        form = ColumnForm(plain, rows, self._options)
        if names:
            self._keep(form, lines)
        return form

    def mark(self, lines: Lines) -> dict[str, Any]:
        return self._piece.mark(super().mark(lines))

    def some(self, lines: Lines, n: int) -> Batch | None:
        form = self._form
        while not self._piece.left:
            if form is None or not lines.ready():
                return None
            self._piece = self._load(form, lines)
        batch = self._piece.take(n)
        self._row += len(batch)
        return batch

    def _keep(self, form: ColumnForm, lines: Lines) -> None:
        before = self._form
        if before is not None and not form.schema.equals(before.schema):
            raise ConnectorError(
                f"The file {lines.path} has other columns than the one before it, {shown(form.schema)} and not "
                f"{shown(before.schema)}; read files with the same columns, and name their `types`."
            )
        self._form = form

    def _load(self, form: ColumnForm, lines: Lines) -> Piece:
        """The rows of the lines at hand: each line a row, if not then several lines, if not then one by one."""
        begin, raw = lines.offset, lines.take(ROWS)
        last = list(range(len(raw)))
        if any(blank in raw for blank in BLANK):
            last = [number for number in last if raw[number] not in BLANK]
        piece = None if self._multiline and lines.marked else self._ending_at(form, lines, begin, raw, last)
        if piece is None and lines.marked and form.row_ends is not None:
            last = form.row_ends.of(raw)
            piece = self._ending_at(form, lines, begin, raw, last) if last else None
            self._multiline = piece is not None
        if piece is None:
            lines.back(raw)
            piece = Piece(*self.careful(lines, ROWS if last else 1))
        return piece

    def _ending_at(self, form: ColumnForm, lines: Lines, begin: int, raw: list[bytes], last: list[int]) -> Piece | None:
        """The rows that end at the lines `last`, with the lines behind them put back; None when they do not."""
        kept = last[-1] + 1 if last else len(raw)
        batch = form.quick(b"\n".join(raw[:kept]), len(last), self._row + 1)
        if batch is None:
            return None
        lines.back(raw[kept:])
        ends = offsets(raw[:kept], begin, 1, lines.offset)
        return Piece(batch, [ends[number] for number in last])


class ColumnForm(Values):
    """Makes batches of the rows of one file: of their bytes by `quick`, of parsed rows by `records`."""

    def __init__(self, plain: Values, sample: Sequence[Sequence[str]], options: CsvSourceOptions) -> None:
        super().__init__(plain.names, dict(zip(plain.names, plain.kinds, strict=True)), plain.nulls, plain.number_as)
        pa = arrow()
        zoned = _zoned(sample, plain) if sample else set[str]()
        fields = [
            (name, arrow_type(kind, "UTC" if name in zoned else None))
            for name, kind in zip(plain.names, plain.kinds, strict=True)
        ]
        self._parsed = pa.schema(fields)
        self.schema = pa.schema([*fields, (plain.number_as, pa.int64())] if plain.number_as is not None else fields)
        self._encoding = options.encoding
        self._marks = (options.delimiter.encode(options.encoding), options.quote.encode(options.encoding))
        self.row_ends = RowEnds(*self._marks) if options.delimiter.isascii() and options.quote.isascii() else None
        """None where the marks are not ASCII and pyarrow's parser cannot be used."""
        self._options = (
            _csv_options(options, _as_text(self._parsed), plain.nulls) if self.row_ends is not None else (None, None)
        )
        self._doubts = Doubts(self.kinds, *self._marks)
        self._null_texts = pa.array(sorted(plain.nulls), pa.string())
        self._no_times = pa.array(sorted(plain.nulls | {""}), pa.string())

    def quick(self, data: bytes, rows: int, first: int) -> Batch | None:
        """The rows of `data`, numbered from `first`; None when these are not just `rows` rows of the right types.

        Behind them goes a row of empty values: an open quote would swallow it, so that there were too few.
        """
        delimiter, quote = self._marks
        if self.row_ends is None or not _plain(data, delimiter, quote):
            return None
        probe = delimiter * (len(self.names) - 1) if len(self.names) > 1 else quote * 2
        try:
            if not is_utf8(self._encoding):
                data = data.decode(self._encoding).encode()
            if self._doubts.about(data):
                return None
            table = self._read(b"\n".join((data, probe, b"")))
            if table.num_rows != rows + 1:
                return None
            columns = [
                self._typed(column.combine_chunks().slice(0, rows), kind)
                for column, kind in zip(table.columns, self._parsed.types, strict=True)
            ]
        except misfits():
            return None
        return self._numbered(columns, rows, first)

    def records(self, rows: list[list[str]], first: int) -> Batch:
        columns = self.columns(rows) if rows else [list[Any]() for _ in self.names]
        return self._numbered(batch_of(columns, self._parsed).columns, len(rows), first)

    def wrong(self, row: list[str]) -> str:
        reason = super().wrong(row)
        if not reason:
            try:
                self.records([row], 1)
            except Misfit as misfit:
                return str(misfit)
        return reason

    def _read(self, data: bytes) -> Any:
        csv, pa = arrow("pyarrow.csv"), arrow()
        parse, convert = self._options
        read = csv.ReadOptions(column_names=list(self.names), block_size=len(data) + 1, use_threads=False)
        return csv.read_csv(pa.py_buffer(data), read, parse, convert)

    def _typed(self, column: Any, kind: Any) -> Any:
        """Texts that mean nothing become nulls, of which pyarrow would take the empty text for one; others dates."""
        types = arrow().types
        if not types.is_temporal(kind):
            return _without(column, self._null_texts) if self.nulls and types.is_string(kind) else column
        if not self.nulls:
            with suppress(*misfits()):  # most columns have no empty text
                return column.cast(kind)
        return _without(column, self._no_times).cast(kind)

    def _numbered(self, columns: Sequence[Any], rows: int, first: int) -> Batch:
        pa = arrow()
        if self.number_as is not None:
            columns = [*columns, pa.array(range(first, first + rows), pa.int64())]
        return pa.RecordBatch.from_arrays(list(columns), schema=self.schema)


def _without(column: Any, nothing: Any) -> Any:
    """A column of texts with nulls for those in `nothing`."""
    pa, compute = arrow(), arrow("pyarrow.compute")
    found = compute.is_in(column, nothing)
    return compute.if_else(found, pa.scalar(None, pa.string()), column) if found.true_count else column


def _as_text(schema: Any) -> Any:
    """The types that pyarrow's parser is asked for: it would leave out blanks around dates, so these come as text."""
    pa = arrow()
    temporal = pa.types.is_temporal
    return pa.schema([(field.name, pa.string() if temporal(field.type) else field.type) for field in schema])


def _csv_options(options: CsvSourceOptions, schema: Any, nulls: frozenset[str]) -> tuple[Any, Any]:
    csv = arrow("pyarrow.csv")
    parse = csv.ParseOptions(delimiter=options.delimiter, quote_char=options.quote, newlines_in_values=True)
    convert = csv.ConvertOptions(
        column_types=schema,
        null_values=["", *nulls],
        strings_can_be_null=False,
        true_values=[text for text, value in BOOLEANS.items() if value],
        false_values=[text for text, value in BOOLEANS.items() if not value],
    )
    return parse, convert


def _plain(data: bytes, delimiter: bytes, quote: bytes) -> bool:
    """Whether pyarrow reads this as Python's parser does: no bare carriage return, no text behind a closing quote."""
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n") + data.endswith(b"\r"):
        return False
    quotes = data.count(quote)
    if not quotes or quote * 2 in data:
        return True
    opening = data.count(delimiter + quote) + data.count(b"\n" + quote) + data.startswith(quote)
    closing = data.count(quote + delimiter) + data.count(quote + b"\n") + data.count(quote + b"\r\n")
    return quotes == opening + closing + data.endswith((quote, quote + b"\r"))


def _zoned(rows: Sequence[Sequence[str]], plain: Values) -> set[str]:
    """The columns of instants: those of type datetime whose first value has a zone offset."""
    zoned: set[str] = set()
    for name, kind, values in zip(plain.names, plain.kinds, zip(*rows, strict=True), strict=True):
        if kind == "datetime":
            text = next((value for value in values if value and value not in plain.nulls), "")
            try:
                if datetime.fromisoformat(text).tzinfo is not None:
                    zoned.add(name)
            except ValueError:
                continue
    return zoned
