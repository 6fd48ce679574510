"""What PostgreSQL says of the table that a sink writes to.

Owns the one question to the catalogue. Refuses to write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.sql_database import Database

_COLUMNS = """
WITH RECURSIVE col AS (
    SELECT a.attnum, a.attname::text AS name, a.atttypid AS type, a.atttypmod AS modifier, a.attcollation AS sorting,
        to_jsonb(a) ->> 'attidentity' = 'a' AS always, a.attrelid
    FROM pg_attribute a
    WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT attnum, name, t.typbasetype, t.typtypmod, sorting, always, attrelid
    FROM col JOIN pg_type t ON t.oid = col.type
    WHERE t.typtype = 'd'
)
SELECT col.name, format_type(col.type, -1) AS kind, col.modifier, coalesce(col.always, false) AS always,
    coalesce(to_jsonb(o) ->> 'collisdeterministic' = 'false', false) AS folded,
    c.relkind IN ('r', 'p') AND NOT c.relrowsecurity AND NOT c.relhasrules AS plain
FROM col
    JOIN pg_type t ON t.oid = col.type AND t.typtype <> 'd'
    JOIN pg_class c ON c.oid = col.attrelid
    LEFT JOIN pg_collation o ON o.oid = col.sorting
ORDER BY col.attnum"""
"""The type of a domain is that below it; the table checks the rest. What older servers have not is read as JSON."""


@dataclass(frozen=True)
class TableColumn:
    """A column: its type without a length or precision, and that as the catalogue has it, below 0 for none."""

    name: str
    kind: str
    modifier: int = -1
    always: bool = False
    """Its values are always made by the database."""
    folded: bool = False
    """Texts that differ can be equal in it."""


@dataclass(frozen=True)
class Table:
    """A table: its name in SQL, its columns, and whether COPY may write it as INSERT would."""

    sql: str
    schema: str | None
    name: str
    columns: dict[str, TableColumn]
    plain: bool = True

    def copied(self, names: Sequence[str]) -> bool:
        """Whether a COPY of these columns stores what an INSERT would."""
        return self.plain and not any(self.columns[name].always for name in names)


async def look(connection: Any, target: str, database: Database) -> Table:
    """The table `target`, or `schema.table`. Raises ConnectorError when it is not there."""
    schema, _, name = target.rpartition(".")
    sql = ".".join(database.quote(part) for part in (schema, name) if part)
    rows = await connection.fetch(_COLUMNS, sql)
    if not rows:
        raise ConnectorError(f"The database {database} has no table {target}; make it, or let `setup` do so.")
    columns = {
        row["name"]: TableColumn(row["name"], row["kind"], row["modifier"], row["always"], row["folded"])
        for row in rows
    }
    return Table(sql, schema or None, name, columns, rows[0]["plain"])
