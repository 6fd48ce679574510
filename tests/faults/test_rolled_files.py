"""`kill -9` while rolled files are written, 20 times: nothing is missing, and exactly once nothing is there twice."""

from __future__ import annotations

import csv
import multiprocessing
import random
from collections import Counter
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from tests.faults.rolled_writer import RECORDS, work

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

KILLS = 20
BATCHES = 110
SECONDS = 30.0
PRELOADED = ["tests.faults.rolled_writer", "teleporter_lab.connectors.parquet", "teleporter_lab.connectors.csv"]
PRELOADED += ["pyarrow.parquet", "pandas"]  # what pyarrow imports with its first array, where it is installed


class Killer:
    """Starts the writer again and again, from where it has confirmed, and kills it at a random point."""

    def __init__(self, folder: Path, category: str, marked: bool) -> None:
        self.folder = folder
        self._category = category
        self._marked = marked
        self._confirmed = 0
        self._processes = multiprocessing.get_context("forkserver")  # a fresh process each time, imports done
        self._processes.set_forkserver_preload(PRELOADED)

    def run(self, chance: random.Random | None) -> int:
        """Lets it write, to the end or, with a `chance`, until it is killed; what it ended with."""
        mine, its = self._processes.Pipe(duplex=False)
        start = None if self._marked else self._confirmed
        writer = self._processes.Process(
            target=work, args=(str(self.folder), self._category, start, BATCHES, its), daemon=True
        )
        writer.start()
        its.close()
        self._follow(mine, chance.randrange(6) if chance else BATCHES)
        if chance:
            mine.poll(chance.random() * 0.01)
            writer.kill()
        self._follow(mine, BATCHES)
        writer.join(SECONDS)
        return writer.exitcode or 0

    def _follow(self, pipe: multiprocessing.connection.Connection, most: int) -> None:
        """Takes what is confirmed, until there are as many or the writer is gone."""
        try:
            for _ in range(most):
                assert pipe.poll(SECONDS)
                self._confirmed = max(self._confirmed, pipe.recv())
        except EOFError:
            return


def ids(folder: Path, category: str) -> list[int]:
    """What everybody can read, file by file."""
    files = sorted(path for path in folder.rglob("[!.]*") if path.is_file())
    return [int(each) for path in files for each in _ids_of(path, category)]


def _ids_of(path: Path, category: str) -> list[str]:
    if category == "parquet":
        return [row["id"] for row in pq.ParquetFile(path).read().to_pylist()]
    if category == "csv":
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["more"] for row in rows} == {"x" * 50}
        return [row["id"] for row in rows]
    return path.read_text().splitlines()


@pytest.mark.parametrize(
    ("category", "marked"), [("csv", True), ("file", True), ("parquet", True), ("csv", False), ("parquet", False)]
)
def test_a_writer_killed_at_twenty_random_points(tmp_path: Path, category: str, marked: bool) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    killer = Killer(tmp_path, category, marked)
    assert [killer.run(chance) for _ in range(KILLS)] == [-9] * KILLS, seed
    assert killer.run(None) == 0, seed
    found = ids(tmp_path, category)
    expected = list(range(BATCHES * RECORDS))
    if marked:
        assert found == expected, seed
        return
    counts = Counter(found)
    assert sorted(counts) == expected, seed
    assert max(counts.values()) <= KILLS + 1
    assert len(found) - len(expected) <= KILLS * RECORDS, seed  # at most the batch whose confirmation was under way
