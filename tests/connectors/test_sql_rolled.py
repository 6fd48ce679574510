"""A query is read window by window, page by page and by key, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.connectors.sql_rolled import Time
from teleporter_lab.errors import AddressUnreachable, ConnectorError
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.source_contract import AsyncSourceContract, SourceCase
from tests.connectors.sql_places import Place, at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = [(n, n * 1.5) for n in range(100)]
HOUR = {"start": "2024-01-01T00:00:00", "period": "1.hours", "end": "2024-01-01T05:00:00"}
WINDOW = "SELECT * FROM events WHERE made >= #{start} AND made < #{end}"
TEXT = "SELECT * FROM events WHERE made >= {start} AND made < '{end}'"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    postgres = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    place = Place(tmp_path, postgres)
    yield place
    place.close()


def case_of(place: Place, roller: dict[str, Any], **options: Any) -> SourceCase:
    place.add(*EVENTS)
    few = 4 if place.kind == "postgresql" else 50
    records = [place.record(*event) for event in EVENTS]
    return SourceCase(lambda: place.reader(roller, **options), records, most_readers=few)


class TestWindows(AsyncSourceContract):
    @pytest.fixture
    def case(self, place: Place) -> SourceCase:
        return case_of(place, HOUR, query=f"{WINDOW} ORDER BY made, id")


class TestWindowsAsText(AsyncSourceContract):
    @pytest.fixture
    def case(self, place: Place) -> SourceCase:
        return case_of(place, {**HOUR, "period": "7.minutes", "maxPeriod": "50.minutes"}, query=f"{TEXT} ORDER BY id")


class TestPagesOfWindows(AsyncSourceContract):
    @pytest.fixture
    def case(self, place: Place) -> SourceCase:
        query = f"{WINDOW} ORDER BY id LIMIT #{{pageSize}} OFFSET {{offset}}"
        return case_of(place, {**HOUR, "pageSize": 7}, query=query)


class TestPages(AsyncSourceContract):
    @pytest.fixture
    def case(self, place: Place) -> SourceCase:
        query = "SELECT * FROM events ORDER BY id LIMIT 10 OFFSET {page} * 10"
        return case_of(place, {"pageSize": 10, "maxPage": 50}, query=query)


class TestKeysInWindows(AsyncSourceContract):
    @pytest.fixture
    def case(self, place: Place) -> SourceCase:
        return case_of(place, {**HOUR, "pageSize": 9}, query=f"{WINDOW}; ", key=["made", "id"])


class TestWindowsOfOne(AsyncSourceContract):
    @pytest.fixture
    def case(self, place: Place) -> SourceCase:
        return case_of(place, {**HOUR, "key": "id", "pageSize": 1, "period": "6.minutes"}, query=WINDOW)


async def ids(reader: Any, n: int = 1000, position: Any = None) -> list[int]:
    """The ids of everything that there is to be read."""
    await reader.open(position)
    found: list[int] = []
    while (records := await reader.read(n)) is not None:
        found += [record["id"] for record in records]
    await reader.close()
    return found


async def test_without_an_order_a_window_that_was_begun_is_read_again(place: Place) -> None:
    place.add(*EVENTS)
    reader = place.reader(HOUR, query=WINDOW)
    await reader.open(None)
    await reader.read(40)
    assert len(await reader.read(15)) == 15
    position = reader.position
    await reader.close()
    assert position["rows"] == 0
    again = await ids(place.reader(HOUR, query=WINDOW), position=position)
    assert sorted(again) == list(range(40, 100))


async def test_where_the_last_page_is_reached_the_rest_of_the_window_is_left(place: Place) -> None:
    place.add(*EVENTS)
    query = f"{WINDOW} ORDER BY id LIMIT {{pageSize}} OFFSET {{offset}}"
    reader = place.reader({**HOUR, "pageSize": 5, "maxPage": 1}, query=query)
    assert await ids(reader) == [*range(10), *range(40, 50), *range(80, 90)]


async def test_the_first_offset_can_be_another(place: Place) -> None:
    place.add(*EVENTS)
    query = "SELECT * FROM events ORDER BY id LIMIT {pageSize} OFFSET {offset}"
    assert await ids(place.reader({"pageSize": 30, "offset": 45}, query=query)) == list(range(45, 100))


def waiting(place: Place, begin: float, roller: dict[str, Any], query: str = f"{WINDOW} ORDER BY id") -> Any:
    """A reader, its clock, and the time of day going with it from so many minutes behind the start."""
    clock = FakeClock()
    reader = place.reader(roller, query=query)
    reader._time = Time(lambda: at(begin) + timedelta(seconds=clock.now()), clock)
    return reader, clock


FOR_EVER = {"start": "2024-01-01T00:00:00", "period": "10.minutes", "deadline": "2.minutes.fromNow"}


async def test_for_ever_each_window_is_read_when_it_is_due(place: Place) -> None:
    place.add((1, 5), (2, 15), (3, 25))
    reader, clock = waiting(place, 13, FOR_EVER)
    await reader.open(None)
    seen: list[tuple[int, float]] = []
    for _ in range(3):
        records = await clock.run(reader.read(10))
        seen += [(record["id"], clock.now() / 60 + 13) for record in records]
    assert seen == [(1, 13), (2, 22), (3, 32)]
    assert max(clock.sleeps) <= 60
    await reader.close()


async def test_a_cancelled_wait_ends_at_once_and_loses_nothing(place: Place) -> None:
    place.add((1, 5), (2, 15))
    reader, clock = waiting(place, 13, FOR_EVER)
    await reader.open(None)
    await clock.run(reader.read(10))
    task = asyncio.ensure_future(reader.read(10))
    await clock.advance(30)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert [record["id"] for record in await clock.run(reader.read(10))] == [2]
    await reader.close()
    assert await reader.read(10) is None


async def test_a_deadline_to_come_is_waited_for(place: Place) -> None:
    place.add((1, 5), (2, 12), (3, 16))
    reader, clock = waiting(place, 11, {**FOR_EVER, "deadline": "2024-01-01T00:15:00"})
    assert await clock.run(ids(reader)) == [1, 2]
    assert clock.now() == 4 * 60


async def test_rows_committed_late_are_read_with_lag_and_given_once(place: Place) -> None:
    place.add((1, 5), (2, 9))
    reader, clock = waiting(place, 10, {**FOR_EVER, "deadline": "fromNow", "lag": "4.minutes"})
    await reader.open(None)
    assert [record["id"] for record in await clock.run(reader.read(10))] == [1, 2]
    place.add((3, 8), (4, 9), (5, 11))
    assert [record["id"] for record in await clock.run(reader.read(2))] == [3, 4]
    assert [record["id"] for record in await clock.run(reader.read(2))] == [5]
    assert reader.statistics()["records"] == 5
    position = reader.position
    await reader.close()
    again, clock = waiting(place, 30, {**FOR_EVER, "deadline": "now", "lag": "4.minutes"})
    assert await clock.run(ids(again, position=position)) == []


async def test_without_lag_a_row_committed_late_is_lost(place: Place) -> None:
    place.add((1, 5))
    reader, clock = waiting(place, 10, {**FOR_EVER, "deadline": "fromNow"})
    await reader.open(None)
    assert [record["id"] for record in await clock.run(reader.read(10))] == [1]
    place.add((3, 8), (5, 11))
    assert [record["id"] for record in await clock.run(reader.read(10))] == [5]
    await reader.close()


async def test_to_catch_up_nothing_is_read_twice(place: Place) -> None:
    place.add(*EVENTS)
    reader, clock = waiting(place, 600, {**FOR_EVER, "deadline": "now", "lag": "1.hours"})
    assert await clock.run(ids(reader)) == list(range(100))
    assert reader.statistics() == {"records": 100, "overlap": 0}


@pytest.mark.parametrize("lag", [0, "1.hours"])
async def test_after_a_failure_it_goes_on_where_it_was(place: Place, lag: Any) -> None:
    place.add(*EVENTS)
    reader, clock = waiting(place, 150, {**FOR_EVER, "deadline": "now", "lag": lag, "period": "1.hours"})
    await reader.open(None)
    found = [record["id"] for record in await clock.run(reader.read(50))]
    reader._reading.close()
    reader._fetched = None
    place.run("ALTER TABLE events RENAME TO hidden")
    with pytest.raises(ConnectorError, match="refused the query"):
        await clock.run(reader.read(10))
    place.run("ALTER TABLE hidden RENAME TO events")
    while (records := await clock.run(reader.read(7))) is not None:
        found += [record["id"] for record in records]
    await reader.close()
    assert found == list(range(100))


async def test_a_page_gives_its_connection_back(place: Place) -> None:
    place.add(*EVENTS)
    reader, clock = waiting(place, 15, FOR_EVER)
    await reader.open(None)
    assert len(await clock.run(reader.read(100))) == 7
    assert place.database.statistics()["in_use"] == 0
    await reader.close()


@pytest.mark.parametrize("position", [5, {"key": 1}, {"row": 3}, {"rows": 2}])
async def test_a_position_of_something_else_is_refused(place: Place, position: Any) -> None:
    with pytest.raises(ConnectorError, match="is no position of a roller"):
        await place.reader(HOUR, query=WINDOW).open(position)
    with pytest.raises(ConnectorError, match="is no position of a roller"):
        await place.reader({**HOUR, "key": "id"}, query=WINDOW).open(position)


async def test_a_key_that_could_lose_rows_is_refused(place: Place) -> None:
    place.add((1, 5), (1, 6))
    reader = place.reader({**HOUR, "key": "id"}, query=WINDOW)
    await reader.open(None)
    with pytest.raises(ConnectorError, match="The key id must be unique: a value stands twice"):
        await reader.read(5)
    await reader.close()


async def test_a_database_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "events.db").unlink()
    with pytest.raises(AddressUnreachable, match=r"events\.db is not there"):
        await place.reader(HOUR, query=WINDOW).open(None)
    place.close()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
async def test_labels_without_a_zone_are_those_of_the_rollers(place: Place, zone: str) -> None:
    """Around the moment when the clocks are set back, with windows that do not end there."""
    roller = {"start": "2024-10-26T22:07:00Z", "end": "2024-10-27T05:00:00Z", "period": "23.minutes", "zone": zone}
    kind = "TEXT" if place.kind == "sqlite" else "TIMESTAMP"
    place.run(f"CREATE TABLE local (id INTEGER, made {kind})")
    local = [at_local(n, zone) for n in range(60)]
    place.run("INSERT INTO local VALUES " + ", ".join(f"({n}, '{label}')" for n, label in enumerate(local)))
    query = "SELECT * FROM local WHERE made >= #{start} AND made < #{end} ORDER BY made, id"
    found = await ids(place.reader(roller, query=query))
    assert set(found) == set(range(60))
    assert zone != "UTC" or len(found) == 60


def at_local(n: int, zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    moment = datetime.fromisoformat("2024-10-26T22:10:00+00:00") + timedelta(minutes=6 * n)
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
