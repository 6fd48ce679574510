"""What a system outside looks like to the engine: something to read from, something to write to.

Owns the four protocols a connector implements. Refuses to know any system, and any thread: the `Blocking` forms are
plain functions which the engine calls in a driver thread, one call at a time, a chunk a call.

The engine calls `open` once before the first read or write and `close` exactly once, also after a failure and also when
it never came to open; an `open` that was cancelled may be called again. What is reloaded is closed, and a fresh reader
or writer is made and opened in its place, a reader at the last position.

A reader may belong to a system that keeps the position itself (`Committing`); a writer may keep a source's position in
the transaction of the records (`Marking`).

A writer may have an attribute `parallel` above 1 and a method `keys_of(records)`, called when it is open, which gives a
set of keys, or None for any: so many batches are then written at once, as long as they share no key.

A reader with an attribute `columnar = True` may give pyarrow RecordBatches instead of lists, of up to 65,536 rows; a
writer with one takes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

Position = Any
"""What a reader needs to go on after a record: plain JSON (the ancestor's "coordinate")."""


class Reader(Protocol[T]):
    """A place records come from."""

    async def open(self, position: Position | None) -> None:
        """Gets ready to read just after `position`; None is the start. Raises a ConnectorError."""
        ...

    async def read(self, n: int) -> list[T] | None:
        """1 to `n` records, waiting for at least one; None at the end. A cancelled read loses nothing."""
        ...

    @property
    def position(self) -> Position:
        """The place just after the last record that `read` returned."""
        ...

    async def close(self) -> None:
        """Lets go of everything, also when it was never opened; a second call does nothing."""
        ...


class BlockingReader(Protocol[T]):
    """`Reader` for a driver that blocks; each method runs in a thread, never two at a time."""

    def open(self, position: Position | None) -> None: ...

    def read(self, n: int) -> list[T] | None: ...

    @property
    def position(self) -> Position: ...

    def close(self) -> None: ...


class Writer(Protocol[T_contra]):
    """A place records go to."""

    async def open(self) -> None:
        """Gets ready to write. Raises a ConnectorError."""
        ...

    async def write(self, records: Sequence[T_contra]) -> None:
        """Stores all records; when it returns they are stored.

        Raises RecordsRefused when it has stored all others; after any other error it has stored none, or may be called
        again with the same ones. AddressUnreachable says that no record is to blame, BadRecord with an `index` which
        one is; a rule may have the engine find it by halving the batch otherwise.
        """
        ...

    async def close(self) -> None:
        """Lets go of everything, also when it was never opened; a second call does nothing."""
        ...


class BlockingWriter(Protocol[T_contra]):
    """`Writer` for a driver that blocks; each method runs in a thread, never two at a time."""

    def open(self) -> None: ...

    def write(self, records: Sequence[T_contra]) -> None: ...

    def close(self) -> None: ...


@runtime_checkable
class Committing(Protocol):
    """What a `Reader` has in addition whose system keeps the position (a Kafka group).

    Its `open(None)` goes on where the system says; a position that is given wins over that.
    """

    group: str
    """Whom the system keeps the position for."""
    settle: Callable[[], Awaitable[None]] | None
    """Set before `open`: returns when every record given so far is confirmed and committed. It takes as long as the
    slowest sink does, so the reader waits under a limit of its own."""

    async def commit(self, position: Position, note: str = "") -> None:
        """Everything up to `position` is done; returns when the system has accepted that. Raises a ConnectorError.

        `note` is a text to be kept with it; a system that cannot keeps the position alone. Called while a `read` may be
        waiting, never twice at a time.
        """
        ...


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a stream has come, to be stored in the transaction of the records that brought it there."""

    key: str
    """Whose position it is, `/position/ns/task/stream/source`."""
    text: str
    """The record to be kept under the key, JSON."""
    expect: str | None
    """What must be kept there now; None: nothing."""
    position: Position
    group: str | None = None
    """The group of a `Committing` reader."""


@runtime_checkable
class Marking(Protocol):
    """What a `Writer` has in addition that can store a mark with its records; a blocking one as plain methods."""

    async def marked(self, key: str) -> str | None:
        """The text kept under `key`, None where there is none. Called after `open`."""
        ...

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        """Stores records and mark in one transaction, or nothing of both.

        Raises Conflict where `mark.expect` does not hold: another run has gone on.
        """
        ...


@runtime_checkable
class Holding(Protocol):
    """What a `Marking` writer has in addition whose system keeps the position of the source's group, and no text.

    Its `marked` gives None, and lets no writer of an earlier run go on.
    """

    async def holds(self, mark: Mark) -> bool:
        """Whether the records written with `mark` are stored; if not, nothing that was begun can store them later."""
        ...
