"""What a rolled sink needs to know of a format of files.

Owns the protocol. Refuses to know any format; `file`, `csv` and `parquet` have theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Draft:
    """A batch as bytes, before it is stored."""

    body: bytes
    rows: int
    head: bytes = b""
    """What stands before the first batch of a file."""
    form: str = ""
    """What the records of the file look like, so that a later sink can say whether it may go on in it."""
    shape: Any = None
    """What the format knows once the batch is stored."""


class Format(Protocol):
    """How records become a file, batch by batch."""

    name: str
    """The category of the sink."""
    columnar: bool
    """Takes columns as well as rows."""

    @property
    def convert(self) -> Callable[[Path, Path], None] | None:
        """Makes the file from the bytes of all drafts; None where they are the file. Raises OSError, ConnectorError."""
        ...

    def resumed(self, form: str) -> bool:
        """Whether a file of that form may be gone on with. What the format leaves open it takes over from there."""
        ...

    def draft(self, records: Sequence[Any]) -> Draft:
        """`records` as bytes; changes nothing. Raises BadRecord."""
        ...

    def stored(self, draft: Draft) -> None:
        """The draft is in a file now."""
        ...
