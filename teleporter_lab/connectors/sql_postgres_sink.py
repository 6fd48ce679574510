"""Writing records to PostgreSQL by asyncpg, a batch a transaction.

Owns the order of things: set up, look at the table, write, also several batches at a time. Refuses to build SQL and to
convert values.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.columns import Columns
from teleporter_lab.connectors.record_batches import cells_of, is_batch, of_batch, selected
from teleporter_lab.connectors.sql_modes import configured, shaped
from teleporter_lab.connectors.sql_postgres import Connections, driver
from teleporter_lab.connectors.sql_postgres_batch import Loader
from teleporter_lab.connectors.sql_postgres_marks import PostgresMarks
from teleporter_lab.connectors.sql_postgres_table import look
from teleporter_lab.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.sql import SqlSinkOptions
    from teleporter_lab.connectors.sql_database import Database
    from teleporter_lab.connectors.sql_dialect import Shape
    from teleporter_lab.connectors.sql_keys import Cells
    from teleporter_lab.connectors.sql_postgres_batch import Load
    from teleporter_lab.engine.endpoints import Mark

TRIES = 5
"""How often a batch is given that the database ended to let another transaction go on."""

_REFUSED = re.compile(r"query argument \$(\d+).*\((?:invalid array element at index \d+: )?(.*)\)$", re.DOTALL)
"""What asyncpg says of a value that has not the form of its column, before anything is sent."""


class PostgresSink:
    """Writes a batch in one transaction; if it fails nothing is stored. Of the same key twice the last one wins.

    Takes lists of records and batches of columns.
    """

    columnar = True
    blocking = False

    def __init__(self, options: SqlSinkOptions, database: Database) -> None:
        self._options = options
        self._database = database
        self._quote = database.quote
        self._connections = Connections(database)
        self._marks = PostgresMarks(options.position_table, self._quote)
        self._loader: Loader | None = None
        self._plan: tuple[Columns, Shape] | None = None
        self._records = 0
        self.parallel: int = options.connections or (2 if options.keys and not options.exactly_once else 1)
        """How many batches may be written at the same time."""

    async def open(self) -> None:
        """Runs `setup`. Raises ConnectorError when the table is not there or has not the configured columns."""
        options = self._options
        for sql in options.setup:
            async with self._connections.one(f"the setup statement {sql[:60]!r}") as connection:
                await connection.execute(sql)
        async with self._connections.one(f"a look at {options.table}") as connection:
            table = await look(connection, options.table, self._database)
        if options.exactly_once:
            async with self._connections.one(f"the table {options.position_table} for exactlyOnce") as connection:
                await self._marks.make(connection)
        self._loader = Loader(table, self._quote)
        columns = configured(options)
        if columns is not None:
            self._plan = columns, shaped(options, columns, table.columns)

    async def write(self, records: Sequence[Any]) -> None:
        """Stores the batch, or nothing of it. Raises BadRecord for a value that the table does not take."""
        await self._write(records, None)

    async def marked(self, key: str) -> str | None:
        """The position kept under `key`."""
        async with self._connections.one(f"a look at {self._options.position_table}") as connection:
            return await self._marks.kept(connection, key)

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        """Stores batch and position in one transaction. Raises Conflict when another run has gone on."""
        await self._write(records, mark)

    def keys_of(self, records: Sequence[Any]) -> frozenset[Any] | None:
        """The keys of the rows that a batch writes; None where they are not to be told apart for sure."""
        options, loader = self._options, self._loader
        if not options.keys or loader is None:
            return frozenset() if options.mode == "insert" else None
        columns = Columns(options.keys, options.table, exact=False)
        try:
            keys = loader.keys(options.keys, _cells(columns, records, options.table))
            return None if keys is None else frozenset(keys[0] if len(keys) == 1 else zip(*keys, strict=True))
        except (BadRecord, TypeError):
            return None

    async def close(self) -> None:
        """Closes the connections of this sink; a second call does nothing."""
        await self._connections.close()

    def statistics(self) -> dict[str, int]:
        """Records written since it was made."""
        return {"records": self._records}

    async def _write(self, records: Sequence[Any], mark: Mark | None) -> None:
        load = self._load(records) if len(records) else None
        if load is None and mark is None:
            return
        async with self._connections.one(f"the batch for {self._options.table}", batch=True) as connection:
            await self._persist(connection, load, mark)
        self._records += len(records)

    async def _persist(self, connection: Any, load: Load | None, mark: Mark | None) -> None:
        """Stores a batch, in another way or again where the first try shows that this helps."""
        asyncpg, tries = driver(), TRIES
        while True:
            try:
                return await self._transact(connection, load, mark)
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
                tries -= 1
                if not tries:
                    raise
            except asyncpg.CardinalityViolationError:
                if load is None or load.alone:
                    raise
                load = replace(load, alone=True)
            except (TypeError, ValueError, OverflowError):
                if load is None or not load.copied:
                    raise
                load = replace(load, copied=False)  # which says of which column a value is wrong

    async def _transact(self, connection: Any, load: Load | None, mark: Mark | None) -> None:
        if mark is None:
            return await self._send(connection, load)
        async with connection.transaction():
            if await self._marks.put(connection, mark):
                await self._send(connection, load)

    async def _send(self, connection: Any, load: Load | None) -> None:
        if load is None:
            return
        loader = self._opened
        if load.copied:
            names, schema = load.shape.columns, loader.table.schema
            await connection.copy_records_to_table(
                loader.table.name, schema_name=schema, columns=names, records=load.rows
            )
            return
        try:
            if load.alone:
                await connection.executemany(loader.text(load), load.rows)
            else:
                await connection.execute(loader.text(load), *load.cells)
        except driver().DataError as error:
            found = _REFUSED.search(str(error))
            if found is None:
                raise
            raise loader.misfit(load, int(found[1]) - 1, found[2]) from error

    @property
    def _opened(self) -> Loader:
        if self._loader is None:
            raise AssertionError("a sink is opened before it is written to")
        return self._loader

    def _load(self, records: Sequence[Any]) -> Load:
        options, loader, plan = self._options, self._opened, self._plan
        if plan is None:
            columns = of_batch(records, options.table) if is_batch(records) else Columns.of(records[0], options.table)
            plan = columns, shaped(options, columns, loader.table.columns)
        load = loader.load(plan[1], _cells(plan[0], records, options.table))
        self._plan = plan
        return load


def _cells(columns: Columns, records: Any, target: str) -> Cells:
    return cells_of(selected(records, columns, target)) if is_batch(records) else columns.cells(records)
