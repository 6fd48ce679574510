"""A name is given at once, and never to a second file."""

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.connectors.rollers import durable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["at once", "as a system without that call does it", "as a file system without it does it"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "system without" in request.param:
        monkeypatch.setattr(durable, "_renameat2", lambda: None)
    if "file system" in request.param:
        monkeypatch.setattr(durable, "_rename", lambda *_: errno.EINVAL)


@pytest.mark.usefixtures("way")
class TestMove:
    def test_a_file_moves_also_into_another_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("1")
        (tmp_path / "b").mkdir()
        durable.move(tmp_path / "a", tmp_path / "b" / "c")
        assert not (tmp_path / "a").exists()
        assert (tmp_path / "b" / "c").read_text() == "1"

    def test_what_is_there_stays(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("1")
        (tmp_path / "b").write_text("2")
        (tmp_path / "c").symlink_to(tmp_path / "nowhere")
        for taken in ("b", "c"):
            with pytest.raises(FileExistsError, match=taken):
                durable.move(tmp_path / "a", tmp_path / taken)
        assert (tmp_path / "a").read_text() + (tmp_path / "b").read_text() == "12"

    def test_other_errors_come_out(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            durable.move(tmp_path / "a", tmp_path / "b")


def test_folders_are_made_as_deep_as_needed(tmp_path: Path) -> None:
    durable.make_folders(tmp_path / "a" / "b")
    durable.make_folders(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        durable.make_folders(tmp_path / "file" / "b")


def test_a_file_that_takes_only_some_bytes_gets_the_rest(tmp_path: Path) -> None:
    class Slow(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data)[:3])

    with Slow(str(tmp_path / "a"), "w") as file:
        durable.write_all(file, b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"
