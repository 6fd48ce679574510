"""Whatever step a rolled sink dies at, or its disk fails at, each record is in the files once, and no file is half."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.connectors.csv import CsvSinkOptions
from teleporter_lab.connectors.csv_format import CsvFormat
from teleporter_lab.connectors.file import FileSinkOptions
from teleporter_lab.connectors.file_format import LineFormat
from teleporter_lab.connectors.parquet import ParquetSinkOptions
from teleporter_lab.connectors.parquet_format import ParquetFormat
from teleporter_lab.connectors.rollers import journal
from teleporter_lab.connectors.rollers.rolled_folder import RolledFolder
from teleporter_lab.connectors.rollers.sink_roller import SinkRoller
from teleporter_lab.engine.endpoints import Mark
from teleporter_lab.errors import AddressUnreachable
from tests.connectors.rollers.broken_disk import BrokenDisk, Died, full
from tests.connectors.rollers.written import csv_rows, finals, hidden, lines, parquet_rows

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2024, 2, 29, 12, tzinfo=UTC)
KEY = "/position/demo/t/s/in"
BATCHES = [[f"{batch}.{n}" for n in range(2)] for batch in range(5)]


class Site:
    """A folder, and how a sink of it is made and read."""

    def __init__(self, folder: Path, category: str) -> None:
        self._folder = folder
        self.category = category
        self._options: Any = {
            "file": (FileSinkOptions, LineFormat),
            "csv": (CsvSinkOptions, CsvFormat),
            "parquet": (ParquetSinkOptions, ParquetFormat),
        }[category]

    def sink(self) -> RolledFolder:
        path = str(self._folder / "{date:%Y}" / "out-{index:03}")
        model, form = self._options
        return RolledFolder(path, SinkRoller(records=4), form(model(path=path)))

    def batch(self, at: int) -> list[Any]:
        return BATCHES[at] if self.category == "file" else [{"id": text} for text in BATCHES[at]]

    def stored(self) -> list[str]:
        if self.category == "file":
            return lines(self._folder)
        rows = csv_rows(self._folder) if self.category == "csv" else parquet_rows(self._folder)
        return [row["id"] for row in rows]


FORMS = pytest.mark.parametrize(
    ("category", "marked"), [("file", True), ("file", False), ("csv", True), ("parquet", True)]
)


def site(folder: Path, category: str) -> Site:
    folder.mkdir()
    return Site(folder, category)


def mark(at: int) -> Mark:
    return Mark(KEY, str(at + 1), str(at) if at else None, at + 1)


def run(sink: RolledFolder, site: Site, marked: bool, confirmed: list[int]) -> None:
    """Writes what is not there yet, and adds to `confirmed` what is stored."""
    sink.open(NOW)
    start = int(sink.marked(KEY) or 0) if marked else len(confirmed)
    for at in range(start, len(BATCHES)):
        sink.write(site.batch(at), NOW, mark(at) if marked else None)
        confirmed.append(at)
    sink.close(NOW)


def steps(site: Site, disk: BrokenDisk, marked: bool) -> int:
    """How many there are from the beginning to the end."""
    disk.arm(0)
    run(site.sink(), site, marked, [])
    return disk.steps


@FORMS
def test_a_process_that_dies_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, category: str, marked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LARGEST", 300)
    disk = BrokenDisk(monkeypatch, Died)
    count = steps(site(tmp_path / "count", category), disk, marked)
    assert count > 100
    for step in range(1, count + 1):
        folder = tmp_path / str(step)
        there = site(folder, category)
        confirmed: list[int] = []
        sink = there.sink()
        disk.arm(step)
        with pytest.raises(Died):
            run(sink, there, marked, confirmed)
        sink._part.close()  # as the system does with a process that is gone
        before = there.stored()
        expected = [text for batch in BATCHES for text in batch]
        assert before[: 2 * len(confirmed)] == expected[: 2 * len(confirmed)], step
        assert len(before) in (2 * len(confirmed), 2 * len(confirmed) + 2), step
        if step % 2:
            stopped = there.sink()
            stopped.open(NOW)
            stopped.close(NOW)
            assert there.stored() == before, step
        run(there.sink(), there, marked, confirmed)
        after = there.stored()
        if marked:
            assert after == expected, step
        else:
            assert sorted(set(after)) == expected, step
            assert len(after) <= len(expected) + 2, step
        assert [path.name for path in finals(folder)][:3] == ["out-001", "out-002", "out-003"], step
        assert hidden(folder, "part") == hidden(folder, "made") == hidden(folder, "tmp") == [], step


@FORMS
def test_a_disk_that_fails_at_any_step_stores_nothing_of_the_batch_which_can_be_written_again(
    tmp_path: Path, category: str, marked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LARGEST", 300)
    disk = BrokenDisk(monkeypatch, full)
    count = steps(site(tmp_path / "count", category), disk, marked)
    for step in range(1, count + 1):
        folder = tmp_path / str(step)
        there = site(folder, category)
        disk.arm(step)
        write_patiently(there, marked)
        assert there.stored() == [text for batch in BATCHES for text in batch], step
        assert hidden(folder, "part") == hidden(folder, "made") == [], step


def write_patiently(site: Site, marked: bool) -> None:
    """Writes everything; what the disk fails at is done once more, an open and a close by a fresh sink."""
    sink = site.sink()
    try:
        sink.open(NOW)
    except AddressUnreachable:
        sink = site.sink()
        sink.open(NOW)
    for at in range(len(BATCHES)):
        try:
            sink.write(site.batch(at), NOW, mark(at) if marked else None)
        except AddressUnreachable:
            sink.write(site.batch(at), NOW, mark(at) if marked else None)
    try:
        sink.close(NOW)
    except AddressUnreachable:
        sink = site.sink()
        sink.open(NOW)
        sink.close(NOW)
