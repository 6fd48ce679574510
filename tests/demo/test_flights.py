"""The independent check must see whatever can be wrong: it is what the demo and the fault tests rest on."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.demo import flights
from teleporter_lab.demo.flights import KM_PER_MILE, NUMBERS, RENAMED, ROWS, Files, compare, prepare

if TYPE_CHECKING:
    from pathlib import Path

FEW = 500


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return prepare(tmp_path_factory.mktemp("flights"))


@pytest.fixture
def few(whole: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """The first rows of the real file, and a table that holds them rightly."""
    monkeypatch.setattr(flights, "ROWS", FEW)
    with open(whole.csv, encoding="utf-8") as file:
        head = [next(file) for _ in range(FEW + 1)]
    (tmp_path / "few.csv").write_text("".join(head), encoding="utf-8")
    found = Files(str(tmp_path / "few.csv"), str(tmp_path / "few.sqlite"))
    rows = [loaded(number, line) for number, line in enumerate(csv.DictReader(head), 1)]
    columns = list(rows[0])
    with closing(sqlite3.connect(found.database)) as database, database:
        database.execute(f"CREATE TABLE legs ({', '.join(columns)})")
        marks = ", ".join("?" * len(columns))
        database.executemany(f"INSERT INTO legs VALUES ({marks})", [tuple(row.values()) for row in rows])
    return found


def loaded(number: int, line: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        RENAMED.get(name, name): None if value == "NA" else int(value) if name in NUMBERS else value
        for name, value in line.items()
        if name not in {"year", "month", "day"}
    }
    date = f"{line['year']}-{line['month']:0>2}-{line['day']:0>2}"
    return {"id": number, "date": date, "km": round(int(line["distance"]) * KM_PER_MILE, 1), "version": 1, **row}


def change(where: Files, statement: str) -> None:
    with closing(sqlite3.connect(where.database)) as database, database:
        database.execute(statement)


def test_the_file_holds_what_it_is_known_to_hold(whole: Files) -> None:
    with open(whole.csv, encoding="utf-8", newline="") as file:
        assert sum(1 for _ in csv.reader(file)) == ROWS + 1


def test_a_right_table_is_perfect(few: Files) -> None:
    verdict = compare(few)
    assert verdict.perfect
    assert verdict.versions == {1: FEW}


@pytest.mark.parametrize(
    ("statement", "missing", "wrong"),
    [
        ("DELETE FROM legs WHERE id = 1", 1, 0),
        ("DELETE FROM legs WHERE id IN (100, 101, 500)", 3, 0),
        ("DELETE FROM legs", FEW, 0),
        ("UPDATE legs SET km = km + 0.1 WHERE id = 7", 0, 1),
        ("UPDATE legs SET tailnum = NULL WHERE id = 8", 0, 1),
        ("UPDATE legs SET airline = 'XX'", 0, FEW),
        ("INSERT INTO legs SELECT * FROM legs WHERE id = 3", 0, 1),
        ("UPDATE legs SET id = 0 WHERE id = 9", 1, 1),
    ],
)
def test_whatever_is_wrong_is_seen(few: Files, statement: str, missing: int, wrong: int) -> None:
    change(few, statement)
    verdict = compare(few)
    assert not verdict.perfect
    assert (verdict.missing, verdict.wrong) == (missing, wrong)


def test_rows_too_many_at_the_end_are_seen(few: Files) -> None:
    change(few, f"INSERT INTO legs (id, version) VALUES ({FEW + 1}, 1)")
    verdict = compare(few)
    assert verdict.rows == FEW + 1
    assert not verdict.perfect


def test_preparing_twice_unpacks_once(whole: Files, tmp_path: Path) -> None:
    first = prepare(tmp_path)
    stamp = (tmp_path / "flights.csv").stat().st_mtime_ns
    assert prepare(tmp_path) == first
    assert (tmp_path / "flights.csv").stat().st_mtime_ns == stamp
