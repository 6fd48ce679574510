"""The catalogue tells of a table what a sink has to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from teleporter_lab.connectors.sql import SqlAddressOptions
from teleporter_lab.connectors.sql_database import Database
from teleporter_lab.connectors.sql_postgres import Connections
from teleporter_lab.connectors.sql_postgres_table import Table, TableColumn, look
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from tests.services.postgres import Postgres

pytestmark = pytest.mark.postgres


async def looked(postgres: Postgres, target: str) -> Table:
    database = Database(SqlAddressOptions(url=postgres.url))
    connections = Connections(database)
    try:
        async with connections.one("a look") as connection:
            return await look(connection, target, database)
    finally:
        await connections.close()


async def test_columns_with_their_types(postgres: Postgres) -> None:
    postgres.run(
        "CREATE SCHEMA s",
        "CREATE TYPE mood AS ENUM ('sad')",
        "CREATE DOMAIN short AS varchar(3) CHECK (VALUE <> 'x')",
        "CREATE DOMAIN shorter AS short",
        'CREATE TABLE s."Goods" (id bigint GENERATED ALWAYS AS IDENTITY, gone int, "na me" varchar(5), '
        "n numeric(4, 2), l text[], m mood, d shorter, c char(3))",
        'ALTER TABLE s."Goods" DROP COLUMN gone',
    )
    table = await looked(postgres, "s.Goods")
    assert (table.sql, table.schema, table.name, table.plain) == ('s."Goods"', "s", "Goods", True)
    assert list(table.columns.values()) == [
        TableColumn("id", "bigint", always=True),
        TableColumn("na me", "character varying", 5 + 4),
        TableColumn("n", "numeric", (4 << 16) + 2 + 4),
        TableColumn("l", "text[]"),
        TableColumn("m", "mood"),
        TableColumn("d", "character varying", 3 + 4),
        TableColumn("c", "bpchar", 3 + 4),
    ]
    assert not table.copied(["id"])
    assert table.copied(["na me"])


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE RULE other AS ON INSERT TO t DO INSTEAD NOTHING",
        "DROP TABLE t; CREATE VIEW t AS SELECT 1 AS id",
    ],
)
async def test_what_copy_would_write_otherwise_is_not_copied(postgres: Postgres, change: str) -> None:
    postgres.run("CREATE TABLE t (id int)")
    assert (await looked(postgres, "t")).copied(["id"])
    postgres.run(change)
    assert not (await looked(postgres, "t")).copied(["id"])


async def test_texts_that_may_be_equal_though_they_differ(postgres: Postgres) -> None:
    postgres.run(
        "CREATE COLLATION loose (locale = 'C')",  # real ones need ICU, which not every build has
        "UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'loose'",
        "CREATE TABLE t (a text COLLATE loose, b text)",
    )
    columns = (await looked(postgres, "t")).columns
    assert (columns["a"].folded, columns["b"].folded) == (True, False)


async def test_a_table_that_is_not_there_is_told(postgres: Postgres) -> None:
    with pytest.raises(ConnectorError, match=r"has no table s\.nosuch; make it, or let `setup` do so\.$"):
        await looked(postgres, "s.nosuch")
