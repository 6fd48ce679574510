"""Files of lines, JSON lines or raw pieces on this machine.

Owns what a line means. Refuses to follow a file that grows and to roll one; `lines` cuts, `append_file` appends.
"""

from __future__ import annotations

from functools import partial
from os import SEEK_END
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import msgspec
from pydantic import Field, field_validator, model_validator

from teleporter_lab.connectors.append_file import AppendFile, lines_end
from teleporter_lab.connectors.base import BatchOptions, Connector, Options, Spec
from teleporter_lab.connectors.csv_values import TypeName
from teleporter_lab.connectors.file_format import LineFormat
from teleporter_lab.connectors.files_reader import FilesReader, distance
from teleporter_lab.connectors.lines import BLOCK, Lines, encoding_that_keeps_ascii
from teleporter_lab.connectors.rollers.rolled_files import RolledFiles, refuse_exactly_once, rolled
from teleporter_lab.connectors.rollers.sink_roller import SinkRoller
from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

UNREADABLE = (UnicodeDecodeError, msgspec.DecodeError, RecursionError)
"""What a line that is not of the promised form raises."""


class FileSourceOptions(Options):
    """The `client` block of a file source."""

    path: str = Field(
        min_length=1, description="File, or pattern such as `/data/*.log`; files are read in sorted order."
    )
    format: Literal["text", "jsonl", "bytes", "blocks"] = Field(
        default="text",
        description="A record is a line of text, the JSON of a line, the bytes of a line, or a block of bytes.",
    )
    delimiter: str | None = Field(
        default=None, min_length=1, description="What ends a line; empty: a line feed, with or without carriage return."
    )
    encoding: str = Field(default="utf-8", description="Encoding of text.")
    offset: int = Field(
        default=0, ge=0, description="Byte to start at: the first record that begins there or behind it."
    )
    len: int | None = Field(
        default=None, ge=1, description="Bytes from `offset` in which a record must begin; empty: to the end."
    )
    types: dict[str, TypeName] = Field(
        default_factory=dict[str, TypeName],
        description="Columns of JSON lines only: types of fields that the first 1,000 lines do not tell.",
    )
    block_size: int = Field(default=65536, ge=1, le=BLOCK, description="Bytes of one record of the format blocks.")

    _encoding = field_validator("encoding")(encoding_that_keeps_ascii)

    @model_validator(mode="after")
    def _typed(self) -> FileSourceOptions:
        if self.types and self.format != "jsonl":
            raise ValueError("types may be given only with the format jsonl")
        return self


class FileSinkOptions(BatchOptions):
    """The `client` block of a file sink."""

    path: str = Field(
        min_length=1,
        description="File to append to; made when missing, its folder is not. With a roller: what the files are "
        "called, such as `/data/{date:%Y-%m-%d}-{index}.txt`.",
    )
    format: Literal["text", "jsonl", "bytes"] = Field(
        default="text",
        description="A record is written as a line of text, as the JSON of a line, or as the bytes of a line.",
    )
    delimiter: str = Field(default="\n", description="What ends a line; empty only for bytes that need none.")
    encoding: str = Field(default="utf-8", description="Encoding of text.")
    exactly_once: bool = Field(
        default=False,
        description="With a roller: keep the position of the source with the records, so that each is there once.",
    )

    _encoding = field_validator("encoding")(encoding_that_keeps_ascii)

    @model_validator(mode="after")
    def _delimited(self) -> FileSinkOptions:
        if not self.delimiter and self.format != "bytes":
            raise ValueError("delimiter may be empty only with the format bytes")
        return self


