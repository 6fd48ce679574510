"""A folder of parts: each whole before it is seen, none overwritten, one writer at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from teleporter_lab.connectors.part_files import PartFiles
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError


def parts(folder: Path, prefix: str = "part") -> PartFiles:
    return PartFiles(str(folder), prefix, "txt")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".part.lock"))


def add(files: PartFiles, *contents: str) -> int:
    return files.add([lambda path, content=content: Path(path).write_text(content) and None for content in contents])


def test_files_are_numbered_on_from_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    files = parts(folder)
    assert files.open() == []
    assert add(files, "a", "b") == 2
    assert add(files, "c") == 1
    files.close()
    files.close()
    again = parts(folder)
    assert [path.name for path in again.open()] == ["part-00000001.txt", "part-00000002.txt", "part-00000003.txt"]
    add(again, "d")
    again.close()
    assert names(folder) == [f"part-{number:08}.txt" for number in (1, 2, 3, 4)]
    assert (folder / "part-00000004.txt").read_text() == "d"


def test_a_file_is_whole_before_it_has_its_name(tmp_path: Path) -> None:
    files, seen = parts(tmp_path), list[list[str]]()
    files.open()

    def slowly(path: str) -> None:
        Path(path).write_text("half")
        seen.append([name for name in names(tmp_path) if name.endswith(".txt")])

    files.add([slowly, slowly])
    files.close()
    assert seen == [[], []]


def test_of_files_that_could_not_be_written_none_is_left(tmp_path: Path) -> None:
    files = parts(tmp_path)
    files.open()

    def refuse(path: str) -> None:
        Path(path).write_text("half")
        raise BadRecord("A value is bad.")

    def full(path: str) -> None:
        raise OSError(28, "No space left on device")

    for fails, wrong in ((refuse, "A value is bad"), (full, "cannot be used: No space left on device")):
        with pytest.raises(ConnectorError, match=wrong):
            files.add([lambda path: Path(path).write_text("x") and None, fails])
        assert names(tmp_path) == []
    add(files, "a")
    files.close()
    assert names(tmp_path) == ["part-00000001.txt"]


def test_what_a_crash_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".part-00000007.txt.tmp").write_text("half")
    (tmp_path / ".other-00000007.txt.tmp").write_text("of another sink")
    (tmp_path / "part-x.txt").write_text("no part")
    files = parts(tmp_path)
    assert files.open() == []
    add(files, "a")
    files.close()
    assert names(tmp_path) == [".other-00000007.txt.tmp", "part-00000001.txt", "part-x.txt"]


def test_one_writer_at_a_time_for_each_prefix(tmp_path: Path) -> None:
    first, second, other = parts(tmp_path), parts(tmp_path), parts(tmp_path, "other")
    first.open()
    with pytest.raises(ConnectorError, match="is being written by another sink"):
        second.open()
    other.open()
    other.close()
    first.close()
    second.open()
    second.close()


def test_a_folder_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    with pytest.raises(AddressUnreachable, match="cannot be used: No such file or directory"):
        parts(tmp_path / "no" / "where").open()
    (tmp_path / "file").write_text("")
    with pytest.raises(AddressUnreachable, match="cannot be used: File exists"):
        parts(tmp_path / "file").open()
    with pytest.raises(ConnectorError, match="is not open for writing"):
        add(parts(tmp_path), "a")


def test_both_the_file_and_its_name_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def sync(descriptor: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))

    files = parts(tmp_path)
    files.open()
    monkeypatch.setattr(os, "fsync", sync)
    add(files, "a")
    files.close()
    assert synced == [".part-00000001.txt.tmp", tmp_path.name]


def test_what_another_sink_is_writing_is_left_alone(tmp_path: Path) -> None:
    """Also where its prefix begins with this one."""
    for name in (".part-1.txt.tmp", ".part-00000007.txt.tmp", ".part-a-00000001.txt.tmp", ".part-x.txt.tmp"):
        (tmp_path / name).write_text("half")
    files = parts(tmp_path)
    files.open()
    files.close()
    assert names(tmp_path) == [".part-a-00000001.txt.tmp", ".part-x.txt.tmp"]
