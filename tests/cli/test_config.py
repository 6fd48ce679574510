from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.config.secret import MASK

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("broker")

NS = "/namespace/ns"


def test_a_value_is_put_read_listed_and_deleted(here: Run) -> None:
    assert here("config", "put", NS, '{"name": "x"}').out == f"Saved {NS}.\n"
    assert json.loads(here("config", "get", NS).out) == {"name": "x"}
    entry = json.loads(here("config", "get", NS, "--json").out)
    assert json.loads(here("config", "range", "/namespace/", "--json").out) == [entry]
    assert NS in here("config", "range", "/namespace/").out
    stale = here("config", "put", NS, "{}", "--etag", "stale")
    assert (stale.code, stale.err.count("\n")) == (1, 1)
    assert here("config", "delete", NS, "--etag", entry["etag"]).code == 0
    gone = here("config", "get", NS)
    assert (gone.code, gone.err) == (1, f"Error: Nothing is kept under {NS}.\n")


def test_all_mistakes_are_shown(here: Run) -> None:
    outcome = here("config", "put", NS, '{"zap": 1, "name": 2}')
    assert outcome.code == 1
    assert len(outcome.err.splitlines()) == 3
    assert "  zap: " in outcome.err
    assert "  name: " in outcome.err


def test_a_value_comes_from_standard_input(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"name": "from input"}'))
    assert here("config", "put", NS, "-").code == 0
    assert json.loads(here("config", "get", NS).out) == {"name": "from input"}


@pytest.mark.parametrize(("name", "text"), [("v.json", '{"name": "f"}'), ("v.yaml", "name: f\n"), ("v.yml", "name: f")])
def test_a_value_comes_from_a_file(here: Run, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert here("config", "put", NS, "-f", str(tmp_path / name)).code == 0
    assert json.loads(here("config", "get", NS).out) == {"name": "f"}


@pytest.mark.parametrize(("name", "text"), [("v.json", "{"), ("v.yaml", "a: [")])
def test_a_file_that_is_none_is_named(here: Run, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    outcome = here("config", "put", NS, "-f", str(tmp_path / name))
    assert outcome.code == 1
    assert "is not" in outcome.err


@pytest.mark.parametrize("more", [(), ("{}", "-f", "/dev/null")])
def test_a_value_is_given_once(here: Run, more: tuple[str, ...]) -> None:
    assert here("config", "put", NS, *more).code == 2


def test_secrets_are_hidden(here: Run) -> None:
    value = {"arguments": {"password": "${env:PASSWORD}"}}
    here("config", "put", "/variable/ns/v", json.dumps(value))
    assert json.loads(here("config", "get", "/variable/ns/v").out) == {"arguments": {"password": MASK}}
    assert json.loads(here("config", "get", "/variable/ns/v", "--raw").out) == value


def test_a_refresh_says_whom_it_reached(here: Run) -> None:
    here("config", "put", NS, "{}")
    assert here("config", "refresh", NS).out == f"{NS} concerns no instance that is online.\n"
    assert json.loads(here("config", "refresh", NS, "--json").out)["notified"] == []
    assert here("config", "refresh", "nonsense").code == 1
