"""The rules of the house that no other tool checks: budgets, names, docstrings, and what may not be written."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE_LINES = 400
FUNCTION_LINES = 50
CLASS_LINES = 200
PARAMETERS = 6
NO_NAMES = frozenset({"utils", "util", "common", "core", "helpers", "helper", "misc", "manager"})
NO_CLASS = re.compile(r"(Manager|Helper|Center|Util|Utils)$")


@cache
def tracked(*endings: str) -> tuple[Path, ...]:
    """Files of the project with one of `endings`: those git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / line for line in listed.stdout.splitlines() if line.endswith(endings))
    return tuple(path for path in paths if path.exists())


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


PACKAGE = [path for path in tracked(".py") if path.is_relative_to(ROOT / "teleporter_lab")]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE}


def test_there_is_something_to_check() -> None:
    assert len(PACKAGE) > 50


def test_no_file_is_longer_than_its_budget() -> None:
    sources = tracked(".py", ".ts", ".tsx")
    long = {shown(p): n for p in sources if (n := len(p.read_text(encoding="utf-8").splitlines())) > FILE_LINES}
    assert long == {}


def spans(kind: type[ast.AST] | tuple[type[ast.AST], ...], most: int) -> dict[str, int]:
    return {
        f"{shown(path)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1  # type: ignore[attr-defined]
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, kind) and node.end_lineno - node.lineno + 1 > most  # type: ignore[attr-defined]
    }


def test_no_function_is_longer_than_its_budget() -> None:
    assert spans((ast.FunctionDef, ast.AsyncFunctionDef), FUNCTION_LINES) == {}


def test_no_class_is_longer_than_its_budget() -> None:
    assert spans(ast.ClassDef, CLASS_LINES) == {}


def test_no_constructor_takes_more_than_six() -> None:
    many = {
        f"{shown(path)}:{node.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
        if len(node.args.args) + len(node.args.kwonlyargs) - 1 > PARAMETERS
    }
    assert many == set()


def test_every_module_says_what_it_is() -> None:
    assert [shown(path) for path, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_names_say_what_a_thing_is() -> None:
    assert [shown(path) for path in PACKAGE if path.stem in NO_NAMES] == []
    classes = {node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    assert sorted(name for name in classes if NO_CLASS.search(name)) == []


def test_the_tree_is_at_most_two_levels_deep() -> None:
    package = ROOT / "teleporter_lab"
    assert [shown(path) for path in PACKAGE if len(path.relative_to(package).parts) > 3] == []


def test_every_module_has_a_test_of_its_name_or_its_folder() -> None:
    """A test file of its name, or, for modules that are one thing together, tests of its folder or the one above."""
    package, tests = ROOT / "teleporter_lab", ROOT / "tests"
    missing = []
    for path in PACKAGE:
        relative = path.relative_to(package)
        folder = tests / relative.parent
        mirrored = folder / f"test_{path.stem}.py"
        together = [*folder.glob("test_*.py"), *(folder.parent.glob("test_*.py") if folder.parent != tests else ())]
        if path.stem != "__init__" and not mirrored.exists() and not together:
            missing.append(shown(path))
    assert missing == []


FORBIDDEN = {
    "left open": re.compile(r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError"),
    "a test that never runs": re.compile(r"pytest\.mark\.(skip\b|xfail)"),
    "a path of one machine": re.compile(r"/(work|root|home/\w+)/\w"),
    "a registry's host": re.compile(r"registry\.npmjs\.org|pypi\.org/simple|repo1?\.maven\.org|proxy\.golang\.org"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_forbidden_is_written(what: str) -> None:
    endings = (".py", ".ts", ".tsx", ".json", ".toml", ".md", ".ipynb", ".yml", ".yaml", "Makefile", "run")
    pattern = FORBIDDEN[what]
    found = [
        f"{shown(path)}:{number}"
        for path in tracked(*endings)
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []
