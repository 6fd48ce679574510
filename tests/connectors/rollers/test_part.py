"""The unfinished file belongs to one sink, and what is gone of it is told."""

from __future__ import annotations

import errno
import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.connectors.rollers import part as module
from teleporter_lab.connectors.rollers.journal import Kept
from teleporter_lab.connectors.rollers.part import Part
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def opened(folder: Path) -> Part:
    part = Part(folder, ".x")
    try:
        part.open()
    except ConnectorError:
        part.close()
        raise
    return part


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Part]:
    part = opened(tmp_path)
    yield part
    part.close()


def test_bytes_that_no_journal_counts_are_cut_off(tmp_path: Path, part: Part) -> None:
    part.append(b"one\n", records=1)
    part.close()
    with part.path.open("ab") as file:
        file.write(b"two, of a batch that was never conf")
    again = opened(tmp_path)
    assert part.path.read_bytes() == b"one\n"
    again.append(b"two\n", records=2)
    assert part.path.read_bytes() == b"one\ntwo\n"
    again.close()


def test_one_sink_at_a_time(tmp_path: Path, part: Part) -> None:
    with pytest.raises(ConnectorError, match=r"are being written in .* by another sink; give each one its own"):
        opened(tmp_path)
    part.close()
    opened(tmp_path).close()


def test_two_names_share_a_folder(tmp_path: Path, part: Part) -> None:
    other = Part(tmp_path, ".y")
    other.open()
    other.append(b"y", records=1)
    part.append(b"x", records=1)
    other.close()
    assert part.path.read_bytes() == b"x"


def test_a_file_gets_its_name_and_the_next_one_begins_empty(tmp_path: Path, part: Part) -> None:
    part.append(b"one\n", records=1)
    part.finish(lambda: {"closing": "a/b/one", "index": 1}, None)
    assert part.kept == Kept(index=1)
    part.append(b"two\n", records=1)
    part.finish(lambda: {"closing": "two", "index": 2}, None)
    assert (tmp_path / "a" / "b" / "one").read_text() + (tmp_path / "two").read_text() == "one\ntwo\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.journal", ".x.lock", "a", "two"]


def test_a_name_that_is_taken_meanwhile_is_asked_for_again(tmp_path: Path, part: Part) -> None:
    (tmp_path / "1").write_text("somebody else's")
    names = iter(["1", "2"])
    part.append(b"mine", records=1)
    part.finish(lambda: {"closing": next(names)}, None)
    assert (tmp_path / "1").read_text() == "somebody else's"
    assert (tmp_path / "2").read_text() == "mine"


def test_a_conversion_that_failed_is_done_again(tmp_path: Path, part: Part) -> None:
    def fails(_part: Path, into: Path) -> None:
        into.write_text("half")
        raise ConnectorError("no room")

    def doubles(source: Path, into: Path) -> None:
        into.write_bytes(source.read_bytes() * 2)

    part.append(b"x", records=1)
    with pytest.raises(ConnectorError, match="no room"):
        part.finish(lambda: {"closing": "1"}, fails)
    assert not (tmp_path / "1").exists()
    part.close()
    again = opened(tmp_path)
    assert [path.name for path in tmp_path.glob(".x.made")] == []
    again.finish(lambda: {"closing": "another name"}, doubles)
    assert (tmp_path / "1").read_text() == "xx"
    again.close()


def test_bytes_that_are_gone_are_told_before_more_is_written(tmp_path: Path, part: Part) -> None:
    part.append(b"0123456789", records=3)
    part.close()
    part.path.write_bytes(b"0123")
    with pytest.raises(ConnectorError, match=r"Of the unfinished file .* with 3 records 6 bytes are gone"):
        opened(tmp_path)
    part.path.unlink()
    with pytest.raises(ConnectorError, match=r"10 bytes are gone: bring it back, or remove .*\.x\.journal as well"):
        opened(tmp_path)
    (tmp_path / ".x.journal").unlink()
    opened(tmp_path).close()


@pytest.mark.parametrize("gone", [".x.part", ".x.journal", ""])
def test_a_file_or_folder_that_vanishes_while_it_is_written_is_noticed(tmp_path: Path, gone: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    part = opened(folder)
    part.append(b"one\n", records=1)
    if gone:
        (folder / gone).unlink()
    else:
        shutil.rmtree(folder)
    with pytest.raises((ConnectorError, FileNotFoundError), match=r"was removed or replaced|No such file"):
        part.append(b"two\n", records=2)
    if gone != ".x.part":
        with pytest.raises(ConnectorError, match=re.escape(f"The folder {folder} was removed or replaced")):
            part.finish(lambda: {"closing": "1"}, None)
    part.close()
    assert not (folder / "1").exists()


def test_a_closed_one_takes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="is not open for writing"):
        Part(tmp_path, ".x").append(b"x", records=1)


def test_a_new_file_counts_only_once_its_folder_is_synced(
    tmp_path: Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    synced: list[Path] = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "sync", refuse)
        with pytest.raises(OSError, match="Too many open files"):
            part.append(b"one\n", records=1)
        patch.setattr(module, "sync", synced.append)
        part.append(b"one\n", records=1)
    assert synced == [tmp_path]
    assert (part.path.read_bytes(), part.kept) == (b"one\n", Kept(4, 1))
