"""How far a stream has come, kept in the PostgreSQL database of its sink, by asyncpg.

Owns the statements; the rules are those of `sql_marks`. Refuses to begin or end a transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.connectors.sql_marks import lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.endpoints import Mark


class PostgresMarks:
    """The table of positions."""

    def __init__(self, target: str, quote: Callable[[str], str]) -> None:
        schema, _, name = target.rpartition(".")
        self._table = ".".join(quote(part) for part in (schema, name) if part)

    async def make(self, connection: Any) -> None:
        """Makes the table where it is missing, once if several ask for it at the same time."""
        async with connection.transaction():
            if await connection.fetchval("SELECT to_regclass($1::text)", self._table) is None:
                await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", self._table)
                await connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {self._table} (key text PRIMARY KEY, record text NOT NULL, "
                    "updated timestamptz NOT NULL DEFAULT now())"
                )

    async def kept(self, connection: Any, key: str) -> str | None:
        """The text kept under `key`."""
        return await connection.fetchval(f"SELECT record FROM {self._table} WHERE key = $1", key)

    async def put(self, connection: Any, mark: Mark) -> bool:
        """Keeps the mark; False where that very mark is there, so that its records are as well. Raises Conflict."""
        if await self._swapped(connection, mark):
            return True
        if await self.kept(connection, mark.key) == mark.text:
            return False
        raise lost(mark)

    async def _swapped(self, connection: Any, mark: Mark) -> bool:
        if mark.expect is None:
            adding = f"INSERT INTO {self._table} (key, record) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING"
            return await connection.execute(adding, mark.key, mark.text) == "INSERT 0 1"
        new = f"UPDATE {self._table} SET record = $2, updated = now() WHERE key = $1 AND record = $3"
        return await connection.execute(new, mark.key, mark.text, mark.expect) == "UPDATE 1"
