from __future__ import annotations

import sys
from pathlib import Path

import pytest

from teleporter_lab.broker.command import command_line
from teleporter_lab.errors import InvalidInput


def test_a_line_runs_this_interpreter_detached() -> None:
    line = command_line("mine", port=0, more=("--log-json",))
    assert line[:5] == [sys.executable, "-m", "teleporter_lab", "broker", "--detached"]
    assert line[-1] == "--log-json"
    assert "--store" not in line


def test_a_store_keeps_its_place_when_the_folder_changes() -> None:
    assert f"sqlite:{Path.cwd() / 'here'}" in command_line("mine", store="sqlite:here")
    assert "memory:" in command_line("mine", store="memory:")
    with pytest.raises(InvalidInput):
        command_line("mine", store="nonsense")


def test_the_url_of_a_server_is_kept_as_it_is_and_out_of_sight_where_the_environment_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "postgresql://me:secret@host/db"
    assert command_line("a", store=url)[-2:] == ["--store", url]
    monkeypatch.setenv("TELEPORTER_STORE", url)
    assert url not in command_line("a", store=url)
