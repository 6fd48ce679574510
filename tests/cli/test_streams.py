from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("broker")

KEY = "/stream/ns/t/s"


@pytest.fixture(autouse=True)
def stream(here: Run, broker: object) -> None:
    here("config", "put", KEY, "{}")


def test_streams_are_listed(here: Run) -> None:
    table = here("streams", "list")
    assert (table.code, KEY in table.out, "dead" in table.out) == (0, True, False)
    views = json.loads(here("streams", "list", "/stream/ns/", "--json").out)
    assert [view["key"] for view in views] == [KEY]
    assert json.loads(here("streams", "list", "/stream/other/", "--json").out) == []


def test_one_stream_is_shown(here: Run) -> None:
    assert "dead lettered" in here("streams", "status", KEY).out
    assert json.loads(here("streams", "status", KEY, "--json").out)["counts"]["read"] == 0
    assert here("streams", "status", "/stream/ns/t/other").code == 1


def test_commands(here: Run) -> None:
    assert json.loads(here("streams", "stop", KEY, "--json").out)["wanted"] == "STOPPED"
    assert json.loads(here("streams", "start", KEY, "--json").out)["wanted"] == "NORMAL"
    assert here("streams", "refresh", KEY).code == 0
    refused = here("streams", "restart", KEY)
    assert refused.code == 1
    assert "no instance has its partition" in refused.err
