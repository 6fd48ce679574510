"""Columns are written as CSV: by pyarrow as the row form would, or as rows where it cannot."""

from __future__ import annotations

import csv
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors.csv import CsvConnector, CsvSinkOptions, CsvSourceOptions
from teleporter_lab.connectors.csv_text import csv_text
from teleporter_lab.errors import BadRecord
from teleporter_lab.testing.sink_contract import ColumnarSinkContract, SinkCase

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.connectors.csv import CsvSink

WILD = ("plain", '"', "a,b", "x\ny", "", "c\rd", 'q"q', " ", "€")
RECORDS = [{"id": str(n), "name": WILD[n % len(WILD)], "note": "x" * (n % 3)} for n in range(60)]
TEXTS = pa.schema([("id", pa.string()), ("name", pa.string()), ("note", pa.string())])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.csv"


def sink(path: Path, **options: Any) -> CsvSink:
    return CsvConnector.spec("sink").make(CsvSinkOptions(path=str(path), **options), None)


def written(path: Path, *batches: Any, **options: Any) -> str:
    path.unlink(missing_ok=True)
    writer = sink(path, **options)
    writer.open()
    with closing(writer):
        for batch in batches:
            writer.write(batch)
    return path.read_bytes().decode(options.get("encoding", "utf-8"))


def batch(**columns: Any) -> Any:
    return pa.RecordBatch.from_pydict(columns)


def read_back(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class TestCsvSinkOfColumns(ColumnarSinkContract):
    @pytest.fixture
    def case(self, path: Path) -> SinkCase:
        def form(records: Any) -> Any:
            missing = records and "note" not in records[-1]
            kept = pa.RecordBatch.from_pylist(list(records), schema=TEXTS)
            return kept.select(["id", "name"]) if missing else kept

        return SinkCase(
            make=lambda: sink(path, columns=["id", "name", "note"]),
            read_back=lambda: read_back(path) if path.exists() else [],
            records=RECORDS,
            bad=[*RECORDS[:5], {"id": "1", "name": "note is missing"}],
            form=form,
        )


VALUES: dict[str, list[Any]] = {
    "whole numbers": [1, -2, None, 1 << 62],
    "fractions": [1.0, 2.5, None, -0.0, 1e16, 1e22, 0.1, float("inf")],
    "truth": [True, False, None],
    "days": [date(2024, 2, 29), None],
    "times": [datetime(2024, 2, 29, 1, 2, 3), None],
    "times with fractions": [datetime(2024, 2, 29, 1, 2, 3, 450000), None],
    "instants": [datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC), None],
    "instants with fractions": [datetime(2024, 2, 29, 1, 2, 3, 5, tzinfo=UTC), None],
    "decimals": [Decimal("1.50"), Decimal("-2.25"), None],
    "texts": ["a", "", None, "é"],
    "nothing": [None, None],
    "time of day": [time(1, 2, 3), None],
    "bytes": [b"a\xff", None],
    "lists": [[1, 2], None],
    "objects": [{"x": 1}, None],
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_text_is_that_of_the_row_form(path: Path, values: list[Any]) -> None:
    columns = batch(n=list(range(len(values))), x=values, y=["z"] * len(values))
    assert written(path, columns) == written(path, columns.to_pylist()).replace("\r", "")


def test_where_one_text_needs_quotes_all_of_the_batch_get_them(path: Path) -> None:
    assert written(path, batch(a=["x", 'b"c', None], b=["d,e", "f\ng", "h"])) == 'a,b\n"x","d,e"\n"b""c","f\ng"\n,"h"\n'


@pytest.mark.parametrize("name", ["time of day", "bytes", "lists", "objects"])
def test_what_has_no_plain_text_takes_the_way_of_rows(name: str) -> None:
    assert csv_text(batch(a=[1] * len(VALUES[name]), b=VALUES[name]), ",") is None


def test_a_null_alone_in_its_row_is_no_blank_line(path: Path) -> None:
    assert written(path, batch(a=["x", None, ""])) == 'a\nx\n""\n""\n'


def test_dictionaries_and_large_texts_are_texts(path: Path) -> None:
    columns = pa.RecordBatch.from_arrays(
        [pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", 'd"'], pa.large_string())], names=["x", "y"]
    )
    assert written(path, columns) == 'x,y\na,c\nb,"d"""\n'


def test_an_instant_of_another_zone_is_written_in_utc(path: Path) -> None:
    there = pa.array([datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))], pa.timestamp("us", "+02:00"))
    columns = pa.RecordBatch.from_arrays([there, pa.array([1])], names=["t", "n"])
    assert written(path, columns) == "t,n\n2024-01-01 10:00:00+00:00,1\n"


