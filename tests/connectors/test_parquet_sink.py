"""Parquet files are complete, of one schema, and hold just what was written."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors.base import Registry
from teleporter_lab.connectors.parquet import ParquetConnector, ParquetSinkOptions, ParquetSourceOptions
from teleporter_lab.errors import BadRecord, ConnectorError
from teleporter_lab.testing.sink_contract import ColumnarSinkContract, SinkCase, SinkContract

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = [{"id": n, "name": f"Zoë {n}", "price": n / 4, "tags": ["x"] * (n % 3)} for n in range(50)]
SCHEMA = pa.schema(
    [("id", pa.int64()), ("name", pa.string()), ("price", pa.float64()), ("tags", pa.list_(pa.string()))]
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def sink(folder: Path, **options: Any) -> Any:
    make = Registry.load().get("parquet").spec("sink").make
    return make(ParquetSinkOptions(path=str(folder), **options), None)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def read_back(folder: Path) -> list[dict[str, Any]]:
    return [row for path in files(folder) for row in pq.ParquetFile(path).read().to_pylist()]


def write(folder: Path, *batches: Any, **options: Any) -> None:
    writer = sink(folder, **options)
    writer.open()
    try:
        for batch in batches:
            writer.write(batch)
    finally:
        writer.close()


class TestParquetSinkOfRows(SinkContract):
    @pytest.fixture
    def case(self, folder: Path) -> SinkCase:
        return SinkCase(
            make=lambda: sink(folder, rows_per_file=20),
            read_back=lambda: read_back(folder),
            records=RECORDS,
            bad=[*RECORDS[:30], {**RECORDS[30], "id": "no number"}],
        )


class TestParquetSinkOfColumns(ColumnarSinkContract):
    @pytest.fixture
    def case(self, folder: Path) -> SinkCase:
        def form(records: Any) -> Any:
            if any(isinstance(each["id"], str) for each in records):
                return pa.RecordBatch.from_pydict({"id": ["x"], "name": ["y"], "price": [1.0]})
            return pa.RecordBatch.from_pylist(list(records), schema=SCHEMA)

        return SinkCase(
            make=lambda: sink(folder, rows_per_file=20, columns=["id", "name", "price", "tags"]),
            read_back=lambda: read_back(folder),
            records=RECORDS,
            bad=[{**RECORDS[30], "id": "no number"}],
            form=form,
        )


def test_a_batch_is_a_file_and_a_large_one_several(folder: Path) -> None:
    writer = sink(folder, rows_per_file=20, prefix="flights", compression="none")
    writer.open()
    writer.write(RECORDS[:5])
    writer.write(RECORDS)
    assert writer.statistics() == {"records": 55, "files": 4}
    writer.close()
    assert [(path.name, pq.ParquetFile(path).metadata.num_rows) for path in files(folder)] == [
        ("flights-00000001.parquet", 5),
        ("flights-00000002.parquet", 20),
        ("flights-00000003.parquet", 20),
        ("flights-00000004.parquet", 10),
    ]


def test_types_are_those_of_the_first_batch_with_room_for_others(folder: Path) -> None:
    first = {
        "d": Decimal("1.5"),
        "t": datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        "n": None,
        "day": date(2024, 1, 1),
        "at": time(1, 2),
        "raw": b"\xff",
    }
    second = {**first, "d": Decimal("12345678.123456"), "t": datetime(2024, 1, 1, tzinfo=UTC), "n": "x"}
    write(folder, [first], [second])
    assert read_back(folder) == [first, second]
    schema = pq.read_schema(files(folder)[0])
    assert schema.field("t").type == pa.timestamp("us", "UTC")
    assert schema.field("n").type == pa.string()


def test_types_are_those_configured_and_then_those_of_the_files(folder: Path) -> None:
    write(folder, [{"a": 1, "b": None, "c": "x"}], types={"a": "float", "b": "datetime"})
    write(folder, [{"a": 2, "b": datetime(2024, 1, 1), "c": "y"}])
    write(folder, pa.RecordBatch.from_pydict({"c": ["z"], "a": pa.array([3], pa.int8()), "b": pa.nulls(1)}))
    assert read_back(folder) == [
        {"a": 1.0, "b": None, "c": "x"},
        {"a": 2.0, "b": datetime(2024, 1, 1), "c": "y"},
        {"a": 3.0, "b": None, "c": "z"},
    ]
    assert len({str(pq.read_schema(path)) for path in files(folder)}) == 1


WRONG: dict[str, tuple[Any, str]] = {
    "text for a number": (
        [{"a": "x", "t": None, "s": None}],
        r"Record 1 of the batch for .*: the column a holds int64, not 'x'",
    ),
    "a fraction for a number": ([{"a": 1.5, "t": None, "s": None}], "the column a holds int64, not '1.5'"),
    "a zone": ([{"a": 1, "t": datetime(2024, 1, 1, tzinfo=UTC), "s": None}], "it has a zone offset"),
    "a time for a day": ([{"a": 1, "t": None, "s": None, "d": datetime(2024, 1, 1, 5)}], "it has a time of day"),
    "more inside": ([{"a": 1, "t": None, "s": {"x": 1, "y": 2}}], "it has the field y inside"),
    "a new field": ([{"a": 1, "t": None, "s": None, "z": 1}], "has the field z, which the first record had not"),
    "columns of another kind": (
        pa.RecordBatch.from_pydict({"a": ["x"], "t": pa.nulls(1), "s": pa.nulls(1), "d": pa.nulls(1)}),
        r"The column a of the batch for .*, string, does not fit: ",
    ),
    "columns with a zone": (
        pa.RecordBatch.from_pydict(
            {"a": [1], "t": pa.array([0], pa.timestamp("us", "UTC")), "s": pa.nulls(1), "d": pa.nulls(1)}
        ),
        "it has a zone, unlike",
    ),
    "columns with more inside": (
        pa.RecordBatch.from_pydict({"a": [1], "t": pa.nulls(1), "s": [{"x": 1, "y": 2}], "d": pa.nulls(1)}),
        "it cannot be made one of struct<x: int64>",
    ),
}


@pytest.mark.parametrize(("batch", "wrong"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_told_and_nothing_of_it_is_written(folder: Path, batch: Any, wrong: str) -> None:
    first = {"a": 1, "t": datetime(2024, 1, 1), "s": {"x": 1}, "d": date(2024, 1, 1)}
    full = [{"d": None, **each} for each in batch] if isinstance(batch, list) else batch
    with pytest.raises(BadRecord, match=wrong):
        write(folder, [first], full)
    assert read_back(folder) == [first]


def test_a_first_batch_without_one_type_is_told(folder: Path) -> None:
    with pytest.raises(BadRecord, match=r"The field a of the batch for .* has no one type: "):
        write(folder, [{"a": 1}, {"a": "x"}])
    with pytest.raises(BadRecord, match="cannot be kept in Parquet"):
        write(folder, [{"a": {}}])
    assert files(folder) == []


def test_a_file_that_is_none_is_told_at_the_start(folder: Path) -> None:
    folder.mkdir()
    (folder / "part-00000003.parquet").write_text("no parquet")
    for _ in range(2):
        with pytest.raises(ConnectorError, match=r"part-00000003\.parquet is no Parquet file; move it away\."):
            sink(folder).open()


def test_a_kill_in_the_middle_leaves_complete_files_only(folder: Path) -> None:
    code = f"""
