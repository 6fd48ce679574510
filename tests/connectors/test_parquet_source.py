"""Parquet files are read by row groups, as columns or rows, from any row on."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from teleporter_lab.connectors import parquet_source
from teleporter_lab.connectors.base import Registry
from teleporter_lab.connectors.parquet import ParquetConnector, ParquetSourceOptions
from teleporter_lab.connectors.record_batches import arrow
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError
from teleporter_lab.testing.source_contract import ColumnarSourceContract, SourceCase, SourceContract

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.connectors.parquet_source import ParquetColumns

RECORDS = [
    {"id": n, "name": None if n % 5 == 0 else f"Zoë {n}", "when": datetime(2024, 1, 1 + n % 28, tzinfo=UTC), "l": [n]}
    for n in range(100)
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.parquet"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_source, "ROWS", 7)


def columns(path: Path, **options: Any) -> ParquetColumns:
    spec = ParquetConnector.spec("source")
    assert spec.columnar is not None
    return spec.columnar(ParquetSourceOptions(path=str(path), **options), None)


def rows(path: Path, **options: Any) -> ParquetColumns:
    make = Registry.load().get("parquet").spec("source").make
    return make(ParquetSourceOptions(path=str(path), **options), None)


def everything(reader: ParquetColumns, n: int = 1000) -> list[dict[str, Any]]:
    reader.open(None)
    records: list[dict[str, Any]] = []
    while (chunk := reader.read(n)) is not None:
        records += chunk if isinstance(chunk, list) else chunk.to_pylist()
    reader.close()
    return records


def write(path: Path, records: list[dict[str, Any]], group: int = 23) -> None:
    pq.write_table(pa.Table.from_pylist(records).replace_schema_metadata({"by": "a test"}), path, row_group_size=group)


def parts(folder: Path) -> Path:
    for part in range(3):
        write(folder / f"part-{part}.parquet", RECORDS[part * 30 : part * 30 + 30], group=11)
    return folder / "part-*.parquet"


class TestParquetColumns(ColumnarSourceContract):
    @pytest.fixture
    def case(self, path: Path) -> SourceCase:
        write(path, RECORDS)
        return SourceCase(lambda: columns(path), RECORDS, lambda: rows(path))


class TestFilteredColumnsOfManyFiles(ColumnarSourceContract):
    @pytest.fixture
    def case(self, tmp_path: Path) -> SourceCase:
        pattern = parts(tmp_path)
        options = {
            "columns": ["name", "id"],
            "filter": [{"column": "when", "is": ">=", "value": "2024-01-10T00:00:00Z"}],
        }
        expected = [
            {"name": r["name"], "id": r["id"]} for r in RECORDS[:90] if r["when"] >= datetime(2024, 1, 10, tzinfo=UTC)
        ]
        return SourceCase(lambda: columns(pattern, **options), expected, lambda: rows(pattern, **options))


class TestParquetRows(SourceContract):
    @pytest.fixture
    def case(self, tmp_path: Path) -> SourceCase:
        pattern = parts(tmp_path)
        return SourceCase(lambda: rows(pattern), RECORDS[:90])


CONDITION = st.sampled_from(
    [
        ("id", "==", 3, lambda r: r["id"] == 3),
        ("id", "!=", 3, lambda r: r["id"] != 3),
        ("id", "<", 40, lambda r: r["id"] < 40),
        ("id", ">=", 77, lambda r: r["id"] >= 77),
        ("id", "in", [1, 50, 400], lambda r: r["id"] in (1, 50, 400)),
        ("id", "not in", [1, 2], lambda r: r["id"] not in (1, 2)),
        ("name", "==", "Zoë 7", lambda r: r["name"] == "Zoë 7"),
        ("name", "!=", "Zoë 7", lambda r: r["name"] not in (None, "Zoë 7")),
        ("name", "not in", ["Zoë 7"], lambda r: r["name"] not in (None, "Zoë 7")),
    ]
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conditions=st.lists(CONDITION, max_size=3))
def test_all_conditions_hold_and_nulls_hold_none(path: Path, conditions: list[Any]) -> None:
    if not path.exists():
        write(path, RECORDS)
    options = [{"column": column, "is": how, "value": value} for column, how, value, _ in conditions]
    expected = [record for record in RECORDS if all(holds(record) for *_, holds in conditions)]
    assert everything(columns(path, filter=options)) == expected


def test_row_groups_that_the_filter_excludes_are_not_decoded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, RECORDS, group=10)
    decoded: list[int] = []
    whole = pq.ParquetFile.iter_batches

    def counted(self: Any, size: int, row_groups: list[int], **more: Any) -> Any:
        decoded.extend(row_groups)
        return whole(self, size, row_groups=row_groups, **more)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    conditions = [{"column": "id", "is": ">=", "value": 75}, {"column": "id", "is": "<", "value": 85}]
    assert len(everything(columns(path, filter=conditions))) == 10
    assert decoded == [7, 8]


def test_positions_count_rows_of_the_file_whatever_is_filtered(path: Path) -> None:
    write(path, RECORDS)
    reader = columns(path, filter=[{"column": "id", "is": ">", "value": 29}])
    reader.open(None)
    assert [row["id"] for row in reader.read(2).to_pylist()] == [30, 31]
    assert reader.position == {"file": str(path), "rowGroup": 1, "row": 9}
    reader.close()
    reader = rows(path)
    reader.open({"file": str(path), "rowGroup": 1, "row": 9})
    assert reader.read(1)[0]["id"] == 32
    assert reader.statistics() == {"records": 1, "files_left": 0}
    reader.close()


def test_rows_have_python_values_whatever_the_unit(path: Path) -> None:
    times = pa.array([1_000_000_001, None], pa.timestamp("ns"))
    pq.write_table(pa.table({"t": times, "c": pa.array(["a", "b"]).dictionary_encode()}), path)
    assert everything(rows(path)) == [{"t": datetime(1970, 1, 1, 0, 0, 1), "c": "a"}, {"t": None, "c": "b"}]


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"columns": ["id", "x"]}, r"The file .* has no column x; it has id, name, when, l\."),
        ({"filter": [{"column": "y", "is": "==", "value": 1}]}, "has no column y"),
        (
            {"filter": [{"column": "id", "is": "==", "value": "one"}]},
            "The filter compares the column id, int64, with 'one': Failed to parse string",
        ),
        ({"filter": [{"column": "id", "is": "in", "value": ["x"]}]}, r"with \['x'\]: Failed to parse"),
    ],
)
def test_what_the_file_has_not_is_told(path: Path, options: dict[str, Any], wrong: str) -> None:
    write(path, RECORDS)
    with pytest.raises(ConnectorError, match=wrong):
        columns(path, **options).open(None)


@pytest.mark.parametrize("value", [{"is": "in", "value": 1}, {"is": "<", "value": [1]}, {"is": "like", "value": "x"}])
def test_forms_refuse_conditions_that_cannot_work(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ParquetSourceOptions(path="x", filter=[{"column": "id", **value}])  # type: ignore[list-item]


def test_a_date_is_compared_as_one(path: Path) -> None:
    write(path, [{"d": date(2024, 1, 1)}, {"d": date(2024, 1, 2)}])
    reader = columns(path, filter=[{"column": "d", "is": ">", "value": "2024-01-01"}])
    assert everything(reader) == [{"d": date(2024, 1, 2)}]


def test_what_is_no_parquet_file_is_told(tmp_path: Path, path: Path) -> None:
    with pytest.raises(AddressUnreachable, match="is not there"):
        columns(path).open(None)
    path.write_bytes(b"no parquet at all")
    with pytest.raises(ConnectorError, match=r"data\.parquet is no Parquet file: "):
        columns(path).open(None)
    write(path, RECORDS)
    data = bytearray(path.read_bytes())
    data[4:400] = b"\xff" * 396
    path.write_bytes(data)
    reader = columns(path)
    reader.open(None)
    with pytest.raises(ConnectorError, match=r"cannot be (read|used)"):
        everything(reader)
    reader.close()


def test_a_file_that_became_another_is_refused(path: Path) -> None:
    write(path, RECORDS[:10])
    for group, row in ((0, 11), (1, 1), (2, 0)):
        with pytest.raises(ConnectorError, match=r"has 1 row groups and no row .* it was replaced; reset the position"):
            columns(path).open({"file": str(path), "rowGroup": group, "row": row})
    reader = columns(path)
    reader.open({"file": str(path), "rowGroup": 1, "row": 0})
    assert reader.read(5) is None
    reader.close()
    with pytest.raises(ConnectorError, match="no position of a Parquet file: rowGroup is missing"):
        columns(path).open({"file": str(path), "offset": 5})


def test_files_of_a_pattern_have_the_same_columns(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", [{"a": 1}])
    write(tmp_path / "2.parquet", [{"a": "x"}])
    reader = columns(tmp_path / "*.parquet")
    reader.open(None)
    assert len(reader.read(5)) == 1
    with pytest.raises(
        ConnectorError, match=r"2\.parquet has other columns than the one before it, a string and not a int64"
    ):
        reader.read(5)
    reader.close()


def test_empty_files_are_passed_over(tmp_path: Path) -> None:
    for name, records in (("1", []), ("2", [{"a": 1}]), ("3", [])):
        table = pa.Table.from_pylist(records, schema=pa.schema([("a", pa.int64())]))
        pq.write_table(table, tmp_path / f"{name}.parquet")
    assert everything(columns(tmp_path / "*.parquet")) == [{"a": 1}]


@pytest.mark.parametrize("filtered", [False, True])
def test_a_read_after_a_failed_one_goes_on_behind_the_last_row(
    path: Path, monkeypatch: pytest.MonkeyPatch, filtered: bool
) -> None:
    write(path, RECORDS, group=20)
    whole, failures = pq.ParquetFile.iter_batches, [OSError(5, "Input/output error"), pa.ArrowInvalid("damaged")]

    def flaky(self: Any, size: int, row_groups: list[int], **more: Any) -> Any:
        for number, batch in enumerate(whole(self, size, row_groups=row_groups, **more)):
            if row_groups == [2] and number == 1 and failures:
                raise failures.pop(0)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", flaky)
    reader = columns(path, filter=[{"column": "id", "is": "not in", "value": [44, 45, 46]}] if filtered else [])
    reader.open(None)
    got: list[Any] = []
    while len(got) < (44 if filtered else 47):
        got += reader.read(5).to_pylist()
    with pytest.raises(AddressUnreachable, match="Input/output error"):
        reader.read(5)
    with pytest.raises(ConnectorError, match="cannot be read: damaged"):
        reader.read(5)
    while (batch := reader.read(5)) is not None:
        got += batch.to_pylist()
    reader.close()
    assert got == [each for each in RECORDS if not filtered or each["id"] not in (44, 45, 46)]


def test_a_filter_may_give_several_batches(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, RECORDS)

    class InParts:
        RecordBatch, array, int64, schema = pa.RecordBatch, pa.array, pa.int64, pa.schema

        class Table:
            @staticmethod
            def from_batches(batches: list[Any]) -> Any:
                return pa.Table.from_batches([part for each in batches for part in (each.slice(0, 2), each.slice(2))])

    monkeypatch.setattr(parquet_source, "arrow", lambda name=None: InParts if name is None else arrow(name))
    condition = {"column": "id", "is": ">=", "value": 0}
    reader = columns(path)
    reader.open(None)
    reader.close()
    reader = columns(path, filter=[condition])
    monkeypatch.setattr(parquet_source, "_comparison", lambda *_: arrow("pyarrow.compute").field("id") >= 0)
    assert everything(reader) == RECORDS


def test_a_file_with_a_column_twice_or_none_at_all_is_refused(path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["x", "x", "y"]), path)
    with pytest.raises(ConnectorError, match=r"data\.parquet has the column x twice, so"):
        columns(path).open(None)
    assert everything(columns(path, columns=["y"])) == [{"y": 3}]
    pq.write_table(pa.table({"x": [1, 2]}).select([]), path)
    for reader in (columns(path), rows(path)):
        with pytest.raises(ConnectorError, match=r"data\.parquet has no columns, and without them"):
            reader.open(None)


def test_a_value_that_python_cannot_hold_is_a_bad_row_that_is_passed(path: Path) -> None:
    times = pa.array([n if n != 10 else 1 << 60 for n in range(20)], pa.timestamp("us"))
    pq.write_table(pa.table({"t": times}), path)
    reader = rows(path)
    reader.open(None)
    got: list[Any] = []
    while len(got) < 10:
        got += reader.read(100)
    with pytest.raises(
        BadRecord, match=r"^Row 11 of row group 0 of .*: The column t, timestamp\[us\], has a value that"
    ):
        reader.read(100)
    while (chunk := reader.read(100)) is not None:
        got += chunk
    reader.close()
    assert len(got) == 19