def test_other_marks_encodings_and_no_header(path: Path) -> None:
    columns = batch(a=["é;", "b'c"], b=[1.0, None])
    assert written(path, columns, delimiter=";", encoding="latin-1", header=False) == '"é;";"1.0"\n"b\'c";\n'
    assert written(path, columns, delimiter=";", quote="'") == "a;b\n'é;';1.0\n'b''c';\n"
    with pytest.raises(BadRecord, match="cannot be written as CSV"):
        written(path, batch(a=["€"], b=[1]), encoding="latin-1")


def test_the_columns_are_those_of_the_config_of_the_file_or_of_the_first_batch(path: Path) -> None:
    both = batch(b=[1], a=["x"])
    assert written(path, both, both.select(["a", "b"])) == "b,a\n1,x\n1,x\n"
    assert written(path, both, columns=["a"]) == "a\nx\n"
    writer = sink(path)
    writer.open()
    with pytest.raises(BadRecord, match=r"The batch for .* has the column b, which the first one had not"):
        writer.write(both)
    with pytest.raises(BadRecord, match=r"The batch for .* lacks the column a\."):
        writer.write(batch(c=[1]))
    writer.close()
    with pytest.raises(BadRecord, match=r"has the column a twice"):
        written(path, pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), columns=["a"])


TEXT = st.text(alphabet='ab,"\n\r \u20ac', max_size=5)
ROW = st.fixed_dictionaries(
    {
        "t": TEXT,
        "i": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        "f": st.none() | st.floats(allow_nan=False),
        "b": st.none() | st.booleans(),
        "d": st.none() | st.dates(),
        "w": st.none() | st.datetimes(),
        "z": st.none() | st.datetimes(timezones=st.just(UTC)),
        "m": st.none() | st.decimals(-(10**15), 10**15, places=6),
    }
)
SCHEMA = pa.schema(
    [
        ("t", pa.string()),
        ("i", pa.int64()),
        ("f", pa.float64()),
        ("b", pa.bool_()),
        ("d", pa.date32()),
        ("w", pa.timestamp("us")),
        ("z", pa.timestamp("us", "UTC")),
        ("m", pa.decimal128(38, 18)),
    ]
)
TYPES = {"i": "int", "f": "float", "b": "bool", "d": "date", "w": "datetime", "z": "datetime", "m": "decimal"}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=12), cut=st.integers(0, 12))
def test_rows_go_through_the_sink_and_the_source_of_columns_unchanged(
    path: Path, rows: list[dict[str, Any]], cut: int
) -> None:
    rows[0]["z"] = rows[0]["z"] or datetime(2024, 1, 1, tzinfo=UTC)  # the first value says that it has a zone
    columns = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    written(path, columns[:cut], columns[cut:])
    spec = CsvConnector.spec("source")
    assert spec.columnar is not None
    reader = spec.columnar(CsvSourceOptions(path=str(path), types=TYPES), None)
    reader.open(None)
    got = reader.read(100)
    reader.close()
    assert got.schema == SCHEMA
    assert got.to_pylist() == rows
