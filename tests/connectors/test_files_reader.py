"""Files are found, ordered and resumed; a missing one is told by path and reason."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.connectors.base import Registry
from teleporter_lab.connectors.files_reader import FilesReader, find
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.connectors.lines import Lines


class Words(FilesReader[str]):
    """The simplest reader of lines."""

    def begin(self, lines: Lines, offset: int) -> None:
        lines.seek(offset)

    def some(self, lines: Lines, n: int) -> list[str]:
        words = [line.decode() for line in lines.take(n)]
        if "bad" in words[:1]:
            lines.back([word.encode() for word in words[1:]])
            raise BadRecord("bad")
        if "bad" in words:
            at = words.index("bad")
            lines.back([word.encode() for word in words[at:]])
            return words[:at]
        return words


def drained(reader: FilesReader[str]) -> list[str]:
    words: list[str] = []
    while (chunk := reader.read(2)) is not None:
        words += chunk
    reader.close()
    return words


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("b.txt", "3\n4\n"), ("a.txt", "1\n2"), ("c.txt", ""), ("d.txt", "5\n"), ("e.log", "no")):
        (tmp_path / name).write_text(text)
    (tmp_path / "z.txt").mkdir()
    return tmp_path


def test_files_of_a_pattern_are_read_in_sorted_order(folder: Path) -> None:
    reader = Words(f"{folder}/*.txt")
    reader.open(None)
    assert drained(reader) == list("12345")
    assert reader.statistics() == {"records": 5, "files_left": 0}
    assert reader.position == {"file": f"{folder}/d.txt", "offset": 2}


def test_a_finished_file_may_be_gone_when_a_pattern_is_resumed(folder: Path) -> None:
    (folder / "a.txt").unlink()
    reader = Words(f"{folder}/*.txt")
    reader.open({"file": f"{folder}/a.txt", "offset": 3})
    assert drained(reader) == list("345")


def test_files_that_appear_behind_the_position_are_read(folder: Path) -> None:
    (folder / "f.txt").write_text("6\n")
    reader = Words(f"{folder}/*.txt")
    reader.open({"file": f"{folder}/d.txt", "offset": 2})
    assert drained(reader) == ["6"]


def test_a_position_of_another_file_is_refused(folder: Path) -> None:
    with pytest.raises(ConnectorError, match=r"The position is one of /other, not of .*a\.txt; reset it"):
        Words(f"{folder}/a.txt").open({"file": "/other", "offset": 3})


@pytest.mark.parametrize("category", ["csv", "file", "parquet"])
def test_what_is_no_position_in_files_is_known_before_it_is_set(category: str) -> None:
    registry, right = Registry.load(), {"file": "/a", "offset": 3, "rowGroup": 0, "row": 3}
    assert registry.distance(category, right, right) is None
    for wrong in (5, {**right, "file": 1}, {"next": 1}, {**right, "offset": -1, "row": -1}):
        with pytest.raises(ConnectorError, match="is no position of a"):
            registry.distance(category, right, wrong)


def test_a_position_without_a_file_is_one_of_the_first(folder: Path) -> None:
    reader = Words(f"{folder}/a.txt")
    reader.open({"offset": 2})
    assert drained(reader) == ["2"]


def test_a_bad_record_is_raised_behind_the_good_ones_and_passed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("1\nbad\n2\n")
    reader = Words(str(path))
    reader.open(None)
    assert reader.read(9) == ["1"]
    position = reader.position
    with pytest.raises(BadRecord):
        reader.read(9)
    assert reader.position == position
    assert drained(reader) == ["2"]
    again = Words(str(path))
    again.open(position)
    with pytest.raises(BadRecord):
        again.read(9)
    again.close()


def test_a_file_that_vanishes_between_two_files_is_an_error_until_it_is_back(folder: Path) -> None:
    reader = Words(f"{folder}/[ab].txt")
    reader.open(None)
    assert [reader.read(5), reader.read(5)] == [["1"], ["2"]]
    os.rename(folder / "b.txt", folder / "b.away")
    for _ in range(2):
        with pytest.raises(AddressUnreachable, match=r"b\.txt cannot be used: No such file or directory"):
            reader.read(5)
    os.rename(folder / "b.away", folder / "b.txt")
    assert drained(reader) == ["3", "4"]


def test_a_folder_a_missing_file_and_an_empty_pattern_are_told_apart(folder: Path) -> None:
    with pytest.raises(AddressUnreachable, match=r"is a folder; give a file or a pattern such as .*/\*\."):
        find(str(folder))
    with pytest.raises(AddressUnreachable, match=r"The file .*nosuch is not there\."):
        find(f"{folder}/nosuch")
    with pytest.raises(AddressUnreachable, match=r"No file matches .*/\*\.csv\."):
        find(f"{folder}/*.csv")


def test_a_name_that_looks_like_a_pattern_is_a_file_when_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a[1].txt"
    path.write_text("x")
    assert find(str(path)) == [str(path)]
