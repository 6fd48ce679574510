"""Builds the JupyterLab panel when the package is built, where it can be.

Owns the decision whether to build, and the place of the bundle in the wheel. A machine without Node.js gets everything
but the panel, and is told so: refusing to install a broker because a browser part is missing would help nobody.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "labextension"
BUNDLE = "teleporter_lab/labextension"
INSTALLED = "share/jupyter/labextensions/teleporter-lab"

_BUILT_FROM = ("src", "style", "schema", "package.json", "package-lock.json", "tsconfig.json")


class PanelHook(BuildHookInterface[Any]):
    """Before a wheel or an sdist: build the bundle if it is missing or older than its source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if stale(root):
            problem = node_problem(node_version())
            if problem:
                self.app.display_warning(
                    f"The JupyterLab panel of teleporter-lab was not built: {problem} Everything else is installed; "
                    "install Node.js and install again to have the panel."
                )
            else:
                build(root, self.target_name, version)
        if self.target_name == "wheel" and built(root):
            build_data["shared_data"][BUNDLE] = INSTALLED


def built(root: Path) -> bool:
    return (root / BUNDLE / "package.json").is_file()


def stale(root: Path) -> bool:
    """Whether there is a source that the bundle does not show. An sdist carries the bundle, as old as all else."""
    if not (root / SOURCE / "package.json").is_file():
        return False
    if not built(root):
        return True
    newest = max(file.stat().st_mtime for name in _BUILT_FROM for file in _files(root / SOURCE / name))
    return newest > (root / BUNDLE / "package.json").stat().st_mtime


def node_version() -> str:
    """What `node --version` says, empty where Node.js or npm is missing or does not run."""
    node = shutil.which("node")
    if not node or not shutil.which("npm"):
        return ""
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def node_problem(version: str) -> str:
    """Why this Node.js cannot build the panel, empty when it can. The bundler wants ^20.19 or >=22.12."""
    found = re.match(r"v(\d+)\.(\d+)\.", version)
    if not found:
        return "Node.js with npm was not found."
    major, minor = int(found[1]), int(found[2])
    if (major == 20 and minor >= 19) or (major, minor) >= (22, 12):
        return ""
    return f"it needs Node.js 20.19, or 22.12 and newer, and this is {version}."


def build(root: Path, target: str, version: str) -> None:
    """Install what the bundler needs and run it. Raises CalledProcessError, after npm has said why."""
    from hatch_jupyter_builder import npm_builder

    # The bundler's command is a script of the Python that runs this build.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    npm_builder(target, version, path=str(root / SOURCE), build_cmd="build:prod", npm=["npm"])


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in path.rglob("*") if file.is_file()]
    return [path] if path.exists() else []
