"""Files of lines, JSON lines and raw pieces keep the promises of a source and of a sink."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from teleporter_lab.connectors import lines as lines_module
from teleporter_lab.connectors.base import Registry
from teleporter_lab.connectors.file import BlockSource, FileSink, FileSinkOptions, FileSourceOptions, LineSource
from teleporter_lab.errors import AddressUnreachable, BadRecord
from teleporter_lab.testing.sink_contract import SinkCase, SinkContract
from teleporter_lab.testing.source_contract import SourceCase, SourceContract

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [f"line {n} ü€😀"[: n % 13] for n in range(500)]
OBJECTS = [{"n": n, "text": f"ü{n}\n", "deep": {"list": [n, None, 1.5]}} for n in range(300)]


def source(path: Path | str, **options: Any) -> LineSource | BlockSource:
    make = Registry.load().get("file").spec("source").make
    return make(FileSourceOptions(path=str(path), **options), None)


def sink(path: Path, **options: Any) -> FileSink:
    return Registry.load().get("file").spec("sink").make(FileSinkOptions(path=str(path), **options), None)


def everything(reader: LineSource | BlockSource, n: int = 1000) -> list[Any]:
    reader.open(None)
    records: list[Any] = []
    while (chunk := reader.read(n)) is not None:
        records += chunk
    reader.close()
    return records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK", 64)


@pytest.mark.usefixtures("small_blocks")
class TestTextSource(SourceContract):
    @pytest.fixture
    def case(self, path: Path) -> SourceCase:
        path.write_text("\n".join(TEXTS), encoding="utf-8")
        return SourceCase(lambda: source(path), TEXTS if TEXTS[-1] else TEXTS[:-1])


class TestTextSourceOverManyFiles(SourceContract):
    @pytest.fixture
    def case(self, tmp_path: Path) -> SourceCase:
        for part in range(5):
            (tmp_path / f"part-{part}.txt").write_bytes("\r\n".join([*TEXTS[part::5], ""]).encode("latin-1", "replace"))
        expected = [text.encode("latin-1", "replace").decode("latin-1") for part in range(5) for text in TEXTS[part::5]]
        return SourceCase(lambda: source(tmp_path / "part-*.txt", encoding="latin-1"), expected)


class TestJsonSource(SourceContract):
    @pytest.fixture
    def case(self, path: Path) -> SourceCase:
        path.write_text("\ufeff" + "\n\n \r\n".join(map(json.dumps, OBJECTS)), encoding="utf-8")
        return SourceCase(lambda: source(path, format="jsonl"), OBJECTS)


class TestBytesSource(SourceContract):
    @pytest.fixture
    def case(self, path: Path) -> SourceCase:
        records = [bytes([n % 256]) * (n % 7) for n in range(300) if n % 256 != ord("|")]
        path.write_bytes(b"||".join([*records, b""]))
        return SourceCase(lambda: source(path, format="bytes", delimiter="||"), records)


class TestBlockSource(SourceContract):
    @pytest.fixture
    def case(self, path: Path) -> SourceCase:
        data = bytes(range(256)) * 11
        path.write_bytes(data)
        return SourceCase(
            lambda: source(path, format="blocks", block_size=100),
            [data[at : at + 100] for at in range(0, len(data), 100)],
        )


class TestTextSink(SinkContract):
    @pytest.fixture
    def case(self, path: Path) -> SinkCase:
        return SinkCase(
            make=lambda: sink(path),
            read_back=lambda: path.read_text("utf-8").split("\n")[:-1],
            records=TEXTS,
            bad=["fine", "two\nlines"],
        )


class TestJsonSink(SinkContract):
    @pytest.fixture
    def case(self, path: Path) -> SinkCase:
        return SinkCase(
            make=lambda: sink(path, format="jsonl"),
            read_back=lambda: [json.loads(line) for line in path.read_bytes().splitlines()],
            records=OBJECTS,
            bad=[*OBJECTS[:3], {"n": object()}],
        )


class TestBytesSink(SinkContract):
    @pytest.fixture
    def case(self, path: Path) -> SinkCase:
        return SinkCase(
            make=lambda: sink(path, format="bytes", delimiter="||"),
            read_back=lambda: path.read_bytes().split(b"||")[:-1],
            records=[b"a", b"", b"\n|b", b"\xff"],
            bad=[b"a", b"ends with |"],
        )


LINES = st.lists(st.text(alphabet="ab\u00e4", max_size=5), max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, ended=st.booleans(), cuts=st.lists(st.integers(1, 70), max_size=4, unique=True))
def test_neighbouring_ranges_share_no_line_and_miss_none(
    path: Path, lines: list[str], ended: bool, cuts: list[int]
) -> None:
    path.write_text("\n".join(lines) + ("\n" if ended else ""), encoding="utf-8")
    borders = [0, *sorted(cuts)]
    got: list[str] = []
    for start, end in zip(borders, [*borders[1:], None], strict=True):
        got += everything(source(path, offset=start, len=None if end is None else end - start), n=2)
    assert got == everything(source(path))


def test_a_range_of_blocks_is_exact(path: Path) -> None:
    path.write_bytes(bytes(range(100)))
    assert everything(source(path, format="blocks", offset=10, len=25, block_size=10)) == [
        bytes(range(10, 20)),
        bytes(range(20, 30)),
        bytes(range(30, 35)),
    ]
    assert everything(source(path, format="blocks", offset=200)) == []


@pytest.mark.parametrize(
    ("form", "data", "wrong"),
    [
        ("text", b"good\nfine\nb\xffd\nlast\n", "Line 3 of .*data is no utf-8 text"),
        ("jsonl", b'1\n2\n{"a":\n4\n', "Line 3 of .*data is no JSON"),
        ("jsonl", b"1\n\n" + b"[" * 100_000 + b"\n4\n", "Line 3 of .*data is no JSON"),
    ],
)
def test_a_bad_line_comes_after_the_good_ones_and_is_passed(path: Path, form: Any, data: bytes, wrong: str) -> None:
    path.write_bytes(data)
    reader = source(path, format=form)
    reader.open(None)
    good = reader.read(100)
    assert good in (["good", "fine"], [1, 2], [1])
    with pytest.raises(BadRecord, match=wrong):
        reader.read(100)
    rest = reader.read(100)
    assert rest in (["last"], [4])
    assert reader.position["offset"] == len(data)
    reader.close()


def test_a_carriage_return_stays_when_the_delimiter_is_given_or_bytes_are_wanted(path: Path) -> None:
    path.write_bytes(b"a\r\nb\rc\r\n")
    assert everything(source(path)) == ["a", "b\rc"]
    assert everything(source(path, delimiter="\n")) == ["a\r", "b\rc\r"]
    assert everything(source(path, format="bytes")) == [b"a\r", b"b\rc\r"]


def test_json_takes_what_json_knows_and_says_what_it_does_not(path: Path) -> None:
    writer = sink(path, format="jsonl")
    writer.open()
    writer.write([{"day": date(2024, 2, 29), "price": Decimal("1.50")}])
    with pytest.raises(BadRecord, match=r"cannot be written as jsonl: .*object"):
        writer.write([object()])
    writer.close()
    assert path.read_text() == '{"day":"2024-02-29","price":"1.50"}\n'
    assert writer.statistics() == {"records": 1, "bytes": 36}


@pytest.mark.parametrize("record", [{"a": 1}, b"bytes", "\ud800"])
def test_text_takes_only_text(path: Path, record: Any) -> None:
    writer = sink(path)
    writer.open()
    with pytest.raises(BadRecord, match="cannot be written as text"):
        writer.write([record])
    writer.close()
    assert path.read_bytes() == b""


def test_a_binary_file_is_copied_by_blocks(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "in").write_bytes(data)
    writer = sink(tmp_path / "out", format="bytes", delimiter="")
    writer.open()
    writer.write(everything(source(tmp_path / "in", format="blocks", block_size=1000)))
    writer.close()
    assert (tmp_path / "out").read_bytes() == data


def test_the_torn_line_of_a_crash_is_put_aside_before_more_is_written(path: Path) -> None:
    path.write_text("whole\nto")
    path.with_name("data.open").write_text("0")
    writer = sink(path)
    writer.open()
    writer.write(["torn"])
    writer.close()
    assert path.read_text() == "whole\ntorn\n"


def test_a_missing_file_says_so(path: Path) -> None:
    with pytest.raises(AddressUnreachable, match="data is not there"):
        source(path).open(None)


def test_forms_refuse_what_cannot_work() -> None:
    with pytest.raises(ValidationError, match="delimiter may be empty only with the format bytes"):
        FileSinkOptions(path="x", delimiter="")
    with pytest.raises(ValidationError, match="does not write a line end as one byte"):
        FileSourceOptions(path="x", encoding="utf-16")
