"""Batches are appended as a whole or not at all, and a torn end is put aside."""

from __future__ import annotations

import errno
import io
import logging
import os
import resource
from typing import TYPE_CHECKING, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.connectors import append_file as module
from teleporter_lab.connectors.append_file import AppendFile, lines_end
from teleporter_lab.errors import AddressUnreachable, ConnectorError

if TYPE_CHECKING:
    from pathlib import Path


def newline_end(file: BinaryIO, start: int) -> int:
    return lines_end(file, start, b"\n")


def opened(path: Path) -> AppendFile:
    file = AppendFile(str(path), b"\n", newline_end)
    file.open()
    return file


def test_the_torn_end_of_a_crash_is_moved_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"one\ntwo\nthr")
    (tmp_path / "out.open").write_text("4")
    with caplog.at_level(logging.WARNING):
        file = opened(path)
    file.append(b"three\n")
    file.close()
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert (tmp_path / "out.torn").read_bytes() == b"thr"
    assert "A crash left 3 bytes that are no complete record in" in caplog.text


@pytest.mark.parametrize(
    ("marker", "kept"), [("0", b"one\n"), ("4", b"one\n"), ("99", b"one\ntw"), ("what?", b"one\n")]
)
def test_nothing_that_was_there_before_is_taken_for_torn(tmp_path: Path, marker: str, kept: bytes) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"one\ntw")
    (tmp_path / "out.open").write_text(marker)
    opened(path).close()
    assert path.read_bytes() == kept


def test_the_last_line_of_somebody_else_gets_its_end(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"one\ntwo")
    file = opened(path)
    file.append(b"three\n")
    file.close()
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_marker_stands_beside_the_file_just_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"one\n")
    file = opened(path)
    file.append(b"two\n")
    assert (tmp_path / "out.open").read_text() == "4"
    file.close()
    file.close()
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    first = opened(tmp_path / "out")
    with pytest.raises(ConnectorError, match="is being written by another sink"):
        opened(tmp_path / "out")
    assert (tmp_path / "out.open").exists()
    first.close()
    opened(tmp_path / "out").close()


def test_a_batch_that_does_not_fit_is_cut_off_again(tmp_path: Path) -> None:
    path = tmp_path / "out"
    file = opened(path)
    file.append(b"a\n" * 100)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(AddressUnreachable, match=r"out cannot be used: File too large\."):
            file.append(b"b\n" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"a\n" * 100
    file.append(b"c\n")
    file.close()
    assert path.read_bytes() == b"a\n" * 100 + b"c\n"
    assert file.size == 202


def test_a_device_that_cannot_be_cut_back_is_said_to_hold_a_part(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    file = AppendFile(str(tmp_path / "full"), b"", lambda _file, start: start)
    file.open()
    with pytest.raises(ConnectorError, match=r"No space left on device\. A part of the batch may stand behind byte 0"):
        file.append(b"x")
    file.close()
    assert (tmp_path / "full.open").exists()


def test_what_could_not_be_cut_off_is_cut_off_before_more_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(tmp_path / "out")
    file.append(b"one\n")

    def half(to: BinaryIO, data: bytes) -> None:
        to.write(data[:2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Stuck(io.FileIO):
        def truncate(self, size: int | None = None) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_all", half)
        with Stuck(str(tmp_path / "out"), "a") as stuck:
            patch.setattr(file, "_file", stuck)
            with pytest.raises(ConnectorError, match="A part of the batch may stand behind byte 4"):
                file.append(b"two\n")
            with pytest.raises(ConnectorError, match="A part of the batch may stand behind byte 4"):
                file.append(b"two\n")
    assert (tmp_path / "out").read_bytes() == b"one\ntw"
    file.append(b"two\n")
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
    file.close()
    assert not (tmp_path / "out.open").exists()


def test_a_file_that_is_removed_while_it_is_written_is_noticed(tmp_path: Path) -> None:
    file = opened(tmp_path / "out")
    file.append(b"one\n")
    (tmp_path / "out").unlink()
    with pytest.raises(ConnectorError, match="was removed while it was written"):
        file.append(b"two\n")
    file.close()


def test_what_cannot_be_opened_is_told_by_path_and_reason(tmp_path: Path) -> None:
    with pytest.raises(AddressUnreachable, match=r"out cannot be used: No such file or directory\."):
        opened(tmp_path / "nosuch" / "out")
    with pytest.raises(AddressUnreachable, match="Is a directory"):
        opened(tmp_path)


def test_a_closed_file_takes_nothing(tmp_path: Path) -> None:
    file = opened(tmp_path / "out")
    file.close()
    with pytest.raises(ConnectorError, match="is not open for writing"):
        file.append(b"x")


@given(
    data=st.binary(max_size=40).map(lambda data: data.replace(b"a", b"|")),
    delimiter=st.sampled_from([b"|", b"||"]),
    start=st.integers(0, 40),
)
def test_the_end_of_the_last_line_is_found_in_any_block(data: bytes, delimiter: bytes, start: int) -> None:
    start = min(start, len(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 3)
        cut = data.rfind(delimiter, start)
        assert lines_end(io.BytesIO(data), start, delimiter) == (cut + len(delimiter) if cut >= 0 else start)
