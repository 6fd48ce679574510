"""Writing records to a table, a batch a transaction.

Owns the order of things: set up, look at the table once, write. Refuses to build SQL; `sql_dialect` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect

from teleporter_lab.connectors.columns import Columns, Row
from teleporter_lab.connectors.record_batches import cells_of, is_batch, of_batch, selected
from teleporter_lab.connectors.sql_cursor import AS_IT_IS
from teleporter_lab.connectors.sql_dialect import RowByRow, Shape, Statement, bindable, statement
from teleporter_lab.connectors.sql_marks import Marks
from teleporter_lab.connectors.sql_modes import configured, shaped
from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from teleporter_lab.connectors.record_batches import Batch
    from teleporter_lab.connectors.sql import SqlSinkOptions
    from teleporter_lab.connectors.sql_database import Database
    from teleporter_lab.connectors.sql_ingest import Ingest
    from teleporter_lab.engine.endpoints import Mark


@dataclass(frozen=True)
class Plan:
    """Which fields are written, and by which statement."""

    columns: Columns
    shape: Shape
    statement: Statement | RowByRow


class SqlSink:
    """Writes a batch in one transaction; if it fails nothing is stored. Of the same key twice the last one wins.

    Takes lists of records and batches of columns. PostgreSQL gets columns as they are, others row by row.
    """

    columnar = True
    blocking = True

    def __init__(self, options: SqlSinkOptions, database: Database) -> None:
        self._options = options
        self._database = database
        self._marks = Marks(database, options.position_table)
        self._known: dict[str, None] = {}
        self._plan: Plan | None = None
        self._ingest: Ingest | None = None
        self._records = 0

    def open(self) -> None:
        """Runs `setup`. Raises ConnectorError when the table is not there or has not the configured columns."""
        options = self._options
        if (options.connections or 1) > 1:
            raise ConnectorError(f"The database {self._database} is written by one connection: no `connections`.")
        for sql in options.setup:
            with self._database.begin(f"the setup statement {sql[:60]!r}") as connection:
                connection.exec_driver_sql(sql, execution_options=AS_IT_IS)
        self._known = self._look()
        if options.exactly_once:
            self._marks.must_be_able(options.table)
            self._marks.make()
        columns = configured(options)
        if columns is not None:
            self._plan = self._planned(columns)

    def write(self, records: Sequence[Any]) -> None:
        """Stores the batch, or nothing of it. Raises BadRecord for a value that the table does not take."""
        self._write(records, None)

    def marked(self, key: str) -> str | None:
        """The position kept under `key`."""
        with self._database.connect(f"a look at {self._options.position_table}") as connection:
            return self._marks.kept(connection, key)

    def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        """Stores batch and position in one transaction. Raises Conflict when another run has gone on."""
        self._write(records, mark)

    def close(self) -> None:
        """Lets go of the connection that columns took; the others are the address's."""
        if self._ingest is not None:
            self._ingest.close()
            self._ingest = None

    def statistics(self) -> dict[str, int]:
        """Records written since it was made."""
        return {"records": self._records}

    def _write(self, records: Sequence[Any], mark: Mark | None) -> None:
        if not len(records):
            return self._store(None, [], mark)
        table = self._options.table
        if is_batch(records):
            plan = self._plan or self._planned(of_batch(records, table))
            self._store_batch(plan, selected(records, plan.columns, table), mark)
        else:
            plan = self._plan or self._planned(Columns.of(records[0], table))
            self._store(plan, plan.columns.rows(records), mark)
        self._plan = plan
        self._records += len(records)

    def _store(self, plan: Plan | None, rows: list[Row], mark: Mark | None) -> None:
        if plan is None and mark is None:
            return
        table = self._options.table
        if plan is not None:
            rows = bindable(self._database.engine.dialect.name, rows, plan.columns.names, table)
        try:
            with self._database.begin(f"the batch for {table}, of which nothing is stored") as connection:
                if (mark is None or self._marks.put(connection, mark)) and plan is not None:
                    _execute(connection, plan.statement, rows)
        except (OverflowError, ValueError) as error:
            raise BadRecord(f"A record of the batch for {table} has a value that cannot be kept: {error}.") from error

    def _store_batch(self, plan: Plan, batch: Batch, mark: Mark | None) -> None:
        ingested = plan.shape.mode != "updateElseInsert" and self._options.update is None and mark is None
        if self._database.backend != "postgresql" or not ingested:
            return self._store(plan, list(zip(*cells_of(batch), strict=True)), mark)
        if self._ingest is None:
            from teleporter_lab.connectors.sql_ingest import Ingest

            self._ingest = Ingest(self._options, self._database)
        self._ingest.write(batch)

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
        shape = shaped(self._options, columns, self._known)
        return Plan(columns, shape, statement(self._database.engine.dialect, shape))


def _execute(connection: Connection, sql: Statement | RowByRow, rows: list[Row]) -> None:
    if isinstance(sql, Statement):
        connection.exec_driver_sql(sql.text, sql.parameters(rows))
        return
    for old, new in zip(sql.update.parameters(rows), sql.insert.parameters(rows), strict=True):
        if not connection.exec_driver_sql(sql.update.text, old).rowcount:
            connection.exec_driver_sql(sql.insert.text, new)
