"""JSON lines as columns: one schema, the positions of the row form, and nothing left out to make a line fit."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from teleporter_lab.connectors import lines as lines_module
from teleporter_lab.connectors.file import FileConnector, FileSinkOptions, FileSourceOptions
from teleporter_lab.errors import BadRecord, ConnectorError
from teleporter_lab.testing.sink_contract import ColumnarSinkContract, SinkCase
from teleporter_lab.testing.source_contract import ColumnarSourceContract, SourceCase

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.connectors.file import FileSink, LineSource

OBJECTS = [
    {"n": n, "text": f"ü{n}\n}}{{", "half": n / 2, "deep": {"list": [n, None], "name": None if n % 2 else "x"}}
    for n in range(250)
]
SCHEMA = pa.schema(
    [
        ("n", pa.int64()),
        ("text", pa.string()),
        ("half", pa.float64()),
        ("deep", pa.struct([("list", pa.list_(pa.int64())), ("name", pa.string())])),
    ]
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.jsonl"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK", 300)


def columns(path: Path, **options: Any) -> LineSource:
    spec = FileConnector.spec("source")
    assert spec.columnar is not None
    return spec.columnar(FileSourceOptions(**{"path": str(path), "format": "jsonl", **options}), None)


def rows(path: Path, **options: Any) -> LineSource:
    return FileConnector.spec("source").make(FileSourceOptions(path=str(path), format="jsonl", **options), None)


def sink(path: Path, **options: Any) -> FileSink:
    return FileConnector.spec("sink").make(FileSinkOptions(path=str(path), **{"format": "jsonl", **options}), None)


def everything(reader: LineSource, n: int = 1000) -> list[dict[str, Any]]:
    reader.open(None)
    records: list[dict[str, Any]] = []
    while (chunk := reader.read(n)) is not None:
        records += chunk if isinstance(chunk, list) else chunk.to_pylist()
    reader.close()
    return records


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


@pytest.mark.usefixtures("small_blocks")
class TestJsonColumns(ColumnarSourceContract):
    @pytest.fixture
    def case(self, path: Path) -> SourceCase:
        path.write_text("\ufeff" + "\n\n \r\n".join(map(json.dumps, OBJECTS)), encoding="utf-8")
        return SourceCase(lambda: columns(path), OBJECTS, lambda: rows(path))


class TestJsonColumnsOfARangeOfManyFiles(ColumnarSourceContract):
    @pytest.fixture
    def case(self, tmp_path: Path) -> SourceCase:
        for part in range(3):
            text = "||".join(json.dumps(each, indent=1) for each in [*OBJECTS[part::3], {}])
            (tmp_path / f"part-{part}.jsonl").write_text(text)
        pattern, options = tmp_path / "part-*.jsonl", {"delimiter": "||", "offset": 10, "len": 4000}
        expected = everything(rows(pattern, **options))
        assert 50 < len(expected) < 250
        return SourceCase(lambda: columns(pattern, **options), expected, lambda: rows(pattern, **options))


class TestJsonSinkOfColumns(ColumnarSinkContract):
    @pytest.fixture
    def case(self, path: Path) -> SinkCase:
        def form(records: Any) -> Any:
            kept = pa.RecordBatch.from_pylist(list(records), schema=SCHEMA)
            bad = pa.array([b"\xff"] * len(kept), pa.binary()).view(pa.string())
            return kept.set_column(0, "n", bad) if any(each["n"] < 0 for each in records) else kept

        return SinkCase(
            make=lambda: sink(path),
            read_back=lambda: [json.loads(line) for line in path.read_bytes().splitlines()],
            records=OBJECTS[:40],
            bad=[*OBJECTS[:3], {**OBJECTS[3], "n": -1}],
            form=form,
        )

    async def test_a_batch_that_lacks_a_column_stores_nothing_and_says_which(self, case: SinkCase) -> None:
        """JSON lines need not be alike: such a batch is written as it is."""


def test_the_columns_are_those_of_the_first_lines(path: Path) -> None:
    path.write_bytes(lines({"a": 1, "b": None}, {"a": 2.5, "c": "x", "d": [[], [{"e": None}]]}))
    reader = columns(path)
    reader.open(None)
    batch = reader.read(9)
    reader.close()
    assert batch is not None
    nested = pa.list_(pa.list_(pa.struct([("e", pa.string())])))
    assert batch.schema == pa.schema([("a", pa.float64()), ("b", pa.string()), ("c", pa.string()), ("d", nested)])
    assert batch.to_pylist() == [
        {"a": 1.0, "b": None, "c": None, "d": None},
        {"a": 2.5, "b": None, "c": "x", "d": [[], [{"e": None}]]},
    ]


def test_types_name_what_the_first_lines_do_not_tell(path: Path) -> None:
    path.write_bytes(
        lines({"t": "2024-01-02T03:04:05Z", "d": "2024-01-02", "m": "1.5", "f": 1, "u": "2024-01-02 03:04"})
        + b'{"f": 2.5, "late": 1, "m": 0.1}\n'
    )
    types = {"t": "datetime", "u": "datetime", "d": "date", "m": "decimal", "f": "float", "late": "int"}
    first, second = everything(columns(path, types=types))
    assert first == {
        "t": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "d": date(2024, 1, 2),
        "m": Decimal("1.5"),
        "f": 1.0,
        "u": datetime(2024, 1, 2, 3, 4),
        "late": None,
    }
    assert (second["f"], second["late"], second["m"]) == (2.5, 1, Decimal("0.1"))


BAD = {
    "no JSON": (b'{"a":\n', r"Line 3 of .* is no JSON: Input data was truncated\."),
    "no text": (b'{"b": "\xff"}\n', "Line 3 of .* is no JSON: "),
    "two objects": (b'{"a": 1} {"a": 2}\n', "Line 3 of .* is no JSON: "),
    "a number that is none": (b'{"a": NaN}\n', "Line 3 of .* is no JSON: "),
    "no object": (b"[1]\n", r"Line 3 of .* does not fit the columns: it holds a list and no object\."),
    "a new field": (b'{"z": 1}\n', r"it has the field z, which the first 1000 lines had not; name it in `types`\."),
    "a new field inside": (
        b'{"c": {"x": 1, "y": 2}}\n',
        "does not fit the columns: JSON parse error: unexpected field",
    ),
    "a fraction": (
        b'{"a": 1.5}\n',
        r"couldn't parse:1\.5 \(they are a int64, b string, c struct<x: int64>, t timestamp",
    ),
    "a text": (b'{"a": "1"}\n', r"Column\(/a\) changed from number to string"),
    "a number for text": (b'{"b": 1}\n', r"Column\(/b\) changed from string to number"),
    "no time": (b'{"t": "noon"}\n', "does not fit the columns: Failed to parse string: 'noon'"),
    "a zone": (b'{"t": "2024-01-01T00:00Z"}\n', "expected no zone offset"),
}


@pytest.mark.parametrize(("bad", "wrong"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("n", [1, 100])
def test_a_line_that_does_not_fit_comes_after_the_good_ones_and_is_passed(
    path: Path, monkeypatch: pytest.MonkeyPatch, bad: bytes, wrong: str, n: int
) -> None:
    good = {"a": 1, "b": "x", "c": {"x": 1}, "t": "2024-01-01T00:00"}
    path.write_bytes(lines(good) + b"\n" + bad + lines(*[{"a": 2}] * 50))
    monkeypatch.setattr("teleporter_lab.connectors.json_columns.SAMPLE", 1)
    reader = columns(path, types={"t": "datetime"})
    reader.open(None)
    assert len(reader.read(n) or []) == 1
    before = reader.position
    with pytest.raises(BadRecord, match=wrong.replace("1000", "1")) as raised:
        reader.read(n)
    assert "\n" not in str(raised.value)
    assert reader.position == before
    found = 0
    while (batch := reader.read(n)) is not None:
        found += len(batch)
    assert found == 50
    reader.close()


def test_text_that_looks_doubtful_is_read_where_it_is_json(path: Path) -> None:
    records = [{"a": "} {"}, {"a": "}{NaN"}, {"a": "Infinity"}]
    path.write_bytes(lines(*records))
    assert everything(columns(path)) == records


def test_a_field_of_many_types_is_refused_at_the_start(path: Path) -> None:
    path.write_bytes(lines({"a": 1}, {"a": "x"}))
    with pytest.raises(
        ConnectorError, match=r"The field a of .* has values that no single column can hold: .* as rows\."
    ):
        columns(path).open(None)


def told(reader: LineSource) -> list[Any]:
    """Every row, and what was said about the bad lines."""
    reader.open(None)
    found: list[Any] = []
    while True:
        try:
            batch = reader.read(7)
        except BadRecord as error:
            found.append(error.message)
            continue
        if batch is None:
            reader.close()
            return found
        found += batch if isinstance(batch, list) else batch.to_pylist()  # type: ignore[union-attr]


@pytest.mark.parametrize("head", [b"\n" * 1000, b"x\n" * 1001, b"{}\n" * 1200, b"[1]\n\n" * 600])
def test_a_file_whose_first_lines_hold_no_object_is_read(path: Path, head: bytes) -> None:
    path.write_bytes(head + lines({"a": 1}, {"a": 2}))
    if head.startswith((b"[", b"{")):
        found = told(columns(path))
        assert found[-2:] == [{"a": 1}, {"a": 2}]
        assert len(found) == (602 if head.startswith(b"[") else 1202)
    else:
        assert told(columns(path)) == told(rows(path))


def test_lines_that_are_no_rows_are_told_one_by_one(path: Path) -> None:
    path.write_bytes(b"5\n\nnot json\n{}\n \n{}")
    reader = columns(path)
    found = told(reader)
    assert [message.split(f"{path} ")[0] for message in found] == [f"Line {n} of " for n in (1, 3, 4, 6)]
    assert "holds a int and no object" in found[0]
    assert "is no JSON: " in found[1]
    assert found[2].endswith("holds an object without fields, and a row needs a field to have columns.")
    assert reader.position == {"file": str(path), "offset": path.stat().st_size}


def test_a_line_that_is_too_long_at_the_start_is_passed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK", 50)
    monkeypatch.setattr(lines_module, "LONGEST", 200)
    path.write_bytes(lines("x" * 500, {"a": 1}))
    found = told(columns(path))
    assert (len(found), found[1]) == (2, {"a": 1})


def test_a_resumed_read_has_the_columns_of_the_first_file(tmp_path: Path) -> None:
    for name, text in (("a", b"\n5\n"), ("b", lines({"a": 1, "b": 2.5})), ("c", lines({"a": 3}, {"a": 4}, {"a": 5}))):
        (tmp_path / f"{name}.jsonl").write_bytes(text)
    position = {"file": str(tmp_path / "c.jsonl"), "offset": 9}
    for expected in ([{"a": 4, "b": None}, {"a": 5, "b": None}], [{"a": 4}, {"a": 5}]):
        reader = columns(tmp_path / "*.jsonl")
        reader.open(position)
        batch: Any = reader.read(9)
        assert batch.to_pylist() == expected
        reader.close()
        (tmp_path / "b.jsonl").unlink(missing_ok=True)


@pytest.mark.parametrize("data", [b"", b"\n\n", b" \n\r\n"])
def test_a_file_without_objects_has_no_rows(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    reader = columns(path)
    reader.open(None)
    assert reader.read(5) is None
    reader.close()


def test_only_json_lines_are_columns(path: Path) -> None:
    with pytest.raises(ConnectorError, match=r"gives columns with the format jsonl only, not with text"):
        columns(path, format="text")
    assert sink(path).columnar
    assert not sink(path, format="text").columnar
    with pytest.raises(ValidationError, match="types may be given only with the format jsonl"):
        FileSourceOptions(path="x", types={"a": "int"})


VALUE = st.fixed_dictionaries(
    {
        "i": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        "t": st.none() | st.text(max_size=5),
        "f": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "b": st.none() | st.booleans(),
        "l": st.none() | st.lists(st.integers(0, 9), max_size=3),
    }
)
FIELDS = [("i", pa.int64()), ("t", pa.string()), ("f", pa.float64()), ("b", pa.bool_()), ("l", pa.list_(pa.int64()))]
ALL = {"i": 0, "t": "", "f": 0.5, "b": True, "l": [1]}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(VALUE, max_size=8))
def test_rows_go_through_the_sink_and_the_source_of_columns_unchanged(
    path: Path, records: list[dict[str, Any]]
) -> None:
    path.unlink(missing_ok=True)
    schema = pa.schema(FIELDS)
    writer = sink(path)
    writer.open()
    writer.write(pa.RecordBatch.from_pylist([ALL, *records], schema=schema))
    writer.close()
    reader = columns(path)
    reader.open(None)
    batch = reader.read(100)
    reader.close()
    assert batch is not None
    assert batch.schema == schema
    assert batch.to_pylist() == [ALL, *records]
