"""CSV files on this machine.

Owns records, headers and quoting. Refuses compressed files; `csv_values` converts.

Lines without a quote sign are split by plain string methods, whole chunks at a time; the standard library's parser
reads the others, fed line by line, so that the byte behind each record is known in both cases.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from pydantic import Field, field_validator, model_validator

from teleporter_lab.connectors.append_file import AppendFile
from teleporter_lab.connectors.base import BatchOptions, Connector, Options, Spec, position_field
from teleporter_lab.connectors.csv_format import CsvFormat
from teleporter_lab.connectors.csv_values import UNFIT, TypeName, Values, guess
from teleporter_lab.connectors.files_reader import FilesReader, distance
from teleporter_lab.connectors.lines import BLOCK, Lines, encoding_that_keeps_ascii
from teleporter_lab.connectors.rollers.rolled_files import RolledFiles, refuse_exactly_once, rolled
from teleporter_lab.connectors.rollers.sink_roller import SinkRoller
from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


SAMPLE = 1000
"""Rows at the start of the first file that `"types": "infer"` looks at."""


class CsvSourceOptions(Options):
    """The `client` block of a csv source."""

    path: str = Field(
        min_length=1, description="File, or pattern such as `/data/*.csv`; files are read in sorted order."
    )
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="Character between two values.")
    quote: str = Field(
        default='"', min_length=1, max_length=1, description="Character around values that hold a delimiter."
    )
    encoding: str = Field(default="utf-8", description="Encoding of the file.")
    header: bool = Field(default=True, description="The first row of each file names the columns.")
    fields: list[str] | None = Field(
        default=None, min_length=1, description="Names of the columns of a file without header."
    )
    types: dict[str, TypeName] | Literal["infer"] = Field(
        default_factory=dict[str, TypeName],
        description='Type of a column by its name, text where none is given; "infer" guesses from the first rows.',
    )
    null_values: list[str] = Field(
        default_factory=list[str],
        description="Values that mean: nothing here. An empty value always does where the type is not text.",
    )
    row_number: str | None = Field(
        default=None, min_length=1, description="Field that gets the number of the row, from 1."
    )

    _encoding = field_validator("encoding")(encoding_that_keeps_ascii)

    @model_validator(mode="after")
    def _named(self) -> CsvSourceOptions:
        if self.header == (self.fields is not None):
            raise ValueError("fields names the columns of a file without header: give it just when header is false")
        _distinct(self.delimiter, self.quote)
        return self


class CsvSinkOptions(BatchOptions):
    """The `client` block of a csv sink."""

    path: str = Field(
        min_length=1,
        description="File to append to; made when missing, its folder is not. With a roller: what the files are "
        "called, such as `/data/{date:%Y-%m-%d}-{index}.csv`.",
    )
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="Character between two values.")
    quote: str = Field(default='"', min_length=1, max_length=1, description="Character around values that need it.")
    encoding: str = Field(default="utf-8", description="Encoding of the file.")
    header: bool = Field(default=True, description="Write the names of the columns as first row of a new file.")
    columns: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Fields to write, in this order; empty: those of the file, else the first record.",
    )
    exactly_once: bool = Field(
        default=False,
        description="With a roller: keep the position of the source with the records, so that each is there once.",
    )

    _encoding = field_validator("encoding")(encoding_that_keeps_ascii)

    @model_validator(mode="after")
    def _separable(self) -> CsvSinkOptions:
        _distinct(self.delimiter, self.quote)
        return self


def _distinct(delimiter: str, quote: str) -> None:
    if delimiter == quote or {delimiter, quote} & {"\r", "\n"}:
        raise ValueError("delimiter and quote must differ, and be no line ends")


class CsvSource(FilesReader[list[dict[str, Any]]]):
    """Gives each row as a dict.

    Position: `{"file", "offset", "row"}`, exact after every record; `row` counts the rows of all files. A row with a
    column too few or too many, or a value that is not of its type, raises BadRecord and counts as a row.
    """

    def __init__(self, options: CsvSourceOptions) -> None:
        super().__init__(options.path, mark=options.quote.encode(options.encoding))
        self._options = options
        self._values = Values((), {}, (), None)
        self._row: int = 0

    def open(self, position: Any) -> None:
        self._row = 0 if position is None else position_field(position, "row", int, "a CSV file", default=0)
        super().open(position)

    def mark(self, lines: Lines) -> dict[str, Any]:
        return {**super().mark(lines), "row": self._row}

    def begin(self, lines: Lines, offset: int) -> None:
        lines.skip_byte_order_mark()
        self._values = self.reading(lines, self._names(lines))
        if offset > lines.offset:
            lines.seek(offset)

    def some(self, lines: Lines, n: int) -> list[dict[str, Any]] | None:
        while lines.ready():
            records = None if lines.marked else self._quick(lines, n)
            if records is None:
                records, _ = self.careful(lines, n)
            if records:
                self._row += len(records)
                return records
        return []

    def _quick(self, lines: Lines, n: int) -> list[dict[str, Any]] | None:
        """Records of lines without a quote sign; None, with the lines put back, when one needs a closer look."""
        raw = lines.take(n)
        try:
            text = b"\n".join(raw).decode(self._options.encoding)
            if "\r" in text:
                text = text.replace("\r\n", "\n").removesuffix("\r")
            delimiter = self._options.delimiter
            rows = [line.split(delimiter) for line in text.split("\n") if line]
            if set(map(len, rows)) <= {len(self._values.names)} and "\r" not in text:
                return self._values.records(rows, self._row + 1)
        except UNFIT:
            pass
        lines.back(raw)
        return None

    def careful(self, lines: Lines, n: int) -> tuple[Any, list[int]]:
        """Records by the parser, and the byte behind each, as far as the first bad one.

        Raises BadRecord, and has passed it, when that is the first.
        """
        rows, begins, wrong = self._parsed(lines, n)
        good = len(rows)
        try:
            records = self._values.records(rows, self._row + 1)
        except UNFIT:
            good, wrong = next((i, why) for i, row in enumerate(rows) if (why := self._values.wrong(row)))
            records = self._values.records(rows[:good], self._row + 1)
        if good == 0 and wrong:
            if rows:
                lines.seek(begins[1])
            self._row += 1
            sentence = f"Line {lines.line_number(begins[0])} of {lines.path} is no such row: {wrong}."
            raise BadRecord(sentence, record=rows[0] if rows else None)
        if wrong:
            lines.seek(begins[good])
        return records, begins[1 : good + 1]

    def _parsed(self, lines: Lines, n: int) -> tuple[list[list[str]], list[int], str]:
        """Up to `n` rows, the offsets at which they and the one behind them begin, and what is wrong with that one."""
        rows: list[list[str]] = []
        begins = [lines.offset]
        width = len(self._values.names)
        parser = self._parser(lines)
        try:
            while len(rows) < n and begins[-1] - begins[0] < BLOCK and (row := next(parser, None)) is not None:
                if len(row) == width:
                    rows.append(row)
                    begins.append(lines.offset)
                elif row:
                    return rows, begins, f"{width} columns were expected, not {len(row)}"
                else:
                    begins[-1] = lines.offset
        except UnicodeDecodeError:
            return rows, begins, f"it is no {self._options.encoding} text"
        except (csv.Error, BadRecord) as error:
            return rows, begins, str(error)
        return rows, begins, ""

    def _parser(self, lines: Lines) -> Iterator[list[str]]:
        options = self._options
        text = (line.decode(options.encoding) + "\n" for line in lines)
        return csv.reader(text, delimiter=options.delimiter, quotechar=options.quote, strict=True)

    def _names(self, lines: Lines) -> Sequence[str]:
        if self._options.fields is not None:
            return self._options.fields
        try:
            names = next(filter(None, self._parser(lines)), list[str]())
        except (csv.Error, UnicodeDecodeError) as error:
            raise BadRecord(f"The header of {lines.path} cannot be read: {error}.") from error
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadRecord(f"The header of {lines.path} has the column {twice[0]} twice; name them apart.")
        return names

    def reading(self, lines: Lines, names: Sequence[str]) -> Values:
        """How rows of this file become records. Raises ConnectorError when the options do not fit its columns."""
        options = self._options
        types = options.types
        if types == "infer":
            types = guess(self.sample(lines, names), names, options.null_values)
        unknown = sorted(types.keys() - set(names)) if names else []
        if unknown:
            raise ConnectorError(f"The file {lines.path} has no column {unknown[0]}; it has {', '.join(names)}.")
        if options.row_number in names:
            raise ConnectorError(f"The file {lines.path} has a column {options.row_number}; call rowNumber otherwise.")
        return Values(names, types, options.null_values, options.row_number)

    def sample(self, lines: Lines, names: Sequence[str]) -> list[list[str]]:
        """The first rows from here on, which are read again afterwards."""
        begin = lines.offset
        self._values = Values(names, {}, (), None)
        rows, _, _ = self._parsed(lines, SAMPLE)
        lines.seek(begin)
        return rows


class CsvSink:
    """Appends rows. A batch, with the header before the first one, is on the disk when `write` returns.

    One that fails leaves nothing. The columns are those configured, else those of the file's header, else the fields of
    the first record; in the last two cases a record with another field is refused. Takes lists of records and batches
    of columns.
    """

    columnar = True

    def __init__(self, options: CsvSinkOptions) -> None:
        self._options = options
        self._file = AppendFile(options.path, b"\n", self._complete)
        self._format = CsvFormat(options)
        self._records = 0

    def open(self) -> None:
        self._file.open()
        if self._options.header and self._file.size:
            names = self._header()
            if not self._format.known(names):
                self._file.close()
                raise ConnectorError(
                    f"The file {self._options.path} has the columns {', '.join(names)}; write them or another file."
                )

    def write(self, records: Sequence[Any]) -> None:
        if len(records):
            columns, header, rows = self._format.encoded(records)
            self._file.append(rows if self._file.size else header + rows)
            self._format.columns = columns
            self._records += len(records)

    def close(self) -> None:
        self._file.close()

    def statistics(self) -> dict[str, int]:
        """Records written since it was made, and the size of the file in bytes."""
        return {"records": self._records, "bytes": self._file.size}

    def _header(self) -> list[str]:
        options = self._options
        lines = Lines(options.path)
        try:
            text = (line.decode(options.encoding) + "\n" for line in lines)
            return next(csv.reader(text, delimiter=options.delimiter, quotechar=options.quote), list[str]())
        except (csv.Error, UnicodeDecodeError) as error:
            raise ConnectorError(f"The header of {options.path} cannot be read: {error}.") from error
        finally:
            lines.close()

    def _complete(self, file: BinaryIO, start: int) -> int:
        """The byte behind the last line end outside quotes; `start` is outside."""
        quote = self._options.quote.encode(self._options.encoding)
        complete = at = start
        quotes = 0
        file.seek(start)
        while block := file.read(BLOCK):
            quotes += block.count(quote)
            outside = _outside(block, quote, quotes % 2)
            complete = at + outside if outside else complete
            at += len(block)
        return complete


def _outside(block: bytes, quote: bytes, odd: int) -> int:
    """The byte behind the last line end outside quotes, 0 when there is none; `odd`: the block ends inside quotes."""
    end = len(block)
    while (cut := block.rfind(b"\n", 0, end)) >= 0:
        odd ^= block.count(quote, cut, end) % 2
        if not odd:
            return cut + 1
        end = cut
    return 0


def _source(options: CsvSourceOptions, _: object) -> CsvSource:
    return CsvSource(options)


def _columns(options: CsvSourceOptions, _: object) -> CsvSource:
    from teleporter_lab.connectors.csv_columns import CsvColumns

    return CsvColumns(options)


def _sink(options: CsvSinkOptions, _: object) -> CsvSink:
    refuse_exactly_once(options.exactly_once)
    return CsvSink(options)


def _rolled(options: CsvSinkOptions, _: object, roller: SinkRoller) -> RolledFiles | CsvSink:
    return rolled(options, roller, CsvFormat(options)) if roller.model_fields_set else _sink(options, None)


class CsvConnector(Connector):
    """CSV files on this machine."""

    category = "csv"
    description = "CSV files on the machine of the instance, with header, types and nulls."
    source = Spec(
        CsvSourceOptions,
        _source,
        guarantee="Resumes at the exact byte and row behind any record, as long as the files are only appended to.",
        blocking=True,
        columnar=_columns,
        distance=distance,
    )
    sink = Spec(
        CsvSinkOptions,
        _sink,
        guarantee=(
            "A batch is synced to the disk before it counts as written; a batch written again is there twice. With a "
            "roller files become visible complete, and with `exactlyOnce` each record is in them once."
        ),
        blocking=True,
        columnar=_sink,
        roller=SinkRoller,
        rolled=_rolled,
        exactly_once="any",
    )
