"""Real daemons below a folder of the test; what the tests found is printed at the end.

`TELEPORTER_FAULTS=whole` runs everything at its full length (`make faults`); else a selection of some minutes runs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.faults.plant import Plant
from tests.faults.site import Site
from tests.faults.verdicts import Verdicts
from tests.services.kafka import kafka as kafka
from tests.services.kafka import kafka_server as kafka_server
from tests.services.postgres import postgres as postgres
from tests.services.postgres import postgres_server as postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERDICTS = pytest.StashKey[Verdicts]()


@pytest.fixture(scope="session")
def whole() -> bool:
    """Whether everything runs at its full length."""
    return os.environ.get("TELEPORTER_FAULTS") == "whole"


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> Verdicts:
    return request.config.stash.setdefault(VERDICTS, Verdicts())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(VERDICTS, None)
    if found is not None and found.all:
        terminalreporter.section("faults")
        for line in found.lines():
            terminalreporter.write_line(line)
        found.keep(os.environ.get("TELEPORTER_FAULTS") == "whole")


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """Nothing runs yet."""
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    found = Plant()
    yield found
    found.end()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    found = Site(tmp_path / "data")
    yield found
    found.end()
