"""CSV files as columns: the rows, positions and bad rows of the row form, from pyarrow's parser."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors import csv_columns
from teleporter_lab.connectors import lines as lines_module
from teleporter_lab.connectors.csv import CsvConnector, CsvSource, CsvSourceOptions
from teleporter_lab.errors import BadRecord, ConnectorError
from teleporter_lab.testing.source_contract import ColumnarSourceContract, SourceCase

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.connectors.csv_columns import CsvColumns

WILD = ('"', "a,b", "x\ny\n", "", "c\rd", "\r\n", 'q"q', '5" pipe', "NA")
ROWS = [{"id": str(n), "name": f"Zoë {n}"[: n % 8], "note": "plain" * (n % 4)} for n in range(1, 300)]
WILD_ROWS = [{"id": str(n), "name": WILD[n % len(WILD)], "note": "€" * (n % 3)} for n in range(200)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.csv"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK", 200)


def columns(path: Path, **options: Any) -> CsvColumns:
    spec = CsvConnector.spec("source")
    assert spec.columnar is not None
    return spec.columnar(CsvSourceOptions(path=str(path), **options), None)


def rows(path: Path, **options: Any) -> CsvSource:
    return CsvConnector.spec("source").make(CsvSourceOptions(path=str(path), **options), None)


def everything(reader: CsvSource, n: int = 1000, position: Any = None) -> list[dict[str, Any]]:
    reader.open(position)
    records: list[dict[str, Any]] = []
    while (chunk := reader.read(n)) is not None:
        records += chunk if isinstance(chunk, list) else chunk.to_pylist()
    reader.close()
    return records


def write(path: Path, rows: list[dict[str, str]], **dialect: Any) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), **dialect)
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.usefixtures("small_blocks")
class TestPlainColumns(ColumnarSourceContract):
    @pytest.fixture
    def case(self, path: Path) -> SourceCase:
        write(path, ROWS, lineterminator="\n")
        return SourceCase(lambda: columns(path), ROWS, lambda: rows(path))


@pytest.mark.usefixtures("small_blocks")
class TestQuotedColumns(ColumnarSourceContract):
    @pytest.fixture
    def case(self, path: Path) -> SourceCase:
        expected = [*ROWS[:60], *WILD_ROWS, *ROWS[60:120]]
        write(path, expected)
        return SourceCase(lambda: columns(path), expected, lambda: rows(path))


class TestTypedColumnsOverManyFiles(ColumnarSourceContract):
    @pytest.fixture
    def case(self, tmp_path: Path) -> SourceCase:
        expected: list[dict[str, Any]] = []
        for part in range(3):
            text = "id,when,price,ok\r\n" + "".join(
                f"{n},2024-01-0{1 + n % 9}T00:00:00Z,{n / 4 if n % 3 else 'NA'},{'yes' if n % 2 else ''}\r\n\r\n"
                for n in range(50)
            )
            (tmp_path / f"part-{part}.csv").write_bytes(("\ufeff" * (part < 2) + text).encode())
            expected += [
                {
                    "id": n,
                    "when": datetime(2024, 1, 1 + n % 9, tzinfo=UTC),
                    "price": n / 4 if n % 3 else None,
                    "ok": True if n % 2 else None,
                    "row": part * 50 + n + 1,
                }
                for n in range(50)
            ]
        types = {"id": "int", "price": "float", "when": "datetime", "ok": "bool"}
        options = {"types": types, "null_values": ["NA"], "row_number": "row"}
        pattern = tmp_path / "part-*.csv"
        return SourceCase(lambda: columns(pattern, **options), expected, lambda: rows(pattern, **options))


FIELD = st.text(alphabet='ab,;"\n\r \u20ac', max_size=6)
QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.lists(st.tuples(FIELD, FIELD, FIELD), max_size=12),
    quoting=QUOTING,
    terminator=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from([",", ";"]),
    n=st.integers(1, 4),
)
@pytest.mark.usefixtures("small_blocks")
def test_whatever_the_standard_library_writes_is_read_alike_from_any_position(
    path: Path, table: list[tuple[str, ...]], quoting: Any, terminator: str, delimiter: str, n: int
) -> None:
    if (quoting, terminator) == (csv.QUOTE_MINIMAL, "\n"):
        table = [tuple(field.replace("\r", "-") for field in row) for row in table]  # the writer would not quote it
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=terminator).writerows(
        [("x", "y", "z"), *table]
    )
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    expected = [dict(zip("xyz", row, strict=True)) for row in table]
    reader = columns(path, delimiter=delimiter)
    reader.open(None)
    got = 0
    while (batch := reader.read(n)) is not None:
        got += len(batch)
        assert everything(columns(path, delimiter=delimiter), 3, reader.position) == expected[got:]
    reader.close()
    assert everything(columns(path, delimiter=delimiter)) == expected
    assert reader.position["row"] == len(table)


RAW = st.lists(st.sampled_from(['"', "a", ",", "\n", "\r\n", "\r", '""', "1", " ", 'x"', '","']), max_size=30)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=RAW, cut=st.sampled_from([7, 16, 200]))
def test_any_text_at_all_gives_the_rows_of_the_row_form_or_the_same_refusals(
    path: Path, monkeypatch: pytest.MonkeyPatch, parts: list[str], cut: int
) -> None:
    """Except for some text behind a closing quote, which pyarrow takes for a part of the value."""
    text = "x,y\n" + "".join(parts)
    path.write_bytes(text.encode())
    monkeypatch.setattr(lines_module, "BLOCK", cut)
    outcomes = [told(maker(path)) for maker in (rows, columns)]
    if outcomes[0] != outcomes[1]:
        assert any("expected after" in str(each) for each in outcomes[0])


def told(reader: CsvSource) -> list[Any]:
    """Every row, and what was said about the bad ones."""
    reader.open(None)
    found: list[Any] = []
    while True:
        try:
            chunk = reader.read(5)
        except BadRecord as error:
            found.append(error.message)
            continue
        if chunk is None:
            return found
        found += chunk if isinstance(chunk, list) else chunk.to_pylist()


BAD = {
    "one column too few": ("a,b\n1,2\n3\n5,6\n", "Line 3 of .*: 2 columns were expected, not 1"),
    "one too many": ("a,b\n1,2\n3,4,5\n5,6\n", "Line 3 of .*: 2 columns were expected, not 3"),
    "too few behind a quoted line end": ('a,b\n1,"2"\n3\n5,"6"\n', "Line 3 of .*: 2 columns were expected, not 1"),
    "text behind a quote": ('a,b\n1,2\n3,"4"x\n5,6\n', "Line 3 of .* is no such row: .*expected after"),
    "no such text": (b"a,b\n1,2\n\xff,4\n5,6\n", "Line 3 of .*: it is no utf-8 text"),
    "no number": ("a,b\n1,2\n3,x\n5,6\n", "Line 3 of .*: the column b must hold int, not 'x'"),
    "a number too large for a column": (
        "a,b\n1,2\n3,99999999999999999999\n5,6\n",
        "Line 3 of .*: the column b holds int64, not '99999999999999999999': ",
    ),
    "a stray carriage return": ("a,b\n1,2\n3,4\r5\n5,6\n", "Line 3 of .* is no such row: "),
    "a quote that is never closed": ('a,b\n1,2\n3,"4\n', "Line 3 of .* unexpected end of data"),
}


@pytest.mark.parametrize(("text", "wrong"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("n", [1, 100])
def test_a_bad_row_comes_after_the_good_ones_and_is_passed(path: Path, text: str | bytes, wrong: str, n: int) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    reader = columns(path, types={"b": "int"}, row_number="row")
    reader.open(None)
    first = reader.read(n)
    assert first is not None
    assert first.to_pylist() == [{"a": "1", "b": 2, "row": 1}]
    before = reader.position
    with pytest.raises(BadRecord, match=wrong) as raised:
        reader.read(n)
    assert "\n" not in str(raised.value)
    assert reader.position == before
    rest = [] if "never" in wrong or "unexpected end" in wrong else [{"a": "5", "b": 6, "row": 3}]
    again = reader.read(n)
    assert (again.to_pylist() if again is not None else []) == rest
    assert reader.read(n) is None
    reader.close()


def test_values_that_only_python_reads_are_read_all_the_same(path: Path) -> None:
    path.write_text("i,f,d,t,m\n+5,1_0.5,20240102,2024-01-02T03:04:05.1234567,1.50\n")
    types = {"i": "int", "f": "float", "d": "date", "t": "datetime", "m": "decimal"}
    (record,) = everything(columns(path, types=types))
    assert record == {
        "i": 5,
        "f": 10.5,
        "d": date(2024, 1, 2),
        "t": datetime(2024, 1, 2, 3, 4, 5, 123456),
        "m": Decimal("1.50"),
    }
    assert [record] == everything(rows(path, types=types))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", "0x10"),
        ("int", " 3"),
        ("int", " "),
        ("float", "nan(1)"),
        ("float", " "),
        ("date", " 2020-01-01"),
        ("date", "2020-01-01\t"),
        ("date", " "),
        ("datetime", " 2020-01-01 10:00"),
        ("datetime", "2020-01-01 10:00 "),
        ("bool", " true"),
        ("decimal", " 1"),
        ("text", "\ufeffx"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_pyarrow_alone_would_read_is_decided_by_the_row_form(
    path: Path, kind: Any, value: str, first: bool
) -> None:
    path.write_text(f"a,b\n{f'{value},1' if first else f'1,{value}'}\n", encoding="utf-8")
    types = {"a" if first else "b": kind}
    by_row, by_column = told(rows(path, types=types)), told(columns(path, types=types))
    assert by_row == by_column


@pytest.mark.parametrize(
    ("first", "second"), [("2024-01-02 00:00Z", "2024-01-02"), ("2024-01-02", "2024-01-02 00:00Z")]
)
def test_times_with_and_without_a_zone_do_not_mix(path: Path, first: str, second: str) -> None:
    path.write_text(f"n,t\n1,\n2,{first}\n3,{second}\n")
    reader = columns(path, types={"t": "datetime"})
    reader.open(None)
    assert len(reader.read(9) or []) == 2
    with pytest.raises(BadRecord, match=r"Line 4 of .*: the column t holds timestamp\[us.*it has (no|a) zone offset"):
        reader.read(9)
    reader.close()


def test_types_are_those_of_the_row_form(path: Path) -> None:
    path.write_text("n,f,b,d,t,z,x\n1,2.5,true,2024-01-01,2024-01-01 00:00,2024-01-01 00:00+02:00,NA\n,,,,,,\n")
    reader = columns(path, types="infer", null_values=["NA"], row_number="row")
    reader.open(None)
    batch = reader.read(9)
    assert batch is not None
    assert batch.schema == pa.schema(
        [
            ("n", pa.int64()),
            ("f", pa.float64()),
            ("b", pa.bool_()),
            ("d", pa.date32()),
            ("t", pa.timestamp("us")),
            ("z", pa.timestamp("us", "UTC")),
            ("x", pa.string()),
            ("row", pa.int64()),
        ]
    )
    assert batch.to_pylist() == everything(rows(path, types="infer", null_values=["NA"], row_number="row"))
    reader.close()


def test_texts_keep_what_is_empty_and_lose_what_means_nothing(path: Path) -> None:
    path.write_text('a,b\n,NA\nNA,""\n-,x\n')
    expected = [{"a": "", "b": None}, {"a": None, "b": ""}, {"a": None, "b": "x"}]
    assert everything(columns(path, null_values=["NA", "-"])) == expected
    assert everything(columns(path, null_values=["NA", "-", ""]))[0] == {"a": None, "b": None}


@pytest.mark.parametrize(
    ("encoding", "delimiter", "quote"), [("latin-1", "§", '"'), ("cp1252", ";", "'"), ("utf-8", "→", "é")]
)
def test_other_encodings_and_marks_are_read(path: Path, encoding: str, delimiter: str, quote: str) -> None:
    path.write_bytes(
        f"a{delimiter}b\n{quote}é\n{quote}{delimiter}2\nü{delimiter}3\n".replace("é\n", "ä\n").encode(encoding)
    )
    options = {"encoding": encoding, "delimiter": delimiter, "quote": quote, "types": {"b": "int"}}
    assert everything(columns(path, **options)) == [{"a": "ä\n", "b": 2}, {"a": "ü", "b": 3}]


@pytest.mark.parametrize("text", ["", "\n\n", "a,b", "a,b\n", "\ufeffa,b\r\n\r\n"])
def test_a_file_without_rows_is_the_end(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")
    assert everything(columns(path)) == []
    assert everything(columns(path, types="infer")) == []


def test_a_column_of_one_and_blank_lines(path: Path) -> None:
    path.write_text('a\n1\n\n2\n""\n\n')
    assert everything(columns(path), 1) == [{"a": "1"}, {"a": "2"}, {"a": ""}]


def test_files_of_a_pattern_must_have_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("")
    (tmp_path / "3.csv").write_text("a,b\n1,2.5\n")
    reader = columns(tmp_path / "*.csv", types="infer")
    reader.open(None)
    assert len(reader.read(9) or []) == 1
    with pytest.raises(
        ConnectorError, match=r"3\.csv has other columns than the one before it, a int64, b double and not a"
    ):
        reader.read(9)
    with pytest.raises(ConnectorError, match=r"3\.csv has other columns than the one before it"):
        reader.read(9)
    reader.close()
    assert len(everything(columns(tmp_path / "*.csv", types={"b": "float"}))) == 2


def test_rows_over_many_lines_go_through_the_fast_parser(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but those at the end of a block, which are taken one by one."""
    write(path, [{"a": str(n), "b": "x\ny" if n % 10 == 0 else "z"} for n in range(1000)], lineterminator="\n")
    monkeypatch.setattr(lines_module, "BLOCK", 2000)
    careful: list[int] = []
    whole = csv_columns.CsvColumns.careful

    def counted(self: Any, lines: Any, n: int) -> Any:
        done = whole(self, lines, n)
        careful.append(len(done[1]))
        return done

    monkeypatch.setattr(csv_columns.CsvColumns, "careful", counted)
    assert len(everything(columns(path))) == 1000
    assert sum(careful) <= 5
