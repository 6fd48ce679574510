"""Writing records to a table, a batch a transaction.

Owns the order of things: set up, look at the table once, write. Refuses to build SQL; `sql_dialect` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect

from teleporter_lab.connectors.columns import Columns, Row
from teleporter_lab.connectors.record_batches import cells_of, is_batch, of_batch, selected
from teleporter_lab.connectors.sql_dialect import Statement, bindable, statement
from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.record_batches import Batch
    from teleporter_lab.connectors.sql import SqlSinkOptions
    from teleporter_lab.connectors.sql_database import Database
    from teleporter_lab.connectors.sql_ingest import Ingest


@dataclass(frozen=True)
class Plan:
    """Which fields are written, and by which statement."""

    columns: Columns
    statement: Statement


class SqlSink:
    """Writes a batch in one transaction; if it fails nothing is stored. Of the same key twice the last one wins.

    Takes lists of records and batches of columns. PostgreSQL gets columns as they are, others row by row.
    """

    columnar = True

    def __init__(self, options: SqlSinkOptions, database: Database) -> None:
        self._options = options
        self._database = database
        self._known: dict[str, None] = {}
        self._plan: Plan | None = None
        self._ingest: Ingest | None = None
        self._records = 0

    def open(self) -> None:
        """Runs `setup`. Raises ConnectorError when the table is not there or has not the configured columns."""
        options = self._options
        for sql in options.setup:
            with self._database.begin(f"the setup statement {sql[:60]!r}") as connection:
                connection.exec_driver_sql(sql)
        self._known = self._look()
        wanted = options.keys if options.mode == "delete" else options.columns
        if wanted:
            self._plan = self._planned(Columns(wanted, options.table, exact=False))

    def write(self, records: Sequence[Any]) -> None:
        if not len(records):
            return
        table = self._options.table
        if is_batch(records):
            plan = self._plan or self._planned(of_batch(records, table))
            self._store_batch(plan, selected(records, plan.columns, table))
        else:
            plan = self._plan or self._planned(Columns.of(records[0], table))
            self._store(plan, plan.columns.rows(records))
        self._plan = plan
        self._records += len(records)

    def close(self) -> None:
        """Lets go of the connection that columns took; the others are the address's."""
        if self._ingest is not None:
            self._ingest.close()
            self._ingest = None

    def _store(self, plan: Plan, rows: list[Row]) -> None:
        table = self._options.table
        rows = bindable(self._database.engine.dialect.name, rows, plan.columns.names, table)
        try:
            with self._database.begin(f"the batch for {table}, of which nothing is stored") as connection:
                connection.exec_driver_sql(plan.statement.text, plan.statement.parameters(rows))
        except (OverflowError, ValueError) as error:
            raise BadRecord(f"A record of the batch for {table} has a value that cannot be kept: {error}.") from error

    def _store_batch(self, plan: Plan, batch: Batch) -> None:
        if self._database.backend != "postgresql":
            return self._store(plan, list(zip(*cells_of(batch), strict=True)))
        if self._ingest is None:
            from teleporter_lab.connectors.sql_ingest import Ingest

            self._ingest = Ingest(self._options, self._database)
        self._ingest.write(batch)

    def statistics(self) -> dict[str, int]:
        """Records written since it was made."""
        return {"records": self._records}

    def _look(self) -> dict[str, None]:
        """The columns of the table."""
        schema, _, name = self._options.table.rpartition(".")
        with self._database.connect(f"a look at {self._options.table}") as connection:
            inspector = inspect(connection)
            if not inspector.has_table(name, schema or None):
                raise ConnectorError(
                    f"The database {self._database} has no table {self._options.table}; make it, or let `setup` do so."
                )
            return {each["name"]: None for each in inspector.get_columns(name, schema or None)}

    def _planned(self, columns: Columns) -> Plan:
        options = self._options
        for name in columns.names:
            if name not in self._known:
                known = ", ".join(self._known)
                raise ConnectorError(f"The table {options.table} has no column {name}; it has {known}.")
        for key in options.keys:
            if key not in columns.names:
                raise BadRecord(f"A record for {options.table} lacks the key {key}.")
        dialect = self._database.engine.dialect
        return Plan(columns, statement(dialect, options.mode, options.table, columns.names, options.keys))
