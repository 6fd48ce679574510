"""The table of guarantees names every source and every sink there is, and says `refused` where the code refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from teleporter_lab.connectors.base import Registry

PAGE = Path(__file__).parents[2] / "docs" / "delivery.md"
LINES = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
HEAD, _, *ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES]


def named(cells: list[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`([a-zA-Z]+)`", cell)}


@pytest.mark.parametrize("connector", Registry.load().all(), ids=lambda connector: connector.category)
def test_every_source_has_a_row_and_every_sink_a_column(connector: type) -> None:
    specs = connector.specs()
    if "source" in specs:
        assert connector.category in named([row[0] for row in ROWS])
    if "sink" in specs:
        assert connector.category in named(HEAD[1:])
        able = connector.category in named([cell for cell in HEAD if cell.startswith("`exactlyOnce`")])
        assert able == (specs["sink"].exactly_once is not None)


def test_every_pair_has_a_cell() -> None:
    assert all(len(row) == len(HEAD) and all(row) for row in ROWS)


def test_only_kafka_sources_in_a_group_are_exactly_once_by_kafka() -> None:
    kafka = HEAD.index("`exactlyOnce`: `kafka`")
    assert [row[0] for row in ROWS if row[kafka] != "refused"] == ["`kafka` in a group"]
