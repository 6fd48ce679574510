from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from teleporter_lab._version import __version__
from teleporter_lab.cli import exit_code
from teleporter_lab.errors import Conflict, InvalidConfig, NotFound, NotRunning, StoreLocked, Unreachable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("error", "code"),
    [(Unreachable, 3), (NotRunning, 3), (NotFound, 1), (Conflict, 1), (InvalidConfig, 1), (StoreLocked, 1)],
)
def test_errors_have_exit_codes(error: type[Exception], code: int) -> None:
    assert exit_code(error("It is so.")) == code  # type: ignore[arg-type]


def test_the_version(here: Run) -> None:
    assert here("--version").out.strip() == __version__


@pytest.mark.parametrize(
    "arguments",
    [(), ("config",), ("streams",), ("nonsense",), ("config", "get"), ("config", "get", "--nonsense", "/x"),
     ("broker", "--port", "70000"), ("streams", "list", "--limit", "x")],
)  # fmt: skip
def test_wrong_usage_is_2(here: Run, arguments: tuple[str, ...]) -> None:
    outcome = here(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


def test_nobody_there_is_3_and_one_sentence(here: Run) -> None:
    outcome = here("config", "get", "/namespace/a")
    assert outcome.code == 3
    assert outcome.err == (
        "Error: No broker default runs on this machine: start it with `teleporter-lab broker start`.\n"
    )


def test_a_settings_file_that_is_none_is_named(here: Run, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "teleporter.toml").write_text("= nonsense")
    outcome = here("streams", "list")
    assert outcome.code == 1
    assert "teleporter.toml is not valid TOML" in outcome.err


def test_the_module_is_the_command(process: Run) -> None:
    assert process("--version").out.strip() == __version__


def test_help_needs_nothing_heavy(process: Run) -> None:
    outcome = process("broker", "start", "--help")
    assert outcome.code == 0
    assert "--allow-remote" in outcome.out
