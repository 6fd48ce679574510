"""The key of a config: a table and names, written as a path. Owns its grammar; refuses text that is no key.

    /namespace/:ns            (also written /ns/:ns)
    /broker/:ns/:broker       /instance/:ns/:instance    /group/:ns/:group
    /address/:ns/:address     /variable/:ns/:variable    /task/:ns/:task
    /partition/:ns/:task/:partition                      /stream/:ns/:task/:stream
    /source/:ns/:task/:stream/:source                    /sink/:ns/:task/:stream/:sink

A name is made of letters, digits, `_`, `.` and `-`; `.` and `..` are none. A key has at most 512 characters.
Keys sort by table, then name by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from teleporter_lab.config.quote import describe, quote
from teleporter_lab.errors import InvalidKey, UnknownTable

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LENGTH: Final = 512
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_NAMESPACE_ALIAS = "ns"


class Table(StrEnum):
    """The eleven tables of the config tree."""

    NAMESPACE = "namespace"
    BROKER = "broker"
    INSTANCE = "instance"
    GROUP = "group"
    TASK = "task"
    PARTITION = "partition"
    STREAM = "stream"
    SOURCE = "source"
    SINK = "sink"
    ADDRESS = "address"
    VARIABLE = "variable"

    @property
    def parent(self) -> Table | None:
        """The table whose keys this table's keys lie under; None for a namespace."""
        return _PARENTS.get(self)

    @property
    def depth(self) -> int:
        """How many names a key of this table has."""
        return 1 if self.parent is None else self.parent.depth + 1

    @property
    def form(self) -> str:
        """The form of this table's keys, such as `/stream/:ns/:task/:stream`."""
        names: list[str] = []
        table: Table | None = self
        while table is not None:
            names.append(_NAMESPACE_ALIAS if table is Table.NAMESPACE else table.value)
            table = table.parent
        return "/".join(["", self.value, *(f":{name}" for name in reversed(names))])


_PARENTS: Mapping[Table, Table] = {
    Table.BROKER: Table.NAMESPACE,
    Table.INSTANCE: Table.NAMESPACE,
    Table.GROUP: Table.NAMESPACE,
    Table.TASK: Table.NAMESPACE,
    Table.ADDRESS: Table.NAMESPACE,
    Table.VARIABLE: Table.NAMESPACE,
    Table.PARTITION: Table.TASK,
    Table.STREAM: Table.TASK,
    Table.SOURCE: Table.STREAM,
    Table.SINK: Table.STREAM,
}


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One place in the config tree. Making one that breaks the grammar raises InvalidKey."""

    table: Table
    segments: tuple[str, ...]

    def __post_init__(self) -> None:
        for segment in self.segments:
            _check_name(segment)
        if len(self.segments) != self.table.depth:
            found = len(self.segments)
            raise InvalidKey(
                f"A {self.table} key has the form {self.table.form}; "
                f"{quote(str(self))} has {found} {'name' if found == 1 else 'names'} instead of {self.table.depth}."
            )
        if len(str(self)) > MAX_LENGTH:
            raise InvalidKey(f"A key has at most {MAX_LENGTH} characters; {quote(str(self))} has {len(str(self))}.")

    @classmethod
    def parse(cls, text: object) -> Key:
        """The key that `text` writes. Raises InvalidKey, or UnknownTable where the first name is no table."""
        if not isinstance(text, str):
            raise InvalidKey(f"A key is text such as /stream/ns/task/name, but this is {describe(text)}.")
        if not text.startswith("/"):
            raise InvalidKey(f"A key begins with '/', such as /stream/ns/task/name; {quote(text)} does not.")
        if len(text) > MAX_LENGTH:
            raise InvalidKey(f"A key has at most {MAX_LENGTH} characters; {quote(text)} has {len(text)}.")
        table, *segments = text[1:].split("/")
        return cls(_table(table), tuple(segments))

    def __str__(self) -> str:
        return "/".join(("", self.table.value, *self.segments))

    @property
    def name(self) -> str:
        """The last name."""
        return self.segments[-1]

    @property
    def ns(self) -> str:
        """The namespace's name."""
        return self.segments[0]

    @property
    def parent(self) -> Key | None:
        """The key this one lies under; None for a namespace."""
        above = self.table.parent
        return None if above is None else Key(above, self.segments[: above.depth])

    @property
    def task(self) -> Key:
        """The task's key; raises InvalidKey where there is none."""
        return self._above(Table.TASK)

    @property
    def stream(self) -> Key:
        """The stream's key; raises InvalidKey where there is none."""
        return self._above(Table.STREAM)

    def child(self, table: Table, name: str) -> Key:
        """The key of `name` in `table` right under this one; raises InvalidKey where `table` lies elsewhere."""
        if table.parent is not self.table:
            raise InvalidKey(f"A {table} key has the form {table.form}; it does not lie right under {self}.")
        return Key(table, (*self.segments, name))

    def _above(self, table: Table) -> Key:
        key: Key | None = self
        while key is not None and key.table is not table:
            key = key.parent
        if key is None:
            raise InvalidKey(f"{self} lies under no {table}.")
        return key


def _table(name: str) -> Table:
    if name == _NAMESPACE_ALIAS:
        return Table.NAMESPACE
    if name in _TABLES:
        return Table(name)
    near = get_close_matches(name.lower(), _TABLES, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"the tables are {', '.join(_TABLES)}."
    raise UnknownTable(f"A key begins with the name of a table, and {quote(name)} is none; {hint}")


_TABLES: Final = tuple(table.value for table in Table)


def _check_name(name: str) -> None:
    if not name:
        raise InvalidKey("A key has a name between any two '/' and does not end with '/'; here a name is empty.")
    if _NAME.fullmatch(name) is None:
        raise InvalidKey(f"A name in a key is made of letters, digits, '_', '.' and '-'; {quote(name)} is not.")
    if name in (".", ".."):
        raise InvalidKey(f"{quote(name)} is no name in a key; use one with a letter or a digit.")