class LineSource(FilesReader[list[Any]]):
    """Gives the lines that begin in the byte range `offset`, `len` of each file; neighbouring ranges share no line."""

    def __init__(self, options: FileSourceOptions) -> None:
        self._delimiter = (options.delimiter or "\n").encode(options.encoding)
        super().__init__(options.path, self._delimiter)
        self._options = options
        self._universal = options.delimiter is None and options.format != "bytes"
        self._limit = None if options.len is None else options.offset + options.len
        self._decode: Callable[[bytes], Any] = {
            "text": partial(str, encoding=options.encoding),
            "jsonl": msgspec.json.decode,
            "bytes": bytes,
        }[options.format]

    def begin(self, lines: Lines, offset: int) -> None:
        begin = self._options.offset
        if offset:
            lines.seek(offset)
        elif begin:
            lines.seek(max(0, min(begin, lines.size) - len(self._delimiter)))
            lines.take(1)
        elif self._options.format != "bytes":
            lines.skip_byte_order_mark()

    def some(self, lines: Lines, n: int) -> list[Any] | None:
        while raw := self._in_range(lines, n):
            try:
                records = self._meant(raw)
            except UNREADABLE:
                return self._until_bad(lines, raw)
            if records:
                return records
        return []

    def _meant(self, raw: list[bytes]) -> list[Any]:
        """The records that these lines are; blank lines are no JSON records."""
        if self._universal and b"\r" in b"".join(raw):
            raw = [line.removesuffix(b"\r") for line in raw]
        if self._options.format == "jsonl":
            raw = [line for line in raw if line and not line.isspace()]
        return list(map(self._decode, raw))

    def _until_bad(self, lines: Lines, raw: list[bytes]) -> list[Any]:
        """The records before the bad line; raises, and has passed the line, when it is the first."""
        records: list[Any] = []
        for taken, line in enumerate(raw):
            try:
                records += self._meant([line])
            except UNREADABLE as error:
                if records:
                    lines.back(raw[taken:])
                    break
                lines.back(raw[taken + 1 :])
                raise self._bad(lines, line, error) from error
        return records

    def _bad(self, lines: Lines, line: bytes, error: Exception) -> BadRecord:
        number = lines.number_of(line)
        wanted = "JSON" if self._options.format == "jsonl" else f"{self._options.encoding} text"
        return BadRecord(f"Line {number} of {lines.path} is no {wanted}: {error}.", record=line)

    def _in_range(self, lines: Lines, n: int) -> list[bytes]:
        """Up to `n` lines that begin before the limit."""
        at = lines.offset
        if self._limit is not None and at >= self._limit:
            return []
        raw = lines.take(n)
        if self._limit is None or lines.offset <= self._limit:
            return raw
        for kept, line in enumerate(raw):
            if at >= self._limit:
                lines.back(raw[kept:])
                return raw[:kept]
            at += len(line) + len(self._delimiter)
        return raw


class BlockSource(FilesReader[list[bytes]]):
    """Gives the bytes of the range `offset`, `len` of each file in blocks; the last one is shorter."""

    def __init__(self, options: FileSourceOptions) -> None:
        super().__init__(options.path)
        self._options = options

    def begin(self, lines: Lines, offset: int) -> None:
        lines.seek(offset or min(self._options.offset, lines.size))

    def some(self, lines: Lines, n: int) -> list[bytes]:
        size = self._options.block_size
        blocks: list[bytes] = []
        while len(blocks) < min(n, max(1, BLOCK // size)) and (block := lines.piece(self._left(lines, size))):
            blocks.append(block)
        return blocks

    def _left(self, lines: Lines, size: int) -> int:
        if self._options.len is None:
            return size
        return max(0, min(size, self._options.offset + self._options.len - lines.offset))


class FileSink:
    """Appends each record as a line. A batch is on the disk when `write` returns; one that fails leaves nothing.

    Takes columns with the format jsonl, where a row is an object.
    """

    def __init__(self, options: FileSinkOptions) -> None:
        self._format = LineFormat(options)
        self._file = AppendFile(options.path, self._format.delimiter, self._complete)
        self.columnar = self._format.columnar
        self._records = 0

    def open(self) -> None:
        self._file.open()

    def write(self, records: Sequence[Any]) -> None:
        if len(records):
            self._file.append(self._format.encoded(records))
            self._records += len(records)

    def close(self) -> None:
        self._file.close()

    def statistics(self) -> dict[str, int]:
        """Records written since it was made, and the size of the file in bytes."""
        return {"records": self._records, "bytes": self._file.size}

    def _complete(self, file: BinaryIO, start: int) -> int:
        delimiter = self._format.delimiter
        return lines_end(file, start, delimiter) if delimiter else file.seek(0, SEEK_END)


def _source(options: FileSourceOptions, _: object) -> LineSource | BlockSource:
    return BlockSource(options) if options.format == "blocks" else LineSource(options)


def _columns(options: FileSourceOptions, _: object) -> LineSource:
    from teleporter_lab.connectors.json_columns import JsonColumns

    if options.format != "jsonl":
        raise ConnectorError(
            f"A file source gives columns with the format jsonl only, not with {options.format}; CSV and Parquet files "
            "have the categories csv and parquet."
        )
    return JsonColumns(options)


def _sink(options: FileSinkOptions, _: object) -> FileSink:
    refuse_exactly_once(options.exactly_once)
    return FileSink(options)


def _rolled(options: FileSinkOptions, _: object, roller: SinkRoller) -> RolledFiles | FileSink:
    return rolled(options, roller, LineFormat(options)) if roller.model_fields_set else _sink(options, None)


class FileConnector(Connector):
    """Files on this machine."""

    category = "file"
    description = "Files of text lines, JSON lines or raw bytes on the machine of the instance."
    source = Spec(
        FileSourceOptions,
        _source,
        guarantee="Resumes at the exact byte behind any record, as long as the files are only appended to.",
        blocking=True,
        columnar=_columns,
        distance=distance,
    )
    sink = Spec(
        FileSinkOptions,
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