import os, pyarrow.parquet as pq
from teleporter_lab.connectors.parquet import ParquetConnector, ParquetSinkOptions
sink = ParquetConnector.spec("sink").make(ParquetSinkOptions(path={str(folder)!r}), None)
sink.open()
sink.write([{{"a": 1}}])
whole = pq.ParquetWriter.close
pq.ParquetWriter.close = lambda self: os._exit(9)
sink.write([{{"a": 2}}])
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert len([path for path in folder.iterdir() if path.name.endswith(".tmp")]) == 1
    assert read_back(folder) == [{"a": 1}]
    write(folder, [{"a": 2}])
    assert read_back(folder) == [{"a": 1}, {"a": 2}]
    assert [path.name for path in folder.iterdir() if path.name.endswith(".tmp")] == []


ROW = st.fixed_dictionaries(
    {
        "i": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        "t": st.none() | st.text(max_size=5),
        "f": st.none() | st.floats(allow_nan=False),
        "b": st.none() | st.binary(max_size=4),
        "d": st.none() | st.dates(),
        "z": st.none() | st.datetimes(timezones=st.just(UTC)),
        "m": st.none() | st.decimals(-(10**15), 10**15, places=6),
        "l": st.none() | st.lists(st.none() | st.integers(0, 9), max_size=3),
    }
)
TYPES = [
    ("i", pa.int64()),
    ("t", pa.string()),
    ("f", pa.float64()),
    ("b", pa.binary()),
    ("d", pa.date32()),
    ("z", pa.timestamp("us", "UTC")),
    ("m", pa.decimal128(38, 18)),
    ("l", pa.list_(pa.int64())),
]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=12), cut=st.integers(0, 12), as_rows=st.booleans())
def test_rows_go_through_the_sink_and_the_source_of_columns_unchanged(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], cut: int, as_rows: bool
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    batch = pa.RecordBatch.from_pylist(rows, schema=pa.schema(TYPES))
    write(folder, batch[:cut], rows[cut:] if as_rows and cut else batch[cut:])
    spec = ParquetConnector.spec("source")
    assert spec.columnar is not None
    reader = spec.columnar(ParquetSourceOptions(path=f"{folder}/*.parquet"), None)
    reader.open(None)
    got: list[dict[str, Any]] = []
    while (chunk := reader.read(5)) is not None:
        assert chunk.schema.equals(pa.schema(TYPES))
        got += chunk.to_pylist()
    reader.close()
    assert got == rows


def test_a_batch_without_columns_is_refused(folder: Path) -> None:
    for batch in pa.table({"x": [1, 2]}).select([]).to_batches():
        with pytest.raises(BadRecord, match=r"^A batch for .* has no columns at all\.$"):
            write(folder, batch)
    assert files(folder) == []
