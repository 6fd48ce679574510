"""A query with the variables of a roller in it.

Owns that query and roller fit together, and the statement for one place of the walk. Nothing is put into the text but
the roller's own moments and numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, text
from sqlalchemy.types import NullType

from teleporter_lab.connectors.rollers.source_roller import pages_of
from teleporter_lab.connectors.rollers.template import (
    PAGES,
    TIMES,
    AsText,
    Bound,
    Literal,
    Part,
    sql_parts,
    sql_text,
    variables,
)
from teleporter_lab.connectors.sql_keyset import stripped
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from sqlalchemy import Executable

    from teleporter_lab.connectors.rollers.source_roller import SourceRoller
    from teleporter_lab.connectors.rollers.walk import Place

LABELLED = frozenset({"sqlite", "postgresql"})
"""Databases to which a moment is bound as text: SQLite keeps it as such, PostgreSQL reads it as the type of the column
beside it, with its offset or without."""


@dataclass(frozen=True, slots=True)
class Asked:
    """SQL with its colons escaped, and its parameters, which have names of their own."""

    sql: str
    parameters: dict[str, Any]

    def statement(self) -> Executable:
        """It as a statement of its own."""
        return text(self.sql).bindparams(*self.typed())

    def typed(self) -> list[Any]:
        """The parameters for a statement in which the SQL stands; the database finds their types by itself."""
        return [bindparam(name, value, type_=NullType()) for name, value in self.parameters.items()]


class RolledQuery:
    """Raises ConnectorError, when it is made, where the query does not do what the roller asks for."""

    def __init__(self, query: str, roller: SourceRoller, backend: str) -> None:
        try:
            self._parts = sql_parts(stripped(query))
        except ValueError as error:
            raise ConnectorError(f"{error}.") from error
        self._form = roller.form
        self._size = roller.page_size
        self._backend = backend
        self.names = variables(self._parts)
        self.pages = pages_of(roller) if self.names & PAGES else None
        _check_times(self.names, roller)
        _check_pages(self.names, roller)

    def at(self, place: Place) -> Asked:
        """What to ask at a place."""
        values = self._values(place)
        parameters: dict[str, Any] = {}
        sql = "".join(_sql_of(part, values, parameters) for part in self._parts)
        return Asked(sql, parameters)

    def _values(self, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {"page": place.page, "pageSize": self._size}
        if self.pages is not None:
            values["offset"] = self.pages.offset_of(place.page)
        if place.window is not None:
            offset = self._backend == "postgresql"
            values["start"], values["end"] = self._form.both(place.window.start, place.window.end, with_offset=offset)
            if not self._form.pattern and self._backend not in LABELLED:
                values |= {f"#{name}": datetime.fromisoformat(values[name]) for name in TIMES}
        return values


def _sql_of(part: Part, values: dict[str, Any], parameters: dict[str, Any]) -> str:
    match part:
        case Literal(sql):
            return sql.replace(":", "\\:")
        case AsText():
            return sql_text(part, values).replace(":", "\\:")
        case Bound(name):
            parameters[f"roller_{name}"] = values.get(f"#{name}", values[name])
            return f" :roller_{name} "


def _check_times(names: set[str], roller: SourceRoller) -> None:
    if roller.start is None and names & TIMES:
        raise ConnectorError(f"The query asks for {{{min(names & TIMES)}}}, which needs a start in the roller.")
    missing = TIMES - names
    if roller.start is not None and missing:
        raise ConnectorError(
            f"The roller walks over time, but the query does not ask for {{{max(missing)}}}: it needs a condition such "
            "as changed >= #{start} AND changed < #{end}."
        )


def _check_pages(names: set[str], roller: SourceRoller) -> None:
    asked = names & (PAGES | {"pageSize"})
    if roller.key is not None and asked:
        raise ConnectorError(f"Pages are read by key: leave {{{min(asked)}}} out of the query.")
    if asked and roller.page_size is None:
        raise ConnectorError(f"The query asks for {{{min(asked)}}}, which needs a pageSize in the roller.")
    if asked == {"pageSize"}:
        raise ConnectorError("The query asks for {pageSize} without {offset} or {page}: rows behind it would be lost.")
    if roller.start is None and roller.key is None and not names & PAGES:
        raise ConnectorError(
            "The roller has pages, but the query asks for neither {offset} nor {page}, nor is there a key."
        )
