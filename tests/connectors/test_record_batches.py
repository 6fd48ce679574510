"""Rows become columns and columns rows, and nothing is lost on the way without a word."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.connectors.columns import Columns
from teleporter_lab.connectors.record_batches import (
    Misfit,
    Piece,
    arrow,
    arrow_type,
    batch_of,
    cells_of,
    fitted,
    inferred,
    is_batch,
    of_batch,
    one_of,
    rows_of,
    schema_of,
    selected,
)
from teleporter_lab.errors import BadRecord, ConnectorError, MissingDriver

if TYPE_CHECKING:
    from teleporter_lab.connectors.csv_values import TypeName

BATCH = pa.RecordBatch.from_pydict({"a": [1, 2, 3], "b": ["x", None, "z"]})


def test_a_missing_pyarrow_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingDriver, match=r"pip install 'teleporter-lab\[arrow\]'"):
        arrow("pyarrow.parquet")


def test_columns_are_told_from_rows() -> None:
    assert is_batch(BATCH)
    assert not any(map(is_batch, ([], [{"num_columns": 1}], ())))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", 1 << 62),
        ("float", 0.1),
        ("bool", False),
        ("date", date(2024, 1, 1)),
        ("datetime", datetime(2024, 1, 1, 2, 3, 4, 5)),
        ("decimal", Decimal("12345678901234567890.123456789012345678")),
        ("text", "é"),
    ],
)
def test_every_type_name_has_a_type_that_keeps_its_values(kind: TypeName, value: Any) -> None:
    batch = batch_of([[value, None]], pa.schema([("x", arrow_type(kind))]))
    assert rows_of(batch) == [{"x": value}, {"x": None}]
    assert arrow_type("datetime", "UTC") == pa.timestamp("us", "UTC")


LOST: list[tuple[Any, Any, str]] = [
    (pa.int64(), 1.5, "it has a fraction"),
    (pa.int64(), Decimal("0.1"), "it has a fraction"),
    (pa.int64(), 1 << 70, "Python int too large"),
    (pa.int8(), 300, "too large to fit"),
    (pa.int64(), "5", "tried to convert to int64"),
    (pa.float64(), (1 << 60) + 1, "outside of the range exactly representable"),
    (pa.string(), 5, "Expected bytes, got a 'int' object"),
    (pa.date32(), datetime(2024, 1, 1, 5), "it has a time of day"),
    (pa.date32(), 19723, "it is a number"),
    (pa.timestamp("us"), 5, "it is a number"),
    (pa.timestamp("us"), datetime(2024, 1, 1, tzinfo=UTC), "it has a zone offset"),
    (pa.timestamp("us", "UTC"), datetime(2024, 1, 1), "it has no zone offset"),
    (pa.timestamp("s"), datetime(2024, 1, 1, 1, 1, 1, 5), r"it has parts of a second that timestamp\[s\] has not"),
    (pa.time32("s"), time(1, 1, 1, 5), "it has parts of a second"),
    (pa.struct([("x", pa.int64())]), {"x": 1, "y": 2}, "it has the field y inside"),
    (pa.struct([("x", pa.list_(pa.struct([("z", pa.int64())])))]), {"x": [{"z": 1.5}]}, "it has a fraction"),
    (pa.list_(pa.date32()), [date(2024, 1, 1), datetime(2024, 1, 1, 5)], "it has a time of day"),
]


@pytest.mark.parametrize(("kind", "value", "why"), LOST)
def test_a_value_that_would_lose_something_is_refused_with_its_row(kind: Any, value: Any, why: str) -> None:
    with pytest.raises(Misfit, match=f"the column b holds .*{why}") as raised:
        batch_of([[1, 2, 3], [None, None, value]], pa.schema([("a", pa.int64()), ("b", kind)]))
    assert raised.value.row == 2
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        (pa.int64(), 2.0, 2),
        (pa.timestamp("ms"), datetime(2024, 1, 1, 1), datetime(2024, 1, 1, 1)),
        (pa.map_(pa.string(), pa.int64()), {"a": 1}, [("a", 1)]),
        (pa.struct([("x", pa.int64()), ("y", pa.string())]), {"x": 1}, {"x": 1, "y": None}),
        (pa.float64(), 5, 5.0),
    ],
)
def test_a_value_that_loses_nothing_is_converted(kind: Any, value: Any, kept: Any) -> None:
    assert cells_of(batch_of([[value]], pa.schema([("a", kind)]))) == [[kept]]


def test_nanoseconds_become_microseconds_in_rows() -> None:
    batch = pa.RecordBatch.from_arrays(
        [pa.array([1_001_999], kind) for kind in (pa.timestamp("ns", "UTC"), pa.duration("ns"), pa.time64("ns"))],
        names=["t", "d", "c"],
    )
    assert rows_of(batch) == [
        {
            "t": datetime(1970, 1, 1, 0, 0, 0, 1001, tzinfo=UTC),
            "d": timedelta(microseconds=1001),
            "c": time(0, 0, 0, 1001),
        }
    ]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5], pa.float64()),
        ([None], pa.null()),
        ([Decimal("1.5")], pa.decimal128(38, 18)),
        ([datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2)))], pa.timestamp("us", "UTC")),
        ([[Decimal(1)]], pa.list_(pa.decimal128(38, 18))),
        ([{"x": Decimal(1)}], pa.struct([("x", pa.decimal128(38, 18))])),
    ],
)
def test_types_are_found_with_room_for_others_of_their_kind(values: list[Any], kind: Any) -> None:
    assert inferred(values) == kind


@pytest.mark.parametrize("values", [[1, "x"], [{"a": 1}, 2], [1 << 70], [object()]])
def test_values_of_several_types_have_none(values: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        inferred(values)


def test_a_column_of_nothing_is_text() -> None:
    kinds = {"a": pa.null(), "b": pa.list_(pa.null()), "c": pa.struct([("x", pa.null())])}
    assert schema_of(kinds).types == [pa.string(), pa.list_(pa.string()), pa.struct([("x", pa.string())])]


def test_the_columns_to_write_are_chosen_or_the_wrong_one_is_told() -> None:
    assert selected(BATCH, Columns(["b"], "t", exact=False), "t").schema.names == ["b"]
    assert selected(BATCH, Columns(["b", "a"], "t", exact=True), "t").schema.names == ["b", "a"]
    with pytest.raises(BadRecord, match=r"^The batch for t lacks the column c\.$"):
        selected(BATCH, Columns(["a", "c"], "t", exact=False), "t")
    with pytest.raises(BadRecord, match=r"^The batch for t has the column b, which the first one had not; list"):
        selected(BATCH, Columns(["a"], "t", exact=True), "t")
    twice = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(BadRecord, match=r"^The batch for t has the column a twice\.$"):
        selected(twice, Columns(["a"], "t", exact=False), "t")


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        (pa.array([1, 2], pa.int8()), pa.int64(), [1, 2]),
        (pa.array([1, 2]), pa.float64(), [1.0, 2.0]),
        (pa.nulls(2), pa.date32(), [None, None]),
        (pa.array(["a", "b"]).dictionary_encode(), pa.string(), ["a", "b"]),
        (pa.array([86400], pa.timestamp("s")), pa.date32(), [date(1970, 1, 2)]),
        (
            pa.array([0], pa.timestamp("s", "Europe/Berlin")),
            pa.timestamp("us", "UTC"),
            [datetime(1970, 1, 1, tzinfo=UTC)],
        ),
    ],
)
def test_columns_are_cast_where_nothing_is_lost(column: Any, kind: Any, values: list[Any]) -> None:
    batch = pa.RecordBatch.from_arrays([column], names=["a"])
    assert fitted(batch, pa.schema([("a", kind)]), "the batch for t").column(0).to_pylist() == values


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([1.5]), pa.int64()),
        (pa.array([1 << 60]), pa.int32()),
        (pa.array(["x"]), pa.int64()),
        (pa.array([0], pa.timestamp("us", "UTC")), pa.timestamp("us")),
        (pa.array([0], pa.timestamp("us")), pa.timestamp("us", "UTC")),
        (pa.array([1], pa.timestamp("us")), pa.timestamp("s")),
        (pa.array([1], pa.timestamp("s")), pa.date32()),
        (pa.array([{"x": 1, "y": 2}]), pa.struct([("x", pa.int64())])),
        (pa.array([[1]]), pa.string()),
    ],
)
def test_columns_that_would_lose_something_are_refused(column: Any, kind: Any) -> None:
    batch = pa.RecordBatch.from_arrays([column], names=["a"])
    with pytest.raises(BadRecord, match=r"^The column a of the batch for t, .*, does not fit: [^\n]*\.$"):
        fitted(batch, pa.schema([("a", kind)]), "the batch for t")


def test_a_piece_is_given_bit_by_bit_with_the_byte_behind_it() -> None:
    piece = Piece(BATCH, [10, 20, 30])
    assert piece.mark({"offset": 99}) == {"offset": 99}
    assert len(piece.take(2)) == 2
    assert piece.mark({"offset": 99, "row": 1}) == {"offset": 20, "row": 1}
    assert piece.take(9).to_pylist() == [{"a": 3, "b": "z"}]
    assert piece.left == 0
    assert piece.mark({"offset": 99}) == {"offset": 99}
    assert Piece().left == 0


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("s", "UTC"), pa.date32(), pa.duration("s")])
def test_a_value_beyond_what_python_holds_is_a_bad_record(kind: Any) -> None:
    bits = 32 if kind == pa.date32() else 64
    values = pa.array([0, (1 << bits - 1) - 1], pa.int32() if bits == 32 else pa.int64())
    batch = pa.RecordBatch.from_arrays([values.view(kind)], ["t"])
    for form in (rows_of, cells_of):
        with pytest.raises(BadRecord, match=r"^The column t, .*, has a value that Python cannot hold: [^\n]+\.$"):
            form(batch)


def test_a_table_that_is_too_large_for_one_batch_is_refused() -> None:
    class Large:
        def combine_chunks(self) -> Any:
            return pa.Table.from_batches([BATCH, BATCH])

    with pytest.raises(ConnectorError, match=r"^A page of the query has more text .* smaller `pageSize`\.$"):
        one_of(Large(), "the query")
    assert one_of(pa.Table.from_batches([BATCH, BATCH]), "the query").num_rows == 6
    assert one_of(BATCH.schema.empty_table(), "the query").schema == BATCH.schema


def test_a_batch_without_columns_has_none_to_write() -> None:
    with pytest.raises(BadRecord, match=r"^A batch for t has no columns at all\.$"):
        of_batch(BATCH.select([]), "t")
