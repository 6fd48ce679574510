"""The package as it is built: one version, a lock file that names no host, the panel where Node.js is."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from teleporter_lab import __version__

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]

WITHOUT_BUNDLE = shutil.ignore_patterns("__pycache__", "labextension")


def package_json() -> dict[str, object]:
    return json.loads((ROOT / "labextension" / "package.json").read_text())


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_halves_have_one_version() -> None:
    lock = json.loads((ROOT / "labextension" / "package-lock.json").read_text())
    assert package_json()["version"] == lock["version"] == lock["packages"][""]["version"] == __version__


def test_the_lock_file_names_no_host() -> None:
    lock = json.loads((ROOT / "labextension" / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


def test_the_server_extension_is_switched_on_by_installing() -> None:
    config = json.loads((ROOT / "jupyter-config" / "server-config" / "teleporter_lab.json").read_text())
    assert config == {"ServerApp": {"jpserver_extensions": {"teleporter_lab": True}}}


@pytest.mark.parametrize("version", ["v20.19.0", "v20.20.2", "v22.12.0", "v24.1.0"])
def test_a_node_that_can_build(hook: ModuleType, version: str) -> None:
    assert hook.node_problem(version) == ""


@pytest.mark.parametrize("version", ["", "v18.20.0", "v20.18.3", "v21.7.0", "v22.11.0"])
def test_a_node_that_cannot_build(hook: ModuleType, version: str) -> None:
    assert hook.node_problem(version).endswith(".")


class TestStale:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        (tmp_path / "labextension" / "src").mkdir(parents=True)
        (tmp_path / "labextension" / "package.json").touch()
        (tmp_path / "labextension" / "src" / "index.ts").touch()
        return tmp_path

    def bundle(self, root: Path, seconds: float) -> None:
        """A bundle that is so many seconds younger than its source."""
        built = root / "teleporter_lab" / "labextension" / "package.json"
        built.parent.mkdir(parents=True)
        built.touch()
        time = (root / "labextension" / "src" / "index.ts").stat().st_mtime + seconds
        os.utime(built, (time, time))

    def test_without_a_bundle(self, hook: ModuleType, root: Path) -> None:
        assert hook.stale(root)

    def test_with_a_bundle_older_than_its_source(self, hook: ModuleType, root: Path) -> None:
        self.bundle(root, -10)
        assert hook.stale(root)

    def test_not_with_a_newer_one(self, hook: ModuleType, root: Path) -> None:
        self.bundle(root, 10)
        assert not hook.stale(root)

    def test_not_without_a_source(self, hook: ModuleType, tmp_path: Path) -> None:
        assert not hook.stale(tmp_path)


class TestWheel:
    """Built by the real backend in a copy of the project; no Node.js is on the path."""

    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, tmp_path)
        for folder in ("jupyter-config", "notebooks"):
            shutil.copytree(ROOT / folder, tmp_path / folder)
        shutil.copytree(ROOT / "teleporter_lab", tmp_path / "teleporter_lab", ignore=WITHOUT_BUNDLE)
        (tmp_path / "labextension").mkdir()
        shutil.copy(ROOT / "labextension" / "package.json", tmp_path / "labextension")
        return tmp_path

    def build(self, project: Path) -> tuple[list[str], str]:
        """Names in the wheel, and what the build said."""
        code = "from hatchling.build import build_wheel; build_wheel('dist')"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=project,
            env={"PATH": str(project)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (wheel,) = (project / "dist").glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.namelist(), done.stdout + done.stderr

    def test_without_node_has_all_but_the_panel_and_says_so(self, project: Path) -> None:
        names, said = self.build(project)
        assert "panel of teleporter-lab was not built: Node.js with npm was not found." in said
        assert not [name for name in names if "labextensions" in name]
        assert [name for name in names if name.endswith("jupyter_server_config.d/teleporter_lab.json")]

    def test_with_a_bundle_has_the_panel_where_jupyterlab_looks(self, project: Path) -> None:
        bundle = project / "teleporter_lab" / "labextension"
        bundle.mkdir()
        (bundle / "package.json").write_text("{}")
        names, said = self.build(project)
        assert "not built" not in said
        placed = [name for name in names if name.endswith("/package.json")]
        assert len(placed) == 1
        assert placed[0].endswith(".data/data/share/jupyter/labextensions/teleporter-lab/package.json")
