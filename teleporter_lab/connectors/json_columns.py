"""JSON lines as columns.

Owns the columns that the lines of a file have, and the way of whole pieces of it through pyarrow's parser. A line that
does not fit is found by halving, and told; nothing of it is left out to make it fit.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec

from teleporter_lab.connectors.file import UNREADABLE, LineSource
from teleporter_lab.connectors.files_reader import find
from teleporter_lab.connectors.lines import BLOCK, Lines, offsets
from teleporter_lab.connectors.record_batches import Piece, arrow, arrow_type, inferred, misfits, schema_of, shown
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from teleporter_lab.connectors.csv_values import TypeName
    from teleporter_lab.connectors.file import FileSourceOptions
    from teleporter_lab.connectors.record_batches import Batch, Schema

SAMPLE = 1000
"""Lines at the start of the first file that say which columns there are; without an object in them, those from the
first object on."""

FEW = 100
"""Lines looked at together where most of them are bad ones."""

NO_NUMBERS = (b"NaN", b"Infinity")
"""What pyarrow takes for numbers, and JSON does not."""


class JsonColumns(LineSource):
    """Gives JSON lines as RecordBatches. Positions are those of `LineSource`: either form goes on from the other's.

    Memory: the lines of one block, as text and as columns.
    """

    columnar = True

    def __init__(self, options: FileSourceOptions) -> None:
        super().__init__(options)
        self._types = options.types
        self._form: JsonForm | None = None
        self._piece = Piece()
        self._searched: set[str] = set()

    def begin(self, lines: Lines, offset: int) -> None:
        if self._form is None:
            self._form = self._found(lines.path)
        super().begin(lines, offset)

    def mark(self, lines: Lines) -> dict[str, Any]:
        return self._piece.mark(super().mark(lines))

    def some(self, lines: Lines, n: int) -> Batch | None:
        if self._form is None:
            return self._without_columns(lines)
        while not self._piece.left:
            if not self._load(self._form, lines):
                return None
        return self._piece.take(n)

    def _load(self, form: JsonForm, lines: Lines) -> bool:
        """Takes the lines at hand as far as the first bad one; False at the end.

        Raises BadRecord, and has passed it, when that is the first.
        """
        begin = lines.offset
        raw = self._in_range(lines, BLOCK)
        kept, texts = list(range(len(raw))), raw
        if b"" in raw or any(map(bytes.isspace, raw)):
            kept = [number for number, line in enumerate(raw) if line and not line.isspace()]
            texts = [raw[number] for number in kept]
        batch = form.parsed(texts)
        if batch is None:
            good = form.count_good(texts)
            if good == 0:
                lines.back(raw[kept[0] + 1 :])
                raise self._refused(form, lines, texts[0])
            lines.back(raw[kept[good] :])
            kept, batch = kept[:good], form.parsed(texts[:good])
        ends = offsets(raw, begin, len(self._delimiter), lines.offset)
        self._piece = Piece(batch, [ends[number] for number in kept])
        return bool(raw)

    def _refused(self, form: JsonForm, lines: Lines, line: bytes) -> BadRecord:
        try:
            self._decode(line)
        except UNREADABLE as error:
            return self._bad(lines, line, error)
        number = lines.number_of(line)
        return BadRecord(f"Line {number} of {lines.path} does not fit the columns: {form.wrong(line)}.")

    def _without_columns(self, lines: Lines) -> None:
        """Reads a file in which no object has a field: blank lines are passed over, others raise BadRecord."""
        while raw := self._in_range(lines, FEW):
            for at, line in enumerate(raw):
                if line and not line.isspace():
                    lines.back(raw[at + 1 :])
                    raise self._no_row(lines, line)

    def _no_row(self, lines: Lines, line: bytes) -> BadRecord:
        try:
            value = self._decode(line)
        except UNREADABLE as error:
            return self._bad(lines, line, error)
        number = lines.number_of(line)
        why = "an object without fields" if isinstance(value, dict) else f"a {type(value).__name__} and no object"
        return BadRecord(f"Line {number} of {lines.path} holds {why}, and a row needs a field to have columns.")

    def _found(self, reached: str) -> JsonForm | None:
        """The columns that the first files tell, wherever reading begins, so that a resumed stream has the same."""
        for path in [path for path in find(self._pattern) if path < reached] + [reached]:
            if path not in self._searched:
                sample = self._sample(path, path == reached)
                if sample:
                    return JsonForm(sample, self._types, path)
                self._searched.add(path)
        return None

    def _sample(self, path: str, needed: bool) -> list[dict[str, Any]]:
        """The objects that say which columns there are. A file that is not `needed` may be unreadable."""
        objects: list[dict[str, Any]] = []
        last = SAMPLE
        try:
            for number, value in enumerate(self._values(path)):
                if objects and number >= last:
                    break
                if isinstance(value, dict) and (value or self._types):
                    last = last if objects or number < SAMPLE else number + SAMPLE
                    objects.append(cast("dict[str, Any]", value))
        except AddressUnreachable:
            if needed:
                raise
        return objects

    def _values(self, path: str) -> Generator[Any]:
        """What each line of a file means; None for one that means nothing."""
        lines, more = Lines(path, self._delimiter), True
        try:
            lines.skip_byte_order_mark()
            while more:
                try:
                    for line in lines:
                        yield _value(line)
                    more = False
                except BadRecord:  # a line that is too long: reading says so when it comes there
                    yield None
        finally:
            lines.close()


class JsonForm:
    """Makes batches of lines: of the fields of a sample, with the types found there or given by name."""

    def __init__(self, sample: Sequence[Mapping[str, Any]], types: Mapping[str, TypeName], path: str) -> None:
        values: dict[str, list[Any]] = {name: [] for each in sample for name in each}
        values |= {name: [] for name in types if name not in values}
        for each in sample:
            for name, value in each.items():
                values[name].append(value)
        self.schema: Schema = schema_of({name: _kind(name, found, types, path) for name, found in values.items()})
        temporal = arrow().types.is_temporal
        self._cast = [temporal(kind) for kind in self.schema.types]
        self._read = schema_of(
            {
                name: arrow_type("text") if cast else kind
                for name, kind, cast in zip(self.schema.names, self.schema.types, self._cast, strict=True)
            }
        )

    def parsed(self, lines: Sequence[bytes]) -> Batch | None:
        """A row for each line; None when one does not fit."""
        try:
            return self._parse(lines)
        except misfits():
            return None

    def count_good(self, lines: Sequence[bytes]) -> int:
        """How many lines fit before the first that does not."""
        good, bad = 0, len(lines)
        while bad - good > 1:
            middle = (good + bad) // 2
            if self.parsed(lines[good:middle]) is None:
                bad = middle
            else:
                good = middle
        return good

    def wrong(self, line: bytes) -> str:
        """Why a line of JSON does not fit, as the rest of a sentence."""
        value = msgspec.json.decode(line)
        if not isinstance(value, dict):
            return f"it holds a {type(value).__name__} and no object"
        new = sorted(cast("dict[str, Any]", value).keys() - set(self.schema.names))
        if new:
            return f"it has the field {new[0]}, which the first {SAMPLE} lines had not; name it in `types`"
        try:
            self._parse([line])
        except misfits() as error:
            return f"{str(error).splitlines()[0].rstrip('.')} (they are {shown(self.schema)}; `types` can name others)"
        return "it is read otherwise together with its neighbours"

    def _parse(self, lines: Sequence[bytes]) -> Batch:
        pa, json = arrow(), arrow("pyarrow.json")
        if not lines:
            return pa.RecordBatch.from_pylist([], schema=self.schema)
        data = _plain(lines)
        read = json.ReadOptions(block_size=len(data) + 1, use_threads=False)
        parse = json.ParseOptions(explicit_schema=self._read, unexpected_field_behavior="error")
        table = json.read_json(pa.py_buffer(data), read, parse)
        if table.num_rows != len(lines):
            raise ValueError("a line holds no object of its own")
        columns = [
            column.combine_chunks().cast(kind) if cast else column.combine_chunks()
            for column, kind, cast in zip(table.columns, self.schema.types, self._cast, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def _plain(lines: Sequence[bytes]) -> bytes:
    """The lines as one text in which each is one object. Raises ValueError for what only pyarrow would read.

    Where a line ends in `}` and the next begins with `{`, no object goes on from one to the other; so when there are as
    many objects as lines, each line is one.
    """
    data = b"\n".join(lines)
    if not _cut_well(data, len(lines)):
        data = b"\n".join([line.replace(b"\n", b" ").strip() for line in lines])
        if not _cut_well(data, len(lines)):
            raise ValueError("a line holds no object of its own")
    data.decode()
    if any(word in data for word in NO_NUMBERS):
        for line in lines:
            msgspec.json.decode(line)
    return data


def _cut_well(data: bytes, lines: int) -> bool:
    return data.startswith(b"{") and data.endswith(b"}") and data.count(b"}\n{") == lines - 1


def _value(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except UNREADABLE:
        return None


def _kind(name: str, values: Sequence[Any], types: Mapping[str, TypeName], path: str) -> Any:
    if name in types:
        return arrow_type(types[name], "UTC" if types[name] == "datetime" and _zoned(values) else None)
    try:
        return inferred(values)
    except ValueError as error:
        raise ConnectorError(
            f"The field {name} of {path} has values that no single column can hold: {error}. Read the file as rows."
        ) from error


def _zoned(values: Sequence[Any]) -> bool:
    """Whether the first time has a zone offset."""
    text = next((value for value in values if isinstance(value, str)), "")
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
