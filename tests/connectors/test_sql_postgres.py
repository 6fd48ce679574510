"""Connections by asyncpg are kept, replaced when they are lost, and closed; what goes wrong is one sentence."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.config.secret import Secret
from teleporter_lab.connectors.sql import SqlAddressOptions
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.connectors.sql_postgres import Connections
from teleporter_lab.errors import AddressUnreachable, BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.services.postgres import Postgres

pytestmark = pytest.mark.postgres

OTHERS = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
async def connections(postgres: Postgres) -> AsyncIterator[Connections]:
    made = Connections(Database(SqlAddressOptions(url=postgres.url)))
    yield made
    await made.close()


async def test_a_connection_is_used_by_one_at_a_time_and_kept(postgres: Postgres, connections: Connections) -> None:
    async with connections.one("a look") as first, connections.one("a look") as second:
        assert first is not second
        assert await second.fetchval("SHOW plan_cache_mode") == "force_custom_plan"
    async with connections.one("a look") as again:
        assert again in (first, second)
    await connections.close()
    await connections.close()
    assert postgres.rows(f"SELECT pid FROM {OTHERS}") == []


async def test_what_is_refused_is_told_and_the_connection_stays(connections: Connections) -> None:
    for asked, kind, said in (
        ("SELECT 'x'::int", BadRecord, 'invalid input syntax for type integer: "x"'),
        ("SELECT * FROM nosuch", ConnectorError, 'relation "nosuch" does not exist'),
    ):
        with pytest.raises(ConnectorError) as raised:
            async with connections.one("it") as connection:
                await connection.fetch(asked)
        assert type(raised.value) is kind
        assert raised.value.message.endswith(f"refused it: {said}.")
    async with connections.one("it") as again:
        assert again is connection


async def test_one_that_is_lost_is_told_and_another_is_opened(postgres: Postgres, connections: Connections) -> None:
    used: list[object] = []

    async def use() -> None:
        async with connections.one("the batch", batch=True) as connection:
            used.append(connection)
            postgres.run(f"SELECT pg_terminate_backend(pid) FROM {OTHERS}")
            await connection.fetch("SELECT 1")

    with pytest.raises(AddressUnreachable, match=r"went away during the batch, of which all or nothing is stored: "):
        await use()
    async with connections.one("it") as another:
        assert another not in used


async def test_one_that_was_lost_unused_is_not_given(postgres: Postgres, connections: Connections) -> None:
    async with connections.one("it") as connection:
        pass
    closed = asyncio.Event()
    connection.add_termination_listener(lambda _: closed.set())
    postgres.run(f"SELECT pg_terminate_backend(pid) FROM {OTHERS}")
    await closed.wait()
    async with connections.one("it") as another:
        assert await another.fetchval("SELECT 1") == 1


async def test_one_that_is_given_back_after_the_end_is_closed(postgres: Postgres, connections: Connections) -> None:
    async with connections.one("it") as connection:
        await connections.close()
    assert connection.is_closed()


async def test_a_cancelled_use_gives_the_connection_back(connections: Connections) -> None:
    started = asyncio.Event()

    async def use() -> None:
        async with connections.one("it") as connection:
            started.set()
            await connection.fetch("SELECT pg_sleep(100)")

    using = asyncio.create_task(use())
    await started.wait()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    async with connections.one("it") as again:
        assert await again.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("postgres@", "nobody:pa55@"), 'role "nobody" does not exist'),
        (("/test", "/nosuch"), "does not exist"),
        (("127.0.0.1:", "127.0.0.1:0"), ""),
    ],
)
async def test_a_database_that_cannot_be_had_is_unreachable(
    postgres: Postgres, change: tuple[str, str], said: str
) -> None:
    database = Database(SqlAddressOptions(url=postgres.url.replace(*change)))
    if said == "":
        database = Database(SqlAddressOptions(url="postgresql://postgres@127.0.0.1:1/db", password=Secret("pa55")))
    with pytest.raises(AddressUnreachable, match=f"does not answer: .*{said}") as raised:
        async with Connections(database).one("it"):
            pass
    assert "pa55" not in raised.value.message


async def test_parameters_of_the_url_are_heeded(postgres: Postgres) -> None:
    url = f"{postgres.url}?application_name=mine&connect_timeout=7&options=-c%20search_path%3Dpg_catalog"
    database = Database(SqlAddressOptions(url=url))
    assert database.asyncpg
    connections = Connections(database)
    async with connections.one("it") as connection:
        assert await connection.fetchval("SHOW application_name") == "mine"
        assert await connection.fetchval("SHOW search_path") == "pg_catalog"
    await connections.close()


async def test_one_with_a_transaction_that_was_left_open_is_given_to_nobody(
    postgres: Postgres, connections: Connections
) -> None:
    """What it writes would never be stored."""
    async with connections.one("a setup statement") as first:
        await first.execute("BEGIN")
    async with connections.one("a batch") as second:
        await second.execute("CREATE TABLE made (a INTEGER)")
    assert second is not first
    assert postgres.there("made")
