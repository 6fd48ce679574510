"""What the package offers at its top, and that merely importing it costs nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import teleporter_lab

ROOT = Path(__file__).parents[1]


def test_every_public_name_is_there() -> None:
    for name in teleporter_lab.__all__:
        assert getattr(teleporter_lab, name) is not None
    assert dir(teleporter_lab) == sorted(teleporter_lab.__all__)


def test_what_a_type_checker_sees_is_what_there_is() -> None:
    tree = ast.parse((ROOT / "teleporter_lab/__init__.py").read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen | {"__version__"} == set(teleporter_lab.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = teleporter_lab.nothing  # type: ignore[attr-defined]


def test_importing_it_loads_nothing_heavy() -> None:
    """A Jupyter server imports the package only to list its extensions."""
    script = """
import sys, json, teleporter_lab
teleporter_lab._jupyter_server_extension_points()
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"fastapi", "sqlalchemy", "pydantic", "httpx", "uvicorn", "IPython", "pandas", "tornado", "asyncio"}
    assert heavy & set(json.loads(done.stdout)) == set()


def test_the_command_line_says_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "teleporter_lab", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == teleporter_lab.__version__


def test_the_panel_has_the_same_version() -> None:
    package = json.loads((ROOT / "labextension/package.json").read_text())
    assert package["version"] == teleporter_lab.__version__
