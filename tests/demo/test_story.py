"""`make demo`, as it is run: real daemons, a real kernel, a real kill. Its exit code is its verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.daemon.connection_file import ConnectionFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.faults
@pytest.mark.timeout(240)
def test_the_demo_tells_its_story_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "teleporter_lab", "demo", "--folder", str(folder)]
    environment = {**os.environ, "COLUMNS": "160"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost, nothing wrong, the ledger adds up" in done.stdout
    assert "killed the instance with SIGKILL" in done.stdout
    assert "336,776 rows" in done.stdout
    monkeypatch.setenv("TELEPORTER_HOME", str(folder))
    assert ConnectionFile.all("broker") == ConnectionFile.all("instance") == []
