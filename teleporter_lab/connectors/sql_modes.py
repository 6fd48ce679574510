"""What a sink is to write, seen against the table that is there.

Owns the choice of columns and of those that are overwritten. Refuses to connect and to build SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from teleporter_lab.connectors.columns import Columns
from teleporter_lab.connectors.sql_dialect import Shape
from teleporter_lab.errors import BadRecord, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Collection

    from teleporter_lab.connectors.sql import SqlSinkOptions


def configured(options: SqlSinkOptions) -> Columns | None:
    """The columns that the config names; None where the first record does."""
    wanted = options.keys if options.mode == "delete" else options.columns
    return Columns(wanted, options.table, exact=False) if wanted else None


def shaped(options: SqlSinkOptions, columns: Columns, known: Collection[str]) -> Shape:
    """What is done to a table that has the columns `known`. Raises ConnectorError where it cannot be done."""
    for name in (*columns.names, *(options.update or ())):
        if name not in known:
            raise ConnectorError(f"The table {options.table} has no column {name}; it has {', '.join(known)}.")
    for name in options.keys:
        if name not in columns.names:
            raise BadRecord(f"A record for {options.table} lacks the key {name}.", index=0)
    for name in options.update or ():
        if name not in columns.names:
            raise BadRecord(f"A record for {options.table} lacks {name}, which `update` names.", index=0)
    names = columns.names if options.update is None else options.update
    update = tuple(name for name in names if name not in options.keys)
    return Shape(options.mode, options.table, columns.names, tuple(options.keys), update)
