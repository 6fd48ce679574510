"""What the files of a rolled sink are called: a path with placeholders.

Owns the placeholders. Refuses anything of a record in a name, and names outside the folder that the path begins with.
"""

from __future__ import annotations

import os
import re
import socket
import uuid
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

DATE: Final = "%Y%m%dT%H%M%S"
"""How `{date}` and `{end}` are written where nothing else is said: ISO 8601, basic form."""

LONGEST: Final = 200
"""Bytes of one part of a path; most file systems allow 255, and the hidden files beside it need some."""

_DATES: Final = frozenset({"date", "end"})
_NUMBERS: Final = frozenset({"index", "records"})
_TEXTS: Final = frozenset({"uuid", "host"})
_TELLING: Final = frozenset({"date", "end", "index", "uuid"})
_KNOWN: Final = "{date:%Y-%m-%d}, {end:%H%M}, {index:06}, {records}, {uuid} or {host}"


@dataclass(frozen=True)
class Naming:
    """What is known of a file when it gets its name; both moments in the time zone they are written in."""

    date: datetime
    """When its time began."""
    end: datetime
    """When it ended."""
    records: int = 0


class NamePattern:
    """A path with placeholders.

    `folder` is the part before the first placeholder, up to its last `/`: it must be there; folders below are made.
    Source of the placeholders: those of Flume's HDFS sink, Logstash's file output and Log4j's `filePattern`.
    """

    def __init__(self, text: str) -> None:
        """Raises ValueError, one sentence, where it is no such path."""
        self.text = text
        try:
            pieces = [(literal, field, spec or "", turn) for literal, field, spec, turn in Formatter().parse(text)]
        except ValueError as error:
            raise ValueError(f"The path {text} is no pattern: {error}; write {{{{ for a bare {{.") from error
        fields = [(field, spec, turn) for _, field, spec, turn in pieces if field is not None]
        if not _TELLING & {field for field, _, _ in fields}:
            raise ValueError(
                f"The path {text} names one file; with a roller there are many, so put one of {{index}}, "
                "{date:%Y-%m-%d}, {end} or {uuid} into it."
            )
        for field, spec, turn in fields:
            _check(text, field, spec, bool(turn))
        head, slash, begin = pieces[0][0].rpartition("/")
        self.folder = Path(head + slash or ".")
        self._pieces = [(begin, *pieces[0][1:3]), *(piece[:3] for piece in pieces[1:])]
        self._counted = any(field == "index" for field, _, _ in fields)
        self._host = re.sub(r"[^\w.-]", "-", socket.gethostname())

    @property
    def hidden(self) -> str:
        """What the names of the files beside begin with; no other pattern has the same."""
        rest = "".join(f"{literal}{field or ''}" for literal, field, _ in self._pieces)
        readable = re.sub(r"[^A-Za-z0-9.-]+", "_", rest).strip("._")[:100]
        return f".{readable}-{blake2s(self.text.encode(), digest_size=4).hexdigest()}"

    def stem(self, naming: Naming) -> str:
        """What two files have in common that are only counted apart."""
        dates = Naming(naming.date, naming.end)
        return "".join(literal + self._field(field, spec, dates, 0, "") for literal, field, spec in self._pieces)

    def name(self, naming: Naming, index: int) -> str:
        """The path below `folder` of the file `index`, from 1. Raises ValueError where it leads out of there.

        Where the pattern has no `{index}`, the second file of a name is called `name-2.ending`.
        """
        made = "".join(
            literal + self._field(field, spec, naming, index, uuid.uuid4().hex) for literal, field, spec in self._pieces
        )
        if not self._counted and index > 1:
            path = PurePosixPath(made)
            endings = "".join(path.suffixes)
            made = str(path.with_name(f"{path.name.removesuffix(endings)}-{index}{endings}"))
        parts = made.split("/")
        if not all(parts) or {".", ".."} & set(parts) or "\0" in made or parts[-1].startswith("."):
            raise ValueError(f"The path {self.text} would give a file the name {made!r}, which is none below a folder.")
        if max(len(os.fsencode(part)) for part in parts) > LONGEST:
            raise ValueError(f"The path {self.text} gives names of more than {LONGEST} bytes.")
        return made

    def _field(self, field: str | None, spec: str, naming: Naming, index: int, unique: str) -> str:
        if field in _DATES:
            moment = naming.date if field == "date" else naming.end
            return moment.strftime(spec or DATE)
        if field in _NUMBERS:
            return format(index if field == "index" else naming.records, spec)
        return {None: "", "uuid": unique, "host": self._host}[field]


def _check(text: str, field: str, spec: str, turned: bool) -> None:
    """Raises ValueError where a placeholder is none."""
    if field not in _DATES | _NUMBERS | _TEXTS or turned:
        raise ValueError(f"The path {text} has the placeholder {{{field}}}, which is none; write {_KNOWN}.")
    if field in _TEXTS and spec:
        raise ValueError(f"The placeholder {{{field}}} of the path {text} stands alone, without {spec!r}.")
    if field in _NUMBERS and not re.fullmatch(r"(0?[1-9][0-9]?)?", spec):
        raise ValueError(f"The placeholder {{{field}:{spec}}} of the path {text} may have a width, such as 06.")
    if field in _DATES and ("{" in spec or (spec and "%" not in spec)):
        raise ValueError(f"The placeholder {{{field}:{spec}}} of the path {text} needs a form such as %Y-%m-%d.")
