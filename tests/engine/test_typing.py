"""Types follow a record through a chain of operators, and what does not fit is refused: `typed_chain.py`, checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("file", ["typed_chain.py", "typed_families.py"])
def test_a_strict_checker_follows_the_types(file: str) -> None:
    """Each line there that has to be refused says so; a checker that does not refuse it reports the comment."""
    done = subprocess.run(
        [sys.executable, "-m", "pyright", str(HERE / file)],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout
