"""Whether what a stream counts as written is what is stored.

Owns the comparison, and a whole stream around a writer of anybody: a source that knows its position, acks, the batches
of the engine. A writer that confirms and drops is caught here. Refuses to know how to look into a target.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.stages.reading import read_from
from teleporter_lab.engine.stages.writing import write_to, write_to_blocking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.connectors.base import AnyWriter
    from teleporter_lab.engine.graph import Sink, Source
    from teleporter_lab.engine.ledger import Ledger
    from teleporter_lab.engine.supervision import Supervisor


def tally(ledger: Ledger, stored: int) -> str | None:
    """A sentence where a ledger and the number of records that are stored disagree; None where all is well."""
    if ledger.in_flight:
        return f"The stream has ended, and the ledger does not add up: {ledger.sentence()}."
    missing = ledger.written - stored
    if not missing:
        return None
    counts = f"The ledger says {ledger.written:,} written, and {stored:,} are stored: "
    return counts + (
        f"{missing:,} confirmed and dropped." if missing > 0 else f"{-missing:,} more than were confirmed."
    )  # fmt: skip


class Records:
    """A reader of records at hand, chunk by chunk. Position: how many chunks were read."""

    def __init__(self, chunks: Sequence[Any], columnar: bool) -> None:
        self.columnar = columnar
        self.position = 0
        self._chunks = chunks

    async def open(self, position: int | None) -> None:
        self.position = position or 0

    async def read(self, n: int) -> Any:
        if self.position == len(self._chunks):
            return None
        self.position += 1
        return self._chunks[self.position - 1]

    async def close(self) -> None:
        """Nothing to let go of."""


def source_of(
    records: Sequence[Any], window: AckWindow, form: Callable[[Sequence[Any]], Any] = list, at_once: int = 7
) -> Source[Any]:
    """A source with acks that reads `records`, `at_once` at a time, in the `form` that a sink is to get."""
    chunks = [form(records[start : start + at_once]) for start in range(0, len(records), at_once)]
    columnar = bool(chunks) and not isinstance(chunks[0], list)
    return read_from("records", lambda: Records(chunks, columnar)).source_ack(window)


async def streamed(
    make: Callable[[], AnyWriter],
    records: Sequence[Any],
    *,
    form: Callable[[Sequence[Any]], Any] = list,
    size: int = 10,
    supervisor: Supervisor | None = None,
) -> Ledger:
    """The ledger of a stream that writes `records` in batches of up to `size` to a writer made by `make`.

    Raises what the stream fails with.
    """
    window = AckWindow(len(records) + 1)  # room to see the end
    sink: Sink[Any, None] = _written_by(make, size)
    await source_of(records, window, form).to(sink).run(supervisor=supervisor)
    return window.ledger()


def _written_by(make: Callable[[], Any], size: int) -> Sink[Any, None]:
    """The sink that drives such a writer as it has to be."""
    spare = [make()]

    def fresh() -> Any:
        return spare.pop() if spare else make()

    write: Any = write_to if blocks_not(spare[0]) else write_to_blocking
    return write("the sink", fresh, size, 60.0)


def blocks_not(writer: Any) -> bool:
    """Whether a writer is asynchronous."""
    return inspect.iscoroutinefunction(writer.write)
