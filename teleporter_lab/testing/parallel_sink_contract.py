"""What every sink promises that is written to several times at once, as tests to inherit.

Owns the promises of `parallel` and `keys_of`, beside those of `SinkContract`. Refuses to know a connector: the subclass
has a fixture `case`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.testing.calls import call
from teleporter_lab.testing.tally import streamed, tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class ParallelCase:
    """How to make an asynchronous writer of an empty target, and how to see what the target holds."""

    make: Callable[[], Any]
    read_back: Callable[[], Sequence[Any]]
    """Everything stored, read without the connector; of each key only the last record where the sink is an upsert."""
    batches: Sequence[Sequence[Any]]
    """Three batches or more of two records or more, as `read_back` gives them; no two have a key in common."""
    newer: Sequence[Any]
    """Other records of the keys of the first batch, one for each, in order."""
    idempotent: bool = True
    """Whether of the records of a key the last one is kept alone."""


@pytest.mark.asyncio
class ParallelSinkContract:
    """Inherited by the test class of such a sink, which adds the fixture `case`."""

    async def test_it_says_how_many_writes_it_takes_at_once(self, case: ParallelCase) -> None:
        assert case.make().parallel > 1

    async def test_keys_tell_batches_apart_that_share_none_and_no_others(self, case: ParallelCase) -> None:
        writer = case.make()
        await call(writer.open)
        keys_of: Callable[[Any], Any] = writer.keys_of
        keys = [keys_of(list(batch)) for batch in case.batches]
        for i, one in enumerate(keys):
            assert all(one.isdisjoint(other) for other in keys[i + 1 :])
        first = case.batches[0]
        assert keys_of(list(first[::-1])) == keys[0]
        assert keys_of(list(first[:1])) <= keys[0]
        assert not keys_of(list(case.newer)).isdisjoint(keys[0]), "the same keys, other records"
        await call(writer.close)

    async def test_batches_are_stored_that_are_written_at_once(self, case: ParallelCase) -> None:
        writer = case.make()
        await call(writer.open)
        some = case.batches[: writer.parallel]
        await asyncio.gather(*(writer.write(list(batch)) for batch in some))
        assert alike(case.read_back(), [record for batch in some for record in batch])
        await call(writer.close)

    async def test_a_write_that_is_broken_off_harms_none_beside_it(self, case: ParallelCase) -> None:
        writer = case.make()
        await call(writer.open)
        writes = [asyncio.ensure_future(writer.write(list(batch))) for batch in case.batches[:2]]
        await asyncio.sleep(0)
        writes[0].cancel()
        await asyncio.wait(writes)
        writes[1].result()
        await writer.write(list(case.batches[0]))
        await call(writer.close)
        stored = list(case.read_back())
        assert all(record in stored for batch in case.batches[:2] for record in batch)

    async def test_a_stream_stores_all_and_the_newest_of_each_key_last(self, case: ParallelCase) -> None:
        records = [*(record for batch in case.batches for record in batch), *case.newer]
        ledger = await streamed(case.make, records, size=len(case.batches[0]))
        stored = list(case.read_back())
        if case.idempotent:
            assert ledger.written == len(records)
            assert alike(stored, records[len(case.newer) :])
        else:
            assert (wrong := tally(ledger, len(stored))) is None, wrong
            assert alike(stored, records)
        for old, new in zip(case.batches[0], case.newer, strict=True):
            assert case.idempotent or stored.index(old) < stored.index(new)


def alike(stored: Sequence[Any], records: Sequence[Any]) -> bool:
    """Whether they are the same, in any order."""
    return sorted(map(repr, stored)) == sorted(map(repr, records))
