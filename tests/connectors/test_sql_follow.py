"""Rows behind a key are read for ever, and with lag also those committed late: SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.errors import ConnectorError
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.source_contract import AsyncSourceContract, SourceCase
from tests.connectors.sql_places import Place, at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres

QUERY = "SELECT * FROM events"
FOLLOW = {"query": QUERY, "key": "id", "follow": True, "interval": "5.seconds", "pageSize": 3}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    postgres = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    place = Place(tmp_path, postgres)
    yield place
    place.close()


@pytest.fixture
def server(postgres: Postgres, tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path, postgres)
    yield place
    place.close()


class NothingNew(Exception):
    """A reader would wait."""


class Ended:
    """A reader that follows, and is at its end where it would wait."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._reader._clock = self
        self.open, self.close = reader.open, reader.close

    async def sleep(self, _: float) -> None:
        raise NothingNew

    async def read(self, n: int) -> list[dict[str, Any]] | None:
        try:
            records: list[dict[str, Any]] | None = await self._reader.read(n)
        except NothingNew:
            return None
        return records

    @property
    def position(self) -> Any:
        return self._reader.position


class TestFollow(AsyncSourceContract):
    @pytest.fixture
    def case(self, place: Place) -> SourceCase:
        place.add(*((n * 2, n) for n in range(60)))
        few = 4 if place.kind == "postgresql" else 50
        records = [place.record(n * 2, n) for n in range(60)]
        return SourceCase(lambda: Ended(place.reader(**{**FOLLOW, "pageSize": 7})), records, most_readers=few)


def following(place: Place, **options: Any) -> tuple[Any, FakeClock]:
    clock = FakeClock()
    reader = place.reader(**{**FOLLOW, **options})
    reader._clock = clock
    return reader, clock


async def given(clock: FakeClock, reader: Any, n: int = 100) -> list[Any]:
    """The ids that the next read gives, however long it waits."""
    return [record["id"] for record in await clock.run(reader.read(n))]


async def test_new_rows_are_looked_for_after_a_pause(place: Place) -> None:
    place.add((1, 0), (2, 0), (3, 0), (4, 0))
    reader, clock = following(place)
    await reader.open(None)
    assert [await given(clock, reader), await given(clock, reader)] == [[1, 2, 3], [4]]
    task = asyncio.ensure_future(reader.read(5))
    while not clock.timers:
        await asyncio.sleep(0.001)
    place.add((7, 0))
    await clock.advance(5)
    assert [record["id"] for record in await task] == [7]
    assert reader.position == {"key": 7}
    assert set(clock.sleeps) == {5.0}
    await reader.close()


async def test_a_cancelled_wait_ends_at_once(place: Place) -> None:
    place.add((1, 0))
    reader, clock = following(place)
    await reader.open({"key": 1})
    task = asyncio.ensure_future(reader.read(5))
    while not clock.timers:
        await asyncio.sleep(0.001)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    place.add((2, 0))
    assert await given(clock, reader) == [2]
    await reader.close()
    assert await reader.read(1) is None


async def test_with_lag_a_late_row_is_given_and_none_twice(place: Place) -> None:
    place.add((1, 0), (2, 0), (5, 0))
    reader, clock = following(place, lag=3)
    await reader.open(None)
    assert await given(clock, reader) == [1, 2, 5]
    place.add((3, 0), (4, 0), (6, 0))
    assert await given(clock, reader) == [3, 4]
    assert reader.position == {"key": 5}
    assert await given(clock, reader) == [6]
    assert reader.statistics() == {"records": 6, "overlap": 4}
    await reader.close()
    again, clock = following(place, lag=3)
    await again.open({"key": 6})
    assert await given(clock, again) == [3, 4, 5]
    await again.close()


async def test_lag_without_follow_reads_the_overlap_once(place: Place) -> None:
    place.add(*((n, 0) for n in range(1, 9)))
    reader = place.reader(query=QUERY, key="id", lag=2, pageSize=2)
    await reader.open({"key": 4})
    found: list[int] = []
    while (records := await reader.read(5)) is not None:
        found += [record["id"] for record in records]
    assert found == [2, 3, 4, 5, 6, 7, 8]
    assert await reader.read(1) is None
    await reader.close()


async def test_the_rollers_words_do_the_same(place: Place) -> None:
    place.add((1, 0), (2, 0))
    reader = place.reader({"key": "id", "deadline": "fromNow", "lag": 3, "pageSize": 1}, query=QUERY)
    clock = reader._clock = FakeClock()
    await reader.open(None)
    assert [await given(clock, reader), await given(clock, reader)] == [[1], [2]]
    place.add((0, 0), (3, 0))
    assert [await given(clock, reader), await given(clock, reader)] == [[0], [3]]
    await reader.close()


async def test_an_empty_table_is_waited_for(place: Place) -> None:
    for lag in (0, 5):
        reader, clock = following(place, lag=lag)
        await reader.open(None)
        task = asyncio.ensure_future(reader.read(5))
        while not clock.timers:
            await asyncio.sleep(0.001)
        assert reader.position is None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await reader.close()


