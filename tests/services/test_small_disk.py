"""The small disk is full when it should be, and gone afterwards."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.services.small_disk import BYTES, mounted
from tests.services.small_disk import small_disk as small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.small_disk import SmallDisk


def test_it_fills_and_empties(small_disk: SmallDisk) -> None:
    file = small_disk.folder / "file"
    file.write_bytes(bytes(BYTES // 2))
    small_disk.fill()
    with pytest.raises(OSError, match="No space left"):
        (small_disk.folder / "more").write_bytes(b"x")
    small_disk.fill(leave=8192)
    (small_disk.folder / "more").write_bytes(bytes(8192))
    with pytest.raises(OSError, match="No space left"):
        (small_disk.folder / "still_more").write_bytes(b"x")
    small_disk.free()
    (small_disk.folder / "still_more").write_bytes(b"x")


def test_it_can_be_protected(small_disk: SmallDisk) -> None:
    small_disk.protect()
    with pytest.raises(OSError, match="Read-only"):
        (small_disk.folder / "file").touch()
    small_disk.release()
    (small_disk.folder / "file").touch()


@pytest.mark.usefixtures("small_disk")  # tells where it cannot be mounted
def test_it_is_unmounted(tmp_path: Path) -> None:
    with mounted(tmp_path / "other") as disk:
        assert os.path.ismount(disk.folder)
    assert not os.path.ismount(tmp_path / "other")
