"""A ledger and what is stored are told apart in a sentence; a whole stream is run around a writer of anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.ledger import Ledger
from teleporter_lab.engine.supervision import Resume
from teleporter_lab.errors import BadRecord
from teleporter_lab.testing.tally import streamed, tally

if TYPE_CHECKING:
    from collections.abc import Sequence


def ledger(read: int, written: int, **more: int) -> Ledger:
    return Ledger(read=read, written=written, **more)


def test_a_ledger_that_agrees_has_nothing_to_say() -> None:
    assert tally(ledger(10, 7, filtered=2, skipped=1), 7) is None


@pytest.mark.parametrize(
    ("found", "stored", "sentence"),
    [
        (ledger(1000, 1000), 999, "The ledger says 1,000 written, and 999 are stored: 1 confirmed and dropped."),
        (ledger(5, 5), 8, "The ledger says 5 written, and 8 are stored: 3 more than were confirmed."),
        (ledger(5, 4), 4, "The stream has ended, and the ledger does not add up: 5 read = 4 written + 1 in flight."),
    ],
)
def test_one_that_does_not_says_what_is_wrong(found: Ledger, stored: int, sentence: str) -> None:
    assert tally(found, stored) == sentence


class Writer:
    def __init__(self, target: list[Any]) -> None:
        self.target = target
        self.batches: list[int] = []

    async def open(self) -> None: ...

    async def write(self, records: Sequence[Any]) -> None:
        if -1 in records:
            raise BadRecord("A record is bad.")
        self.batches.append(len(records))
        self.target += records

    async def close(self) -> None: ...


class BlockingWriter(Writer):
    def open(self) -> None: ...  # type: ignore[override]

    def write(self, records: Sequence[Any]) -> None:  # type: ignore[override]
        self.target += records

    def close(self) -> None: ...  # type: ignore[override]


@pytest.mark.parametrize("kind", [Writer, BlockingWriter])
async def test_a_stream_writes_all_records_and_gives_its_ledger(kind: type[Writer]) -> None:
    target: list[int] = []
    found = await streamed(lambda: kind(target), list(range(25)), size=10)
    assert (target, found.written) == (list(range(25)), 25)
    assert tally(found, len(target)) is None


async def test_it_takes_batches_of_a_size_and_rules() -> None:
    target: list[int] = []
    writer = Writer(target)
    found = await streamed(lambda: writer, [*range(20), -1], size=8, supervisor=Resume())
    assert writer.batches[:2] == [8, 8]
    assert (target, found.written, found.skipped) == (list(range(20)), 20, 1)
    with pytest.raises(BadRecord):
        await streamed(lambda: writer, [-1])


async def test_of_no_records_nothing_is_written() -> None:
    assert (await streamed(lambda: Writer([]), [])).read == 0