async def test_a_failure_loses_nothing(place: Place) -> None:
    place.add(*((n, 0) for n in range(8)))
    for lag in (0, 4):
        reader, clock = following(place, lag=lag)
        await reader.open(None)
        found = await given(clock, reader)
        place.run("ALTER TABLE events RENAME TO hidden")
        with pytest.raises(ConnectorError, match="refused the query"):
            await clock.run(reader.read(5))
        place.run("ALTER TABLE hidden RENAME TO events")
        found += await given(clock, reader) + await given(clock, reader)
        assert found == list(range(8))
        await reader.close()


async def test_a_lag_that_does_not_fit_is_told(place: Place) -> None:
    place.add((1, 0))
    for key, lag, wrong in (
        ("id", "1.minutes", "lag is a time, but the key id holds numbers"),
        ("name", 5, "lag needs a key of numbers or date-times, but name holds str"),
    ):
        reader, _ = following(place, key=key, lag=lag)
        await reader.open(None)
        with pytest.raises(ConnectorError, match=wrong):
            await reader.read(5)
        await reader.close()


@pytest.mark.postgres
async def test_an_id_whose_transaction_commits_after_a_greater_one_is_read(server: Place) -> None:
    """What a serial column does: the number is taken when the row is inserted, and seen when it is committed."""
    import psycopg

    assert server.postgres is not None
    server.add((1, 0))
    with psycopg.connect(server.postgres.url) as slow:
        slow.execute("INSERT INTO events VALUES (2, '2024-01-01 00:02+00', 'slow')")
        server.add((3, 3))
        with_lag, clock = following(server, lag=10, pageSize=100)
        without, other = following(server)
        for reader, its in ((with_lag, clock), (without, other)):
            await reader.open(None)
            assert await given(its, reader) == [1, 3]
    server.add((4, 4))
    assert await given(clock, with_lag) == [2, 4]
    assert await given(other, without) == [4]  # 2 is lost, as the page on rollers says
    await with_lag.close()
    await without.close()


@pytest.mark.postgres
async def test_a_moment_and_an_id_are_one_key_and_the_lag_is_a_time(server: Place) -> None:
    import psycopg

    assert server.postgres is not None
    reader, clock = following(server, key=["made", "id"], lag="2.minutes", pageSize=100)
    await reader.open(None)
    server.add((5, 1), (4, 1))
    with psycopg.connect(server.postgres.url) as slow:
        slow.execute("INSERT INTO events VALUES (9, %s, 'slow')", [at(1.5)])
        server.add((1, 3))
        assert await given(clock, reader) == [4, 5, 1]
    server.add((2, 4))
    assert await given(clock, reader) == [9, 2]
    assert reader.position == {"key": [{"$datetime": at(4).isoformat()}, 2]}
    await reader.close()


@pytest.mark.postgres
async def test_a_moment_whose_transaction_commits_after_its_window_was_read_is_read(server: Place) -> None:
    import psycopg

    from tests.connectors.test_sql_rolled import FOR_EVER, WINDOW, waiting

    assert server.postgres is not None
    server.add((1, 5))
    rollers = [{**FOR_EVER, "deadline": "fromNow", "lag": lag} for lag in ("5.minutes", 0)]
    readers = [waiting(server, 10, roller, f"{WINDOW} ORDER BY made, id") for roller in rollers]
    with psycopg.connect(server.postgres.url) as slow:
        slow.execute("INSERT INTO events VALUES (2, %s, 'slow')", [at(8)])
        for reader, clock in readers:
            await reader.open(None)
            assert await given(clock, reader) == [1]
    server.add((3, 15))
    assert [await given(clock, reader) for reader, clock in readers] == [[2, 3], [3]]
    for reader, _ in readers:
        await reader.close()


@pytest.mark.postgres
async def test_a_lag_is_elapsed_time_where_the_clocks_of_the_session_are_set(
    tmp_path: Path, postgres: Postgres
) -> None:
    server = Place(tmp_path, type(postgres)(f"{postgres.url}?options=-c%20timezone%3DEurope/Berlin"))
    server.run("INSERT INTO events VALUES (1, '2024-03-31 01:05Z', ''), (2, '2024-03-31 01:06Z', '')")
    reader, clock = following(server, key="made", lag="10.minutes", pageSize=100)
    await reader.open(None)
    assert await given(clock, reader) == [1, 2]
    server.run("INSERT INTO events VALUES (3, '2024-03-31 01:05:30Z', ''), (4, '2024-03-31 01:07Z', '')")
    assert await given(clock, reader) == [3, 4]
    await reader.close()
    server.close()


async def test_a_reader_needs_no_thread_of_the_loop(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.add((1, 0))
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    end = threading.Event()
    busy = asyncio.create_task(asyncio.to_thread(end.wait))
    for roller in (None, {"pageSize": 5}):
        query = QUERY if roller is None else f"{QUERY} ORDER BY id LIMIT #{{pageSize}} OFFSET #{{offset}}"
        reader = place.reader(roller, query=query, **({"key": "id", "follow": True} if roller is None else {}))
        await reader.open(None)
        assert await reader.read(1) == [place.record(1, 0)]
        await reader.close()
    end.set()
    await busy
    place.close()
