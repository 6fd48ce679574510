"""Folders and the settings file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from teleporter_lab import settings
from teleporter_lab.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


def test_one_variable_moves_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path))
    assert settings.runtime_dir() == tmp_path / "runtime"
    assert settings.data_dir() == tmp_path / "data"


def test_a_folder_of_its_own_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path))
    monkeypatch.setenv("TELEPORTER_RUNTIME_DIR", str(tmp_path / "r"))
    monkeypatch.setenv("TELEPORTER_DATA_DIR", str(tmp_path / "d"))
    assert (settings.runtime_dir(), settings.data_dir()) == (tmp_path / "r", tmp_path / "d")


def test_without_them_it_is_below_jupyter_and_the_users_data(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TELEPORTER_HOME", "TELEPORTER_RUNTIME_DIR", "TELEPORTER_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert settings.runtime_dir().name == "teleporter"
    assert settings.data_dir().name == "teleporter-lab"


def test_the_file_of_this_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teleporter.toml").write_text("[broker]\nport = 9100\n")
    assert settings.read_toml() == {"broker": {"port": 9100}}


def test_no_file_is_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings.read_toml() == {}


@pytest.mark.parametrize("content", [b"port = \n", b"\xff\xfe", b"[broker\n"])
def test_a_broken_file_is_named_and_the_place_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teleporter.toml").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"teleporter\.toml is not valid TOML"):
        settings.read_toml()
