"""Rolled files of every category keep the promises of a sink, and those of one that is exactly once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.config.block import parse_block
from teleporter_lab.connectors.base import Registry
from teleporter_lab.connectors.rollers.rolled_files import RolledFiles
from teleporter_lab.errors import ConnectorError
from teleporter_lab.testing.calls import call
from teleporter_lab.testing.exactly_once_contract import (
    ExactlyOnceCase,
    ExactlyOnceSinkContract,
    kept,
    mark,
    text,
    write,
)
from teleporter_lab.testing.sink_contract import ColumnarSinkContract, SinkCase, SinkContract
from tests.connectors.rollers.written import csv_rows, lines, parquet_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TEXTS = [f"line {n} ü€😀"[: n % 13] for n in range(50)]
OBJECTS = [{"n": n, "text": f"ü{n}\n", "deep": {"list": [n, None, 1.5]}} for n in range(50)]
ROWS = [{"id": str(n), "name": ('"', "a,b", "x\ny\n", "c\rd", 'q"q')[n % 5]} for n in range(50)]
RECORDS = [{"id": n, "name": f"Zoë {n}", "price": n / 4, "tags": ["x"] * (n % 3)} for n in range(50)]


def sink(category: str, folder: Path, roller: dict[str, Any] | None = None, **client: Any) -> RolledFiles:
    """One made as an instance makes it, from the documents."""
    spec = Registry.load().get(category).spec("sink")
    assert spec.roller is not None
    options = parse_block(spec.model, {"path": f"{folder}/{{date:%Y}}/out-{{index:06}}", **client})
    made: Any = spec.made(options, None, parse_block(spec.roller, {"records": 8} if roller is None else roller))
    return made


@pytest.fixture(params=[{"records": 8}, {"size": 60}, {"cron": "0 0 1 1 *"}, {"size": "1.gb", "onClose": "keep"}])
def roller(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


class TestText(SinkContract):
    @pytest.fixture
    def case(self, tmp_path: Path, roller: dict[str, Any]) -> SinkCase:
        return SinkCase(
            make=lambda: sink("file", tmp_path, roller),
            read_back=lambda: lines(tmp_path),
            records=TEXTS,
            bad=["fine", "two\nlines"],
        )


class TestJson(SinkContract):
    @pytest.fixture
    def case(self, tmp_path: Path) -> SinkCase:
        return SinkCase(
            make=lambda: sink("file", tmp_path, format="jsonl"),
            read_back=lambda: list(map(json.loads, lines(tmp_path))),
            records=OBJECTS,
            bad=[*OBJECTS[:3], {"n": object()}],
        )


class TestCsv(SinkContract):
    @pytest.fixture
    def case(self, tmp_path: Path, roller: dict[str, Any]) -> SinkCase:
        return SinkCase(
            make=lambda: sink("csv", tmp_path, roller),
            read_back=lambda: csv_rows(tmp_path),
            records=ROWS,
            bad=[*ROWS[:3], {"id": "4"}],
        )


def columns(records: Sequence[Any]) -> Any:
    """A batch of columns; one that lacks a column where a record lacks a field."""
    names = [name for name in records[0] if all(name in each for each in records)] if records else ["id", "name"]
    return pa.RecordBatch.from_pydict({name: [each[name] for each in records] for name in names})


class TestCsvOfColumns(ColumnarSinkContract):
    @pytest.fixture
    def case(self, tmp_path: Path) -> SinkCase:
        return SinkCase(
            make=lambda: sink("csv", tmp_path, columns=["id", "name"]),
            read_back=lambda: csv_rows(tmp_path),
            records=ROWS,
            bad=[*ROWS[:3], {"id": "4"}],
            form=columns,
        )


class TestParquet(SinkContract):
    @pytest.fixture
    def case(self, tmp_path: Path, roller: dict[str, Any]) -> SinkCase:
        return SinkCase(
            make=lambda: sink("parquet", tmp_path, roller),
            read_back=lambda: parquet_rows(tmp_path),
            records=RECORDS,
            bad=[*RECORDS[:3], {**RECORDS[4], "id": "four"}],
        )


SCHEMA = pa.RecordBatch.from_pylist(RECORDS).schema


class TestParquetOfColumns(ColumnarSinkContract):
    @pytest.fixture
    def case(self, tmp_path: Path) -> SinkCase:
        return SinkCase(
            make=lambda: sink("parquet", tmp_path, columns=list(RECORDS[0])),
            read_back=lambda: parquet_rows(tmp_path),
            records=RECORDS,
            bad=[*RECORDS[:3], {"id": 4}],
            form=lambda records: columns(records) if len(records) == 4 else pa.RecordBatch.from_pylist(records, SCHEMA),
        )


class Alone(ExactlyOnceSinkContract):
    """Of two writers the second is refused when it opens, before it could lose against the first."""

    async def test_records_and_mark_are_stored_together_and_a_fresh_writer_reads_the_mark(
        self, case: ExactlyOnceCase
    ) -> None:
        for n in range(1, 4):
            await write(case, case.records[n - 1 : n], mark(n, n - 1 or None))
            assert list(case.read_back()) == list(case.records[:n])
            assert await kept(case) == text(n)

    async def test_of_two_writers_that_go_on_from_one_mark_one_wins(self, case: ExactlyOnceCase) -> None:
        first, second = case.make(), case.make()
        await call(first.open)
        with pytest.raises(ConnectorError, match="by another sink"):
            await call(second.open)
        await call(second.close)
        await call(first.close)


class TestTextExactlyOnce(Alone):
    @pytest.fixture
    def case(self, tmp_path: Path, roller: dict[str, Any]) -> ExactlyOnceCase:
        return ExactlyOnceCase(
            make=lambda: sink("file", tmp_path, roller, exactlyOnce=True),
            read_back=lambda: lines(tmp_path),
            records=TEXTS,
            bad=["fine", "two\nlines"],
        )


class TestCsvExactlyOnce(Alone):
    @pytest.fixture
    def case(self, tmp_path: Path) -> ExactlyOnceCase:
        return ExactlyOnceCase(
            make=lambda: sink("csv", tmp_path, exactlyOnce=True, columns=["id", "name"]),
            read_back=lambda: csv_rows(tmp_path),
            records=ROWS,
            bad=[*ROWS[:3], {"id": "4"}],
            form=columns,
        )


class TestParquetExactlyOnce(Alone):
    @pytest.fixture
    def case(self, tmp_path: Path, roller: dict[str, Any]) -> ExactlyOnceCase:
        return ExactlyOnceCase(
            make=lambda: sink("parquet", tmp_path, roller, exactlyOnce=True),
            read_back=lambda: parquet_rows(tmp_path),
            records=RECORDS,
            bad=[*RECORDS[:3], {**RECORDS[4], "id": "four"}],
        )


@pytest.mark.parametrize("category", ["file", "csv", "parquet"])
class TestForms:
    def test_a_path_without_a_placeholder_is_refused(self, category: str, tmp_path: Path) -> None:
        with pytest.raises(ConnectorError, match="names one file; with a roller there are many"):
            sink(category, tmp_path, path=str(tmp_path / "out"))

    def test_a_blank_roller_is_none(self, category: str, tmp_path: Path) -> None:
        assert not isinstance(sink(category, tmp_path, {"cron": "", "size": None}), RolledFiles)

    def test_exactly_once_needs_a_roller(self, category: str, tmp_path: Path) -> None:
        with pytest.raises(ConnectorError, match="exactlyOnce needs a `roller`"):
            sink(category, tmp_path, {}, exactlyOnce=True)
        assert isinstance(sink(category, tmp_path, exactlyOnce=True), RolledFiles)

    def test_what_it_declares(self, category: str) -> None:
        spec = Registry.load().get(category).spec("sink")
        assert spec.exactly_once == "any"
        assert "With a roller" in spec.guarantee
        assert RolledFiles.blocking is False
